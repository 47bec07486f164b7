"""The Batch tab's endpoint, called as any program would: python -m pytest tests/test_demo_batch.py"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from img2img_hub import Translator
from img2img_hub.demo.app import build_demo
from img2img_hub.demo.batch_tab import MAX_FILES
from img2img_hub.demo.models import find_models
from img2img_hub.demo.requests import plain_name
from img2img_hub.images.values import BandValues
from img2img_hub.translation.settings import TranslationSettings
from tests.browser.serving import picture, serve, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "stripes2dots")


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_model(tmp_path_factory.mktemp("models") / "heights", card=None, examples=0)
    values = BandValues(dtype="float32", low=(0.0,) * 3, high=(1.0,) * 3)
    TranslationSettings(working_size=64, target_values=values).save(folder)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def client(model: Path, rasters: Path, server: Path) -> Iterator[Client]:
    with serve(f"{model}, {rasters}", folder=server) as address:
        yield Client(address, verbose=False, download_files=str(server / "downloads"), analytics_enabled=False)


@pytest.fixture
def batch(client: Client, model: Path):
    def call(*paths: Path, mode: str = "fit", key: str | None = None):
        uploads = [handle_file(str(path)) for path in paths]
        return client.predict(key or model.name, uploads, mode, api_name="/batch")

    return call


def names(archive: str) -> list[str]:
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        return opened.namelist()


@pytest.mark.parametrize("mode", ["fit", "native"])
def test_each_picture_in_the_zip_is_what_the_translator_makes(batch, model, tmp_path, mode):
    sizes = {"wide.png": (100, 40), "tall.jpg": (33, 70), "same.bmp": (100, 40), "my street.webp": (64, 64)}
    for name, size in sizes.items():
        picture(size, stripe=3 + len(name)).save(tmp_path / name)
    archive, report, small = batch(*(tmp_path / name for name in sizes), mode=mode)
    assert Path(archive).name == "stripes2dots.zip"
    assert names(archive) == ["wide.png", "tall.png", "same.png", "my street.png"]
    translator = Translator.from_pretrained(model)
    with zipfile.ZipFile(archive) as opened:
        for name, size in sizes.items():
            with opened.open(f"{Path(name).stem}.png") as file, Image.open(file) as result:
                assert (result.format, result.size) == ("PNG", size)
                assert np.array_equal(np.asarray(result), np.asarray(translator(tmp_path / name, resize=mode)))
    assert "4 of 4 pictures done" in report
    assert "notice" not in report
    assert [each["caption"] for each in small] == names(archive)


def test_one_bad_file_is_named_at_the_end_and_the_others_are_done(batch, tmp_path):
    picture((20, 10)).save(tmp_path / "a.png")
    (tmp_path / "letter.png").write_text("Dear visitor")
    picture((64, 64)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:120])
    Image.new("1", (8001, 5000)).save(tmp_path / "vast.png")
    Image.new("1", (40_000, 10)).save(tmp_path / "long.png")
    picture((10, 20)).save(tmp_path / "b.png")
    archive, report, _ = batch(*(tmp_path / f"{name}.png" for name in ("a", "letter", "cut", "vast", "long", "b")))
    assert names(archive) == ["a.png", "b.png"]
    assert "2 of 6 pictures done" in report
    assert re.search(r"long\.png is 40000 × 10 pixels; this page takes up to 30000 a side", report)
    assert re.search(r"letter\.png is not an image that can be read", report)
    assert re.search(r"cut\.png is damaged", report)
    assert re.search(r"vast\.png has 8001 × 5000 pixels \(40\.0 megapixels\); this page takes 40", report)
    assert "/" not in re.sub(r"</\w+>", "", report), "no folder of the server"


def test_equal_names_are_told_apart(batch, tmp_path):
    paths = []
    for folder, name in (("a", "x.png"), ("b", "x.jpg"), ("c", "X.png"), ("d", "x-2.png")):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / name)
        picture((10 + len(paths), 10)).save(paths[-1])
    archive, *_ = batch(*paths)
    assert names(archive) == ["x.png", "x-2.png", "X-3.png", "x-2-2.png"]
    with zipfile.ZipFile(archive) as opened:
        assert [Image.open(opened.open(name)).width for name in opened.namelist()] == [11, 12, 13, 14]


def test_what_a_visitor_does_wrong_is_said_with_its_cure(batch, client, model, tmp_path):
    picture((8, 8)).save(tmp_path / "x.png")
    (tmp_path / "letter.png").write_text("Dear visitor")
    Image.new("1", (4000, 1001)).save(tmp_path / "large.png")
    Image.new("1", (4000, 1000)).save(tmp_path / "just.png")
    x = tmp_path / "x.png"
    for call, message in (
        (lambda: batch(), "Choose one or more pictures first"),
        (lambda: client.predict(model.name, None, "fit", api_name="/batch"), "Choose one or more pictures first"),
        (lambda: batch(*[x] * (MAX_FILES + 1)), f"You chose {MAX_FILES + 1} files; {MAX_FILES} at a time is the most"),
        (lambda: batch(*[tmp_path / "just.png"] * 6, mode="native"), r"24\.0 megapixels in all; 20 at a time"),
        (lambda: batch(tmp_path / "large.png", mode="native"), "None of the pictures.*native resolution takes up to 4"),
        (lambda: batch(tmp_path / "letter.png"), r"None of the pictures.*letter\.png is not an image"),
        (lambda: batch(x, mode="sideways"), "give 'fit' or 'native'"),
        (lambda: batch(x, key="someone/else"), "no model"),
        (lambda: batch(x, key="heights"), "rasters that no PNG can hold"),
    ):
        with pytest.raises(AppError, match=message):
            call()


def test_visitors_at_the_same_time_get_their_own_zips(batch, tmp_path):
    folders = [tmp_path / str(number) for number in range(4)]
    for number, folder in enumerate(folders):
        folder.mkdir()
        picture((30 + number, 20)).save(folder / "x.png")
    with ThreadPoolExecutor(4) as pool:
        archives = [archive for archive, *_ in pool.map(lambda folder: batch(folder / "x.png"), folders)]
    assert len(set(archives)) == 4
    for number, archive in enumerate(archives):
        with zipfile.ZipFile(archive) as opened, opened.open("x.png") as file:
            assert Image.open(file).width == 30 + number


def test_the_call_leaves_one_zip_and_small_pictures_behind(batch, server, tmp_path):
    """What was written on the way is gone, and the zip is not kept twice."""
    before = set((server / "cache").rglob("*"))
    picture((500, 300), stripe=17).save(tmp_path / "only.png")
    batch(tmp_path / "only.png")
    new = [path for path in set((server / "cache").rglob("*")) - before if path.is_file()]
    assert sorted(path.name for path in new) == ["only.png", "only.png", "stripes2dots.zip"]
    assert sorted(Image.open(path).width for path in new if path.suffix == ".png") == [240, 500]
    assert not list((server / "tmp").glob("img2img-batch-*"))


def test_progress_is_told_on_the_way(client, model, tmp_path):
    picture((700, 500)).save(tmp_path / "x.png")
    uploads = [handle_file(str(tmp_path / "x.png"))] * 20  # Gradio tells ten times a second
    job = client.submit(model.name, uploads, "fit", api_name="/batch")
    steps: list[tuple[int, int]] = []
    while not job.done():
        for unit in job.status().progress_data or []:
            if (unit.index, unit.length) not in steps:
                steps.append((unit.index, unit.length))
    job.result()
    assert {length for _, length in steps} == {20}
    assert [index for index, _ in steps] == sorted(index for index, _ in steps)


@pytest.mark.filterwarnings("ignore:.*no_silent_downcasting.*", "ignore:.*copy keyword.*")  # Gradio's own
def test_all_that_visitors_made_goes_with_the_page(model, tmp_path, monkeypatch):
    """As Gradio clears away what is a day old: files that it does not know of would stay."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    picture((20, 20)).save(tmp_path / "x.tif")
    other = write_model(tmp_path / "other", examples=1)
    demo = build_demo(find_models(f"{model}, {other}"))
    before = files(tmp_path / "cache")
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    try:
        client = Client(address, verbose=False, download_files=str(tmp_path / "mine"), analytics_enabled=False)
        upload = handle_file(str(tmp_path / "x.tif"))
        client.predict(model.name, [upload], "fit", api_name="/batch")
        client.predict([model.name, "other"], upload, "fit", api_name="/compare")
        made = files(tmp_path / "cache") - before
        assert {path.suffix for path in made} == {".tif", ".zip", ".png"}
    finally:
        demo.close()
    assert files(tmp_path / "cache") - before == set()


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_the_server_answers_in_the_browsers_language(client, model):
    call = f"{client.src}gradio_api/call/batch"
    with httpx.Client(trust_env=False, timeout=60, headers={"accept-language": "zh-CN"}) as http:
        event = http.post(call, json={"data": [model.name, None, "fit"]}).json()["event_id"]
        answer = http.get(f"{call}/{event}").text.encode().decode("unicode_escape")
    assert "请先选择一张或多张图片" in answer


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("my street.jpg", "my street"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot"),
        ("/etc/cron.d/x.png", "x"),
        ("C:\\x.png", "x"),
        ("...", "image"),
        (".png", "image"),
        ("", "image"),
        ("a\0b\n\x1b[31m.png", "ab[31m"),
        ("holiday\u202egnp.exe", "holidaygnp"),
        ('a<b>:"|?*c.png', "a-b-c"),
        ("CON.png", "CON-"),
        ("nul.tar.gz", "nul.tar-"),
        ("ü" * 300 + ".png", "ü" * 60),
        ("街道.webp", "街道"),
        ("\ud800x.png", "x"),
        (" .. .png", "image"),
    ],
)
def test_a_visitors_file_name_becomes_one_that_any_disk_takes(name, plain):
    assert plain_name(name) == plain
