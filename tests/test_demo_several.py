"""The page with a model of several pictures: python -m pytest tests/test_demo_several.py"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image, ImageColor

from img2img_hub.demo.about_tab import HERE, describe_model
from img2img_hub.demo.app import build_demo
from img2img_hub.demo.gallery import thumbnail
from img2img_hub.demo.models import find_models
from img2img_hub.demo.several import show_inputs
from img2img_hub.demo.translate_tab import choose_model
from img2img_hub.evaluation.sheets import sample_sheet
from img2img_hub.translation.translator import Translator
from tests.browser.serving import STRIPES, picture, serve, write_model, write_rooms, write_styled


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_rooms(folder / "rooms")
    write_model(folder / "maps", card="# Maps\n")
    picture((64, 48)).save(folder / "a.png")
    picture((64, 48), stripe=3).convert("L").save(folder / "b.png")
    picture((32, 48)).convert("L").save(folder / "narrow.png")
    return folder


@pytest.fixture(scope="module")
def client(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    server = tmp_path_factory.mktemp("server")
    with serve(f"{folder / 'rooms'}, {folder / 'maps'}", folder=server) as address:
        yield Client(address, verbose=False, analytics_enabled=False, download_files=str(server / "got"))


def test_the_gallery_shows_an_input_and_the_output(tmp_path: Path) -> None:
    rooms = write_rooms(tmp_path / "rooms")
    colours = ("navy", "gray", "gold", "teal")
    row = [Image.new("RGB", (64, 64), colour) for colour in colours]
    sample_sheet([row, row], titles=["colours", "edges", "output", "target"]).save(rooms / "sample_sheet.png")
    (model,) = find_models(str(rooms)).models.values()
    shown = Image.open(io.BytesIO(base64.b64decode(thumbnail(model).partition(",")[2]))).convert("RGB")
    seen = [np.asarray(shown.getpixel((x, 80))).astype(int) for x in (20, 140)]
    wanted = [np.asarray(ImageColor.getrgb(colour)) for colour in ("navy", "gold")]
    assert all(np.abs(one - other).max() < 16 for one, other in zip(seen, wanted, strict=True))


def test_the_pictures_go_in_by_the_models_order(client: Client, folder: Path) -> None:
    given = [handle_file(str(folder / name)) for name in ("a.png", "b.png")]
    (before, after), file, line = client.predict("rooms", "native", *given, None, None, api_name="/translate_several")
    wanted = Translator.from_pretrained(folder / "rooms")(
        {"colours": folder / "a.png", "edges": folder / "b.png"}, resize="native"
    )
    for made in (after, file):
        assert np.array_equal(np.asarray(Image.open(made)), np.asarray(wanted))
    assert np.array_equal(np.asarray(Image.open(before)), np.asarray(Image.open(folder / "a.png")))
    assert "64 × 48 px" in line


def test_the_calls_that_the_about_tab_shows_work(client, folder, tmp_path, monkeypatch, capsys) -> None:
    _, python, call, *_ = describe_model(find_models(str(folder / "rooms")), "rooms")
    for name, file in (("colours", "a.png"), ("edges", "b.png")):
        (tmp_path / f"{name}.png").write_bytes((folder / file).read_bytes())
    (tmp_path / "rooms").symlink_to(folder / "rooms")
    monkeypatch.chdir(tmp_path)
    exec(python, {})
    exec(call.replace(HERE, client.src), {})
    made = [Image.open(path) for path in (tmp_path / "translated.png", capsys.readouterr().out.splitlines()[-1])]
    assert [image.size for image in made] == [(64, 48), (64, 48)]


@pytest.mark.parametrize(
    ("model", "names", "says"),
    [
        ("rooms", ("a.png", None, None), r"give one of each, colours \(RGB\), edges \(grey\)"),
        ("rooms", ("a.png", "b.png", "b.png"), "give one of each"),
        ("rooms", (None, None, None), "give one of each"),
        ("rooms", ("a.png", "narrow.png", None), "have one size, but a.png is 64×48, narrow.png is 32×48"),
        ("maps", ("a.png", None, None), "takes one picture"),
        ("no", ("a.png", None, None), "no model"),
    ],
)
def test_what_is_wrong_is_said_with_the_cure(client: Client, folder: Path, model, names, says) -> None:
    given = [None if name is None else handle_file(str(folder / name)) for name in names]
    with pytest.raises(AppError, match=says):
        client.predict(model, "fit", *given, None, api_name="/translate_several")


@pytest.mark.parametrize("endpoint", ["/translate", "/variations", "/cycle", "/batch"])
def test_one_picture_for_such_a_model_is_refused_in_words(client: Client, folder: Path, endpoint: str) -> None:
    more = (1, 1) if endpoint == "/variations" else ()
    given: Any = handle_file(str(folder / "a.png"))
    with pytest.raises(AppError, match=r"several pictures \(colours \(RGB\), edges \(grey\)\): give them in the Tra"):
        client.predict("rooms", [given] if endpoint == "/batch" else given, "fit", *more, api_name=endpoint)


def test_compare_says_the_same_and_shows_what_others_make(client: Client, folder: Path) -> None:
    pictures, line = client.predict(["rooms", "maps"], handle_file(str(folder / "a.png")), "fit", api_name="/compare")
    assert len(pictures) == 2
    assert "Rooms: This model makes its result of several pictures" in line


def test_the_batch_tab_offers_the_others_alone(folder: Path) -> None:
    def offered(*names: str) -> tuple[list[str], str]:
        demo = build_demo(find_models(", ".join(str(folder / name) for name in names)))
        (menu,) = (block for block in demo.blocks.values() if getattr(block, "elem_id", None) == "batch-model")
        return [key for _, key in menu.choices], menu.value

    assert offered("rooms", "maps") == (["maps"], "maps")
    assert offered("rooms") == (["rooms"], "rooms")


def test_an_input_is_shown_for_each_picture_that_the_model_takes(folder: Path) -> None:
    models = find_models(f"{folder / 'rooms'}, {folder / 'maps'}")
    *_, source, button, section, first, second, third, _ = choose_model(models, "rooms")
    assert (source.visible, button.visible, section.visible) == (False, False, True)
    assert [(image.label, image.visible) for image in (first, second)] == [("colours", True), ("edges", True)]
    assert third.visible is False
    *_, source, button, section, first, _, _, _ = choose_model(models, "maps")
    assert (source.visible, button.visible, section.visible, first.visible) == (True, True, False, False)
    assert len(show_inputs(None)) == 5
    # One label map is one picture, of which there are variations; it is called what the model calls it.
    write_styled(folder / "styles", STRIPES)
    models = find_models(str(folder / "styles"))
    *_, variations, _, style, source, button, section, _, _, _, _ = choose_model(models, "styles")
    assert (source.label, source.visible, button.visible, section.visible) == ("map", True, True, False)
    assert (variations.visible, style.visible) == (True, True)
