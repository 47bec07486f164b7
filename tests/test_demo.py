"""The page's functions, called as any program would: gradio_client over loopback against app.py.

python -m pytest tests/test_demo.py
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from examples import draw_facades, draw_streets
from img2img_hub.demo.app import build_demo, launch_options
from img2img_hub.demo.models import Model, Models, find_models
from img2img_hub.demo.texts import TEXTS
from img2img_hub.demo.uploads import save_png
from img2img_hub.images.palettes import rgb
from img2img_hub.translation.translator import Translator
from tests.browser.serving import ROOT, picture, serve, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "stripes2dots")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_model(tmp_path_factory.mktemp("models") / "broken", card=None, examples=0)
    (folder / "model.safetensors").write_bytes(b"no weights")
    return folder


@pytest.fixture(scope="module")
def client(model: Path, broken: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("server")
    with serve(f"{model}, {broken}", folder=folder) as address:
        yield Client(address, verbose=False, download_files=str(folder / "downloads"), analytics_enabled=False)


@pytest.fixture
def translate(client: Client, model: Path):
    def call(path: Path | str | None, mode: str = "fit", key: str | None = None):
        upload = None if path is None else handle_file(str(path))
        return client.predict(key or model.name, upload, mode, api_name="/translate")

    return call


@pytest.mark.parametrize("mode", ["fit", "native"])
@pytest.mark.parametrize(("name", "size"), [("wide.png", (100, 40)), ("tall.jpg", (33, 70)), ("dot.bmp", (1, 1))])
def test_the_download_is_what_the_translator_makes(translate, model, tmp_path, name, size, mode):
    picture(size).save(tmp_path / name)
    (before, after), download, line = translate(tmp_path / name, mode)
    expected = Translator.from_pretrained(model)(tmp_path / name, resize=mode)
    with Image.open(download) as result:
        assert result.format == "PNG"
        assert result.size == size
        assert np.array_equal(np.asarray(result), np.asarray(expected))
    assert Path(download).name == f"{Path(name).stem}-stripes2dots.png"
    assert Path(after).read_bytes() == Path(download).read_bytes()
    assert Path(before).read_bytes() == (tmp_path / name).read_bytes()
    assert f"{size[0]} × {size[1]} px" in line
    assert "Done in" in line


def test_transparency_and_files_that_browsers_cannot_show_come_out_as_png(translate, tmp_path):
    image = picture((40, 30))
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "clear.tif")
    (before, _), download, _ = translate(tmp_path / "clear.tif")
    assert Image.open(before).format == "PNG"
    assert Image.open(download).mode == "RGBA"
    assert np.array_equal(np.asarray(Image.open(download).getchannel("A")), np.asarray(image.getchannel("A")))


def write_text(path: Path) -> None:
    path.write_text("<b>no picture</b>")


def write_truncated(path: Path) -> None:
    picture((64, 64)).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:120])


def write_enormous(path: Path) -> None:
    Image.new("1", (8001, 5000)).save(path, "PNG")  # a few kilobytes


def write_long(path: Path) -> None:
    Image.new("1", (10, 40_000)).save(path, "PNG")


def write_large(path: Path) -> None:
    Image.new("1", (2001, 2000)).save(path, "PNG")


@pytest.mark.parametrize(
    ("write", "mode", "message"),
    [
        (write_text, "fit", "holiday.png is not an image"),
        (write_truncated, "fit", "holiday.png is damaged"),
        (write_enormous, "fit", "holiday.png has 8001 × 5000 pixels (40.0 megapixels); this page takes 40"),
        (write_long, "fit", "holiday.png is 10 × 40000 pixels; this page takes up to 30000 a side"),
        (write_large, "native", "Fit to working size"),
        (None, "fit", "pick an example"),
        (picture, "sideways", "give 'fit' or 'native'"),
    ],
)
def test_what_a_visitor_does_wrong_is_said_with_its_cure(translate, tmp_path, write, mode, message):
    path = tmp_path / "holiday.png"
    if write is picture:
        picture((8, 8)).save(path)
    elif write is not None:
        write(path)
    with pytest.raises(AppError) as error:
        translate(path if write else None, mode)
    assert message in str(error.value)


def test_only_the_models_on_offer_can_be_named(translate, tmp_path):
    picture((8, 8)).save(tmp_path / "x.png")
    with pytest.raises(AppError, match="no model"):
        translate(tmp_path / "x.png", key="someone/else")


def test_a_model_that_cannot_be_loaded_says_why(translate, broken, tmp_path):
    picture((8, 8)).save(tmp_path / "x.png")
    with pytest.raises(AppError, match=r"^broken: model\.safetensors") as error:
        translate(tmp_path / "x.png", key="broken")
    assert str(broken.parent) not in str(error.value)


def test_the_page_does_not_tell_where_the_server_keeps_its_folders(client, model):
    with httpx.Client(trust_env=False, timeout=30) as http:
        config = http.get(f"{client.src}config").text
    assert model.name in config
    assert str(model.parent) not in config


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("/srv/my models/mine: config.json: bad", "mine: config.json: bad"),
        ("[Errno 13] Permission denied: '/root/.cache/x.json'", "[Errno 13] Permission denied: 'x.json'"),
        ("no answer from https://hub.example/api/x", "no answer from https://hub.example/api/x"),
        ("3 / 4 of it", "3 / 4 of it"),
    ],
)
def test_reasons_leave_out_the_servers_folders(error, shown):
    models = Models({"mine": Model(key="mine", location="/srv/my models/mine", name="Mine")})
    assert models.reason("mine", ValueError(error)) == shown


def test_a_long_file_name_is_no_obstacle(translate, tmp_path):
    name = "ü" * 110  # 220 of the 255 bytes that a name may have
    picture((8, 8)).save(tmp_path / f"{name}.png")
    _, download, _ = translate(tmp_path / f"{name}.png")
    assert Image.open(download).size == (8, 8)


def test_no_file_of_the_server_can_be_read_through_the_api(client, model):
    # Bare HTTP: gradio_client would upload the file of that name first.
    theirs = {"path": str(model / "examples" / "1-stripes-1.png"), "meta": {"_type": "gradio.FileData"}}
    calls = f"{client.src}gradio_api/call/translate"
    with httpx.Client(trust_env=False, timeout=30) as http:
        event = http.post(calls, json={"data": [model.name, theirs, "fit", None]}).json()["event_id"]
        assert http.get(f"{calls}/{event}").text.startswith("event: error")


def test_a_file_over_the_limit_is_refused_on_its_way_in(client, tmp_path):
    (tmp_path / "film.png").write_bytes(bytes(51 * 1024 * 1024))
    with pytest.raises(Exception, match=r"413|too large|exceed|maximum"):
        client.predict("x", handle_file(str(tmp_path / "film.png")), "fit", api_name="/translate")


def test_visitors_at_the_same_time_get_their_own_results(translate, model, tmp_path):
    paths = [tmp_path / f"{width}.png" for width in range(20, 28)]
    for path in paths:
        picture((int(path.stem), 20), stripe=int(path.stem) - 18).save(path)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(translate, paths))
    translator = Translator.from_pretrained(model)
    for path, (_, download, _) in zip(paths, results, strict=True):
        assert np.array_equal(np.asarray(Image.open(download)), np.asarray(translator(path, resize="fit")))


def test_a_picture_that_is_made_again_is_not_written_over_while_somebody_downloads_it(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    path = save_png(picture((30, 20)), name="x.png")
    with open(path, "rb") as download:
        assert save_png(picture((30, 20)), name="x.png") == path
        assert os.fstat(download.fileno()).st_ino != os.stat(path).st_ino
        assert download.read() == Path(path).read_bytes()
    assert [file.name for file in Path(path).parent.iterdir()] == ["x.png"]


@pytest.mark.parametrize(
    ("languages", "says"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "请先上传"), ("en-US,zh;q=0.5", "Upload, paste or"), ("", "Upload,")],
)
def test_the_server_answers_in_the_browsers_language(client, model, languages, says):
    call = f"{client.src}gradio_api/call/translate"
    headers = {"accept-language": languages}
    with httpx.Client(trust_env=False, timeout=60, headers=headers) as http:
        event = http.post(call, json={"data": [model.name, None, "fit", None]}).json()["event_id"]
        answer = http.get(f"{call}/{event}").text
    assert says in json.loads(answer.split("data: ", 1)[1])["error"]


def test_every_text_is_there_in_both_languages_with_the_same_places():
    for name, (english, chinese) in TEXTS.items():
        places = [sorted(re.findall(r"{(\w+)", text)) for text in (english, chinese)]
        assert places[0] == places[1], name
        assert re.search("[\u4e00-\u9fff]", chinese), name


def test_only_what_programs_may_call_is_public(client):
    named = list(client.view_api(return_format="dict")["named_endpoints"])
    assert named == ["/variations", "/cycle", "/translate", "/translate_several", "/batch", "/compare"]


def test_cards_become_plain_text(model):
    card = find_models(str(model)).models[model.name]
    assert card.name == "Stripes → dots"
    assert card.story == "Turns stripes into dots. A random network, made for the tests."
    assert [path.name for path in card.examples] == ["1-stripes-1.png", "2-stripes-2.png", "3-stripes-3.png"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [("facades-label2photo", "Facades: label → photo"), ("source2target", "Source → target"), ("mine_v2", "Mine v2")],
)
def test_a_model_without_a_card_is_named_by_its_folder(tmp_path, folder, name):
    write_model(tmp_path / folder, card=None, examples=0)
    assert [choice[0] for choice in find_models(str(tmp_path / folder)).choices] == [name]


def test_lists_may_be_separated_by_commas_or_spaces(tmp_path, model):
    spaced = write_model(tmp_path / "with a space", card=None, examples=0)
    assert list(find_models(f"{model}, {spaced},user/maps").models) == [model.name, "with a space", "user/maps"]
    assert list(find_models(f"{model} user/maps").models) == [model.name, "user/maps"]


def test_a_folder_of_models_stands_for_all_of_them(tmp_path):
    for name in ("source2target", "target2source"):
        write_model(tmp_path / "run" / name, card=None, examples=0)
    (tmp_path / "run" / "checkpoints").mkdir()
    assert list(find_models(str(tmp_path / "run")).models) == ["source2target", "target2source"]


def test_names_that_are_no_model_are_reported_and_the_page_still_builds(tmp_path):
    models = find_models(f"{tmp_path},not a model")
    assert not models
    assert len(models.problems) == 2
    assert models.problems[0].startswith(f"{tmp_path.name} holds no model")
    assert "config.json" in models.problems[0]
    assert "not a model" in models.problems[1]
    config = str(build_demo(models).get_config_file())
    assert "No models found" in config
    assert "IMG2IMG_MODELS" in config
    assert "not a model" in config


def test_equal_names_are_told_apart(tmp_path):
    folders = [str(write_model(tmp_path / name / "model", examples=0)) for name in "ab"]
    models = find_models(",".join([*folders, folders[0]]))
    assert models.choices == [("Stripes → dots (model)", "model"), ("Stripes → dots (model 2)", "model 2")]
    assert [model.location for model in models.models.values()] == folders


def test_a_translator_is_loaded_once_for_all(model):
    models: Models = find_models(str(model))
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(models.translator, [model.name] * 4)
    assert all(other is first for other in others)


def test_the_page_is_for_this_machine_alone_unless_it_is_a_space(monkeypatch):
    for name in ("SPACE_ID", "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)
    page = gr.Blocks()
    assert (launch_options(page)["server_name"], launch_options(page)["server_port"]) == ("127.0.0.1", 7860)
    monkeypatch.setenv("SPACE_ID", "user/space")
    assert launch_options(page)["server_name"] == "0.0.0.0"
    monkeypatch.setenv("GRADIO_SERVER_PORT", "eighty")
    with pytest.raises(ValueError, match="GRADIO_SERVER_PORT is 'eighty'"):
        launch_options(page)


def test_a_bad_port_is_one_line_on_stderr(tmp_path):
    environment = os.environ | {"GRADIO_SERVER_PORT": "99999"}
    run = subprocess.run(
        [sys.executable, str(ROOT / "app.py")], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode != 0
    assert run.stderr.count("\n") == 1
    assert "GRADIO_SERVER_PORT" in run.stderr


def test_the_shipped_examples_are_what_the_scripts_draw():
    drawings = {
        "facades-label2photo": {each.name: draw_facades.draw_building(each) for each in draw_facades.BUILDINGS},
        "camvid-label2photo": {each.name: draw_streets.draw_street(each) for each in draw_streets.STREETS},
    }
    for model, drawn in drawings.items():
        folder = ROOT / "model_cards" / model
        palette = {
            rgb((entry["color"],)).tobytes() for entry in json.loads((folder / "paint.json").read_text())["palette"]
        }
        assert {path.stem for path in (folder / "examples").glob("*.png")} == set(drawn)
        for name, image in drawn.items():
            assert image.size == (256, 256)
            assert {bytes(colour) for _, colour in image.getcolors() or []} <= palette
            with Image.open(folder / "examples" / f"{name}.png") as shipped:
                assert np.array_equal(np.asarray(image), np.asarray(shipped.convert("RGB")))
