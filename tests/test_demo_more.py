"""The page beyond one translation: variations, the way there and back, what is foretold, the fastest backend.

python -m pytest tests/test_demo_more.py
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from img2img_hub import Translator, UNetGenerator
from img2img_hub.demo import speed
from img2img_hub.demo.app import build_demo
from img2img_hub.demo.forecast import default_resize, foretell, in_words
from img2img_hub.demo.gallery import cards
from img2img_hub.demo.models import Model, Models, find_models
from img2img_hub.evaluation.sheets import first_pair, sample_sheet
from img2img_hub.runtimes.backends import knows_bfloat16
from img2img_hub.translation.settings import TranslationSettings
from tests.browser.serving import ROOT, as_upload, picture, serve, write_model, write_noisy, write_pair

WAIT = 120  # seconds; an export takes some, and the machine may be busy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models noisy, plain, summer2winter and winter2summer."""
    folder = tmp_path_factory.mktemp("models")
    write_noisy(folder / "noisy")
    write_model(folder / "plain")
    write_pair(folder)
    return folder


@pytest.fixture(scope="module")
def client(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    place = tmp_path_factory.mktemp("server")
    named = ", ".join(str(folder / name) for name in ("noisy", "plain", "summer2winter"))
    with serve(named, folder=place) as address:
        yield Client(address, verbose=False, download_files=str(place / "downloads"), analytics_enabled=False)


@pytest.fixture
def street(tmp_path: Path) -> Path:
    picture((100, 60)).save(tmp_path / "street.png")
    return tmp_path / "street.png"


def pixels(path: str | Path | Image.Image) -> np.ndarray:
    return np.asarray(path if isinstance(path, Image.Image) else Image.open(path)).astype(int)


# --- variations -------------------------------------------------------------------------------------------------------


def test_variations_stand_beside_the_one_answer_and_are_their_seeds(client, folder, street):
    made, line = client.predict("noisy", handle_file(street), "fit", 7, 2, api_name="/variations")
    translator = Translator.from_pretrained(folder / "noisy", device="cpu")
    expected = [translator(street, resize="fit", seed=seed) for seed in (None, 7, 8)]
    assert [entry["caption"] for entry in made] == ["without noise", "seed 7", "seed 8"]
    assert [Path(entry["image"]).name for entry in made] == [
        "street-noisy.png",
        "street-noisy-seed-7.png",
        "street-noisy-seed-8.png",
    ]
    for entry, image in zip(made, expected, strict=True):
        result = Image.open(entry["image"])
        assert (result.format, result.size) == ("PNG", (100, 60))
        assert np.array_equal(pixels(result), pixels(image))
    assert not np.array_equal(pixels(expected[1]), pixels(expected[2])), "or this test would see nothing"
    assert "CPU (PyTorch)" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("noisy", "fit", -1, 2), "The seed is -1"),
        (("noisy", "fit", 1.5, 2), "The seed is 1.5"),
        (("noisy", "fit", None, 2), "The seed is None"),
        (("noisy", "fit", True, 2), "The seed is True"),
        (("noisy", "fit", 2**31, 2), "The seed is 2147483648"),
        (("noisy", "fit", 1, 0), "variations is 0"),
        (("noisy", "fit", 1, 8), "variations is 8"),
        (("noisy", "sideways", 1, 1), "give 'fit' or 'native'"),
        (("plain", "fit", 1, 1), "has no noise"),
        (("summer2winter", "fit", 1, 1), "has no noise"),
        (("nobody", "fit", 1, 1), "no model"),
    ],
)
def test_what_cannot_be_varied_is_said(client, street, arguments, message):
    key, *rest = arguments
    with pytest.raises(AppError) as error:
        client.predict(key, handle_file(street), *rest, api_name="/variations")
    assert message in str(error.value)


# --- there and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["native", "fit"])
def test_the_cycle_is_both_translators_and_its_error_is_theirs(client, folder, street, mode):
    made, error, line = client.predict("summer2winter", handle_file(street), mode, api_name="/cycle")
    there, back = (Translator.from_pretrained(folder / name) for name in ("summer2winter", "winter2summer"))
    source = Image.open(street)
    seen = source if mode == "native" else source.resize((64, 64), Image.Resampling.BICUBIC)
    output = there(seen, resize="native")
    again = back(output, resize="native")
    assert [entry["caption"] for entry in made] == ["source", "output", "and back"]
    assert np.array_equal(pixels(made[0]["image"]), pixels(source))
    for entry, image in zip(made[1:], (output, again), strict=True):
        shown = image if mode == "native" else image.resize((100, 60), Image.Resampling.BICUBIC)
        assert np.array_equal(pixels(entry["image"]), pixels(shown))
    wanted = np.abs(pixels(again) - pixels(seen)).mean() / 255
    assert 0.01 < wanted < 1
    assert error == round(wanted, 4)
    assert f"cycle error (L1, 0–1) {wanted:.4f}" in line


def test_a_model_without_a_reverse_has_no_cycle(client, street):
    with pytest.raises(AppError, match="opposite direction"):
        client.predict("plain", handle_file(street), "fit", api_name="/cycle")


def test_the_reverse_beside_is_offered_with_its_model(folder, street):
    models = find_models(str(folder / "summer2winter"))
    assert list(models.models) == ["summer2winter"]
    assert models.partner("summer2winter") == "winter2summer"
    assert list(models.models) == ["summer2winter", "winter2summer"]
    assert models.partner("winter2summer") == "summer2winter"
    assert models.translator("winter2summer").settings.reverse == "summer2winter"
    both = find_models(str(folder))
    assert both.partner("summer2winter") == "winter2summer"
    assert len(both.models) == 4


@pytest.mark.parametrize(
    ("location", "reverse", "found"),
    [
        ("ann/summer2winter", "ann/winter2summer", "ann/winter2summer"),
        ("ann/summer2winter", "/etc", None),
        ("ann/summer2winter", "../private", None),
        ("ann/summer2winter", "bob/winter2summer", None),
        ("ann/summer2winter", "ann/folder", None),
        ("ann/summer2winter", "ann/summer2winter", None),
        ("ann/summer2winter", None, None),
        ("local", "ann/winter2summer", None),
        ("local", "../../etc", None),
    ],
)
def test_a_reverse_is_a_repo_for_a_repo_and_nothing_else_of_the_server(tmp_path, monkeypatch, location, reverse, found):
    """A folder's reverse may be asked of a Hub that nobody can reach; a repo's must not name a folder of the server,
    nor another owner's repo, which this server's token may open."""
    (tmp_path / "local").mkdir()
    (tmp_path / "ann/folder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    location = str(tmp_path / location) if location == "local" else location
    models = Models({"it": Model(key="it", location=location, name="It")})
    network = UNetGenerator(levels=3, width=2)
    models._translators["it"] = Translator(network, TranslationSettings(reverse=reverse), name=location)
    assert models.partner("it") == found
    assert list(models.models) == (["it", found] if found else ["it"])


# --- what native resolution takes -------------------------------------------------------------------------------------


def upload(path: Path, size: tuple[int, int]) -> dict[str, str]:
    Image.new("1", size).save(path, "PNG")
    return as_upload(path)


def test_native_resolution_is_foretold_from_what_was_measured(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2IMG_BACKEND", "torch")
    models = find_models(str(folder / "plain"))
    large = upload(tmp_path / "large.png", (640, 480))
    assert "how long, the first translation will tell" in foretell(models, "plain", large)
    translator = models.translator("plain")
    translator.engine._note(2.0, pixels=64 * 64)
    assert "640 × 480 px) this takes about 2 min" in foretell(models, "plain", large)
    translator.engine._note(0.1, pixels=64 * 64)
    assert "At native resolution (640 × 480 px) this takes about 7.5 s" in foretell(models, "plain", large)
    translator.engine.memory = 1e-6
    assert "does not fit into the server’s memory" in foretell(models, "plain", upload(tmp_path / "b.png", (1000, 900)))
    beyond = upload(tmp_path / "beyond.png", (4000, 3000))
    assert "4000 × 3000 pixels (12.0 megapixels): it is fitted" in foretell(models, "plain", beyond)
    assert foretell(models, "plain", upload(tmp_path / "small.png", (64, 64))) == "", "no more than the working size"
    assert foretell(models, "plain", None) == ""
    (tmp_path / "none.png").write_text("no picture")
    assert foretell(models, "plain", {"path": str(tmp_path / "none.png")}) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.01, "0.1 s"), (0.32, "0.3 s"), (9.4, "9.4 s"), (11.6, "12 s"), (99.4, "99 s"), (100, "2 min"), (290, "5 min")],
)
def test_times_are_as_exact_as_estimates_are(seconds, words):
    assert in_words(seconds) == words


def test_a_large_picture_is_fitted_unless_the_visitor_says_otherwise(folder, tmp_path):
    models = find_models(str(folder))
    assert default_resize(models, "summer2winter", upload(tmp_path / "a.png", (256, 256))) == "native"
    assert default_resize(models, "summer2winter", upload(tmp_path / "b.png", (257, 256))) == "fit"
    kept = default_resize(models, "plain", upload(tmp_path / "c.png", (2000, 2000)))
    assert kept not in ("fit", "native"), "a model that fits by default: what the visitor chose stays"


# --- the gallery ------------------------------------------------------------------------------------------------------


def test_the_first_row_of_a_sheet_is_found_again():
    rows = [[picture((64, 64), stripe=stripe + column) for column in range(3)] for stripe in (4, 9)]
    sheet = sample_sheet(rows, titles=["source", "output", "target"])
    for paired in (True, False):
        pair = first_pair(sheet, size=64, paired=paired)
        assert pair is not None
        assert [image.tobytes() for image in pair] == [image.tobytes() for image in rows[0][:2]]
        assert first_pair(sheet, size=63, paired=paired) is None
        assert first_pair(rows[0][0], size=64, paired=paired) is None


def test_cards_show_a_name_a_line_and_a_picture(folder):
    drawn = {card["key"]: card for card in cards(find_models(str(folder)))}
    assert drawn["noisy"]["name"] == "Noisy"
    assert drawn["noisy"]["story"] == "Draws lots."
    assert all(card["thumbnail"].startswith("data:image/webp;base64,") for card in drawn.values())
    (shipped,) = [card for card in cards(find_models(str(ROOT / "model_cards"))) if "facades" in card["key"]]
    assert len(shipped["thumbnail"]) > len(drawn["plain"]["thumbnail"])
    bare = Models({"ann/maps": Model(key="ann/maps", location="ann/maps", name="Maps")})
    assert cards(bare) == [{"key": "ann/maps", "name": "Maps", "story": "", "thumbnail": ""}]


# --- the fastest backend ----------------------------------------------------------------------------------------------


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("IMG2IMG_BACKEND", raising=False)
    monkeypatch.setenv("IMG2IMG_DTYPE", "float32")
    return tmp_path / "xdg"


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("xdg")


@pytest.fixture
def kept(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that several tests share, so that there is one export for all."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_cache))
    monkeypatch.delenv("IMG2IMG_BACKEND", raising=False)
    monkeypatch.setenv("IMG2IMG_DTYPE", "float32")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "HEAD_START", 0.0)


def settled(translator: Translator) -> Translator:
    speed.fastest(translator)
    deadline = time.monotonic() + WAIT
    while speed.is_making(translator) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not speed.is_making(translator)
    return speed.fastest(translator)


@pytest.mark.parametrize(
    ("missing", "backend"),
    [((), "openvino"), (("openvino",), "onnx"), (("onnx",), "torch"), (("openvino", "onnxruntime"), "torch")],
)
def test_the_fastest_backend_that_is_installed_takes_over(folder, kept, street, monkeypatch, missing, backend):
    monkeypatch.setattr(speed, "find_spec", lambda name: None if name in missing else object())
    translator = Translator.from_pretrained(folder / "noisy", device="cpu")
    first = speed.fastest(translator)
    assert first is translator, "the first picture does not wait"
    plain, varied = translator(street), translator(street, seed=3)
    faster = settled(translator)
    assert faster.backend == backend
    assert (faster is translator) == (backend == "torch")
    assert np.abs(pixels(faster(street)) - pixels(plain)).max() <= 1
    assert np.array_equal(pixels(translator(street, seed=3)), pixels(varied))
    assert (faster.engine.forecast(64, 64) is not None) or backend == "torch", "timed before its first picture"


def test_an_export_that_fails_is_logged_once_and_pytorch_goes_on(folder, own_cache, street, caplog):
    own_cache.write_text("a file where a folder should be")
    translator = Translator.from_pretrained(folder / "plain", device="cpu")
    assert settled(translator) is translator
    assert settled(translator) is translator
    (record,) = [record for record in caplog.records if record.name == speed.logger.name]
    assert "PyTorch goes on" in record.message
    assert "cannot be written" in record.message
    assert translator(street).size == (100, 60)


def test_a_runtime_that_fails_leaves_it_to_the_next(folder, kept, caplog, monkeypatch):
    def fail(path: Path, dtype: str, size: tuple[int, int]) -> None:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr("img2img_hub.runtimes.backends.open_openvino", fail)
    translator = Translator.from_pretrained(folder / "noisy", device="cpu")
    assert settled(translator).backend == "onnx"
    assert "not by OpenVINO" in caplog.text


def test_the_export_leaves_nothing_but_what_is_kept(folder, own_cache, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    settled(Translator.from_pretrained(folder / "plain", device="cpu"))
    assert len(list((own_cache / "img2img_hub" / "onnx").iterdir())) == 1
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_shipped_file_is_run_without_an_export(folder, own_cache, tmp_path, monkeypatch):
    from img2img_hub.runtimes.backends import keep_export

    shutil.copytree(folder / "plain", tmp_path / "plain")
    network = Translator.from_pretrained(tmp_path / "plain", device="cpu").network
    keep_export(network, working_size=64).rename(tmp_path / "plain" / "model.onnx")
    assert settled(Translator.from_pretrained(tmp_path / "plain", device="cpu")).backend == "openvino"
    assert list((own_cache / "img2img_hub" / "onnx").iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "missing", "wanted"),
    [
        ("", (), ["openvino", "onnx"]),
        ("auto", ("openvino",), ["onnx"]),
        ("torch", (), []),
        ("onnx", (), ["onnx"]),
        ("openvino", (), ["openvino"]),
    ],
)
def test_the_owner_chooses_the_backend(monkeypatch, asked, missing, wanted):
    monkeypatch.setenv("IMG2IMG_BACKEND", asked)
    monkeypatch.setattr(speed, "find_spec", lambda name: None if name in missing else object())
    assert speed.candidates() == wanted


def test_a_backend_that_cannot_be_is_said_at_the_start(monkeypatch):
    monkeypatch.setenv("IMG2IMG_BACKEND", "abacus")
    with pytest.raises(ValueError, match="IMG2IMG_BACKEND is 'abacus': give auto, torch, openvino, onnx"):
        build_demo(Models())
    monkeypatch.setenv("IMG2IMG_BACKEND", "openvino")
    monkeypatch.setattr(speed, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"not installed: pip install 'img2img_hub\[openvino\]'"):
        speed.candidates()


def test_on_a_graphics_card_nothing_is_exported(folder, own_cache, monkeypatch):
    translator = Translator.from_pretrained(folder / "plain", device="cpu")
    monkeypatch.setattr(translator, "device", torch.device("cuda"))
    assert speed.fastest(translator) is translator
    assert not speed.is_making(translator)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"] if knows_bfloat16() else ["float32"])
def test_the_page_goes_over_and_says_so(folder, street, tmp_path, dtype):
    there = "on CPU (OpenVINO)" if dtype == "float32" else f"on CPU (OpenVINO, {dtype})"
    own = {"IMG2IMG_BACKEND": "auto", "IMG2IMG_DTYPE": dtype}
    with serve(str(folder / "noisy"), folder=tmp_path, env=own) as address:
        client = Client(address, verbose=False, download_files=str(tmp_path / "downloads"), analytics_enabled=False)

        def translate() -> tuple[str, str]:
            _, download, line = client.predict("noisy", handle_file(street), "fit", api_name="/translate")
            return download, line

        first, line = translate()
        assert "on CPU (PyTorch)" in line
        deadline = time.monotonic() + WAIT
        while there not in line and time.monotonic() < deadline:
            time.sleep(0.5)
            second, line = translate()
        assert there in line
        difference = np.abs(pixels(first) - pixels(second))
        assert difference.max() <= 1 if dtype == "float32" else difference.mean() < 2
        made, line = client.predict("noisy", handle_file(street), "fit", 3, 1, api_name="/variations")
        assert "CPU (PyTorch)" in line, "dropout is PyTorch's"
        expected = Translator.from_pretrained(folder / "noisy", device="cpu")(street, resize="fit", seed=3)
        assert np.array_equal(pixels(made[1]["image"]), pixels(expected))


# --- programs ---------------------------------------------------------------------------------------------------------


def test_the_readmes_example_runs(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (example,) = [block for block in blocks if "gradio_client" in block]
    shipped = ROOT / "model_cards" / "facades-label2photo"
    shutil.copy(next((shipped / "examples").iterdir()), tmp_path / "labels.png")
    monkeypatch.chdir(tmp_path)
    with serve(str(shipped), folder=tmp_path) as address:
        assert example.count("http://127.0.0.1:7860") == 1
        values: dict[str, Any] = {}
        exec(example.replace("http://127.0.0.1:7860", address), values)
    assert Image.open(values["png"]).size == (256, 256)
    assert len(values["pictures"]) == 1 + 3
    assert "CPU" in values["line"]


# --- strangers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "rest"), [("variations", [1, 1, None]), ("cycle", [])])
def test_no_file_of_the_server_is_varied_or_cycled(client, folder, name, rest):
    theirs = {"path": str(folder / "plain/examples/1-stripes-1.png"), "meta": {"_type": "gradio.FileData"}}
    call = f"{client.src}gradio_api/call/{name}"
    with httpx.Client(trust_env=False, timeout=30) as http:
        event = http.post(call, json={"data": ["noisy", theirs, "fit", *rest]}).json()["event_id"]
        assert http.get(f"{call}/{event}").text.startswith("event: error")
