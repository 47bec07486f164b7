"""The Compare tab's endpoint, called as any program would: python -m pytest tests/test_demo_compare.py

Revisions are in tests/test_demo_guests.py, beside the Hub that they need.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from img2img_hub import Translator, UNetGenerator
from img2img_hub.demo.about_tab import api_call
from img2img_hub.demo.app import build_demo
from img2img_hub.demo.models import find_models
from tests.browser.serving import picture, serve, write_model

NAMES = {"a-stripes2dots": "Stripes → dots", "b-winter2summer": "B: winter → summer", "c-maps": "Maps"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "a-stripes2dots")
    write_model(folder / "b-winter2summer", card=None, examples=1, resize="native")
    UNetGenerator(levels=4, width=5).save_weights(folder / "b-winter2summer")
    write_model(folder / "c-maps", card="# Maps\n", examples=0)
    UNetGenerator(levels=4, width=6).save_weights(folder / "c-maps")
    (write_model(folder / "d-broken", card="# Broken\n", examples=0) / "model.safetensors").write_bytes(b"no weights")
    write_model(folder / "e-one", examples=0, card="# Same\n")
    write_model(folder / "f-two", examples=0, card="# Same\n")
    return folder


@pytest.fixture(scope="module")
def client(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    server = tmp_path_factory.mktemp("server")
    with serve(str(models), folder=server) as address:
        yield Client(address, verbose=False, download_files=str(server / "downloads"), analytics_enabled=False)


@pytest.fixture
def compare(client: Client):
    def call(keys: list[str] | str, path: Path | None, mode: str = "fit"):
        return client.predict(keys, None if path is None else handle_file(str(path)), mode, api_name="/compare")

    return call


@pytest.mark.parametrize("mode", ["fit", "native"])
def test_each_picture_is_what_its_model_makes(compare, models, tmp_path, mode):
    picture((90, 50)).save(tmp_path / "my street.jpg")
    pictures, line = compare(list(NAMES), tmp_path / "my street.jpg", mode)
    assert [each["caption"].split(" · ")[0] for each in pictures] == ["Your picture", *NAMES.values()]
    assert all(each["caption"].endswith(" s") for each in pictures[1:])
    assert Path(pictures[0]["image"]).read_bytes() == (tmp_path / "my street.jpg").read_bytes()
    for key, each in zip(NAMES, pictures[1:], strict=True):
        expected = Translator.from_pretrained(models / key)(tmp_path / "my street.jpg", resize=mode)
        with Image.open(each["image"]) as result:
            assert (result.format, result.size) == ("PNG", (90, 50))
            assert np.array_equal(np.asarray(result), np.asarray(expected))
        assert Path(each["image"]).name == f"my street-{key}.png"
    assert "3 results side by side · 90 × 50 px" in line


def test_models_of_one_name_are_told_apart(compare, tmp_path):
    picture((8, 8)).save(tmp_path / "x.png")
    pictures, _ = compare(["e-one", "f-two"], tmp_path / "x.png")
    assert [each["caption"].split(" · ")[0] for each in pictures[1:]] == ["e-one", "f-two"]


def test_a_model_that_cannot_be_loaded_is_named_beside_the_others(compare, models, tmp_path):
    picture((8, 8)).save(tmp_path / "x.png")
    pictures, report = compare(["a-stripes2dots", "d-broken"], tmp_path / "x.png")
    assert len(pictures) == 2
    assert "Broken: d-broken: model.safetensors is no readable" in report
    assert str(models) not in report


def test_what_a_visitor_does_wrong_is_said_with_its_cure(compare, client, tmp_path):
    picture((8, 8)).save(tmp_path / "x.png")
    Image.new("1", (2001, 2000)).save(tmp_path / "large.png")
    (tmp_path / "letter.png").write_text("Dear visitor")
    two, x = list(NAMES)[:2], tmp_path / "x.png"
    for call, message in (
        (lambda: compare([], x), "Choose two to four models; you chose 0"),
        (lambda: compare(["c-maps", "c-maps"], x), "Choose two to four models; you chose 1"),
        (lambda: compare([*NAMES, "e-one", "f-two"], x), "Choose two to four models; you chose 5"),
        (lambda: compare("c-maps", x), "Choose two to four"),
        (lambda: compare(["c-maps", "someone/else"], x), "no model .*someone/else"),
        (lambda: compare(["c-maps", "<b>x</b>"], x), "no model .*&lt;b&gt;"),
        (lambda: compare([{"a": 1}, ["b"]], x), "no model"),
        (lambda: compare(two, None), "Upload, paste or take a picture first"),
        (lambda: compare(two, x, "sideways"), "give 'fit' or 'native'|give &#x27;fit"),
        (lambda: compare(two, tmp_path / "large.png", "native"), "Fit to working size"),
        (lambda: compare(two, tmp_path / "letter.png"), r"letter\.png is not an image"),
    ):
        with pytest.raises(AppError, match=message):
            call()


def test_the_call_that_the_about_tab_shows_works(client, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    picture((30, 20)).save("picture.png")
    exec(api_call("c-maps", client.src), {})
    assert Image.open(capsys.readouterr().out.splitlines()[-1]).size == (30, 20)


def test_one_model_alone_has_nothing_to_be_compared_with(models):
    def tabs(names: str) -> str:
        return str(build_demo(find_models(names)).get_config_file())

    assert "compare-source" not in tabs(str(models / "c-maps"))
    assert "compare-source" in tabs(f"{models / 'c-maps'}, {models / 'e-one'}")
    assert "compare-source" in tabs("owner/name"), "revisions"
    hub = build_demo(find_models("owner/name")).get_api_info()["named_endpoints"]
    assert "/compare_revisions" in hub
    assert "/compare" not in hub
