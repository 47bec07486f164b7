"""The page with models that take up the style of a picture: python -m pytest tests/test_demo_styles.py"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from img2img_hub.demo.models import Models, find_models
from img2img_hub.demo.several import translate_several
from img2img_hub.demo.translate_tab import choose_model, translate_upload
from img2img_hub.demo.variations import vary_upload
from img2img_hub.translation.translator import Translator
from tests.browser.serving import STRIPES, as_upload, picture, serve, write_noisy, write_styled


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With painters of one map, of a map and instances, without styles, and with those that only a seed draws; a map,
    which is one of instances, too; a photo."""
    folder = tmp_path_factory.mktemp("models")
    for name, instances in (("one", False), ("crowd", True), ("seeds", False)):
        write_styled(folder / "painters" / name, STRIPES, instances=instances)
    shutil.rmtree(folder / "painters/seeds/training")
    write_noisy(folder / "painters/noisy")
    Image.new("RGB", (30, 50), (250, 90, 0)).save(folder / "photo.png")
    picture((64, 48)).convert("P", palette=Image.Palette.ADAPTIVE, colors=2).save(folder / "map.png")
    return folder


@pytest.fixture(scope="module")
def painters(folder: Path) -> Models:
    return find_models(str(folder / "painters"))


def made_by(models: Models, call: str, key: str, source: Any, style: Any) -> Image.Image:
    if call == "translate":
        path = translate_upload(models, key, source, "fit", style=style)[1]
    elif call == "several":
        path = translate_several(models, key, "fit", [source, source, None, None], style=style)[1]
    else:
        path = vary_upload(models, key, source, "fit", 3, 1, style=style)[0][call == "seed"][0]
    return Image.open(path)


@pytest.mark.parametrize("call", ["translate", "several", "variations", "seed"])
def test_a_picture_gives_its_style(painters: Models, folder: Path, call: str) -> None:
    key = "crowd" if call == "several" else "one"
    source, photo = as_upload(folder / "map.png"), as_upload(folder / "photo.png")
    translator = Translator.from_pretrained(folder / "painters" / key, device="cpu")
    given = {"map": folder / "map.png", "ids": folder / "map.png"} if call == "several" else folder / "map.png"
    options = {"resize": "fit", "seed": 3 if call == "seed" else None}
    styled, plain = translator(given, style=folder / "photo.png", **options), translator(given, **options)
    for style, wanted in ((photo, styled), (None, plain)):
        assert np.array_equal(np.asarray(made_by(painters, call, key, source, style)), np.asarray(wanted))
    assert np.abs(np.asarray(styled, dtype=float) - np.asarray(plain)).mean() > 20


@pytest.mark.parametrize("call", ["translate", "variations"])
@pytest.mark.parametrize("key", ["noisy", "seeds"])
def test_a_style_for_a_model_that_takes_none_up_is_refused(painters: Models, folder: Path, key: str, call: str) -> None:
    source, photo = as_upload(folder / "map.png"), as_upload(folder / "photo.png")
    assert choose_model(painters, key)[8].visible is False
    with pytest.raises(gr.Error, match=f"{key.title()} takes up no style of a picture: leave the style picture out"):
        made_by(painters, call, key, source, photo)
    assert made_by(painters, call, key, source, None).size == (64, 48)


def test_a_style_is_read_after_the_model_is_known(painters: Models, folder: Path) -> None:
    with pytest.raises(gr.Error, match="There is no model"):
        made_by(painters, "translate", "no", as_upload(folder / "map.png"), as_upload(folder / "photo.png"))


def test_programs_may_leave_the_style_out(painters: Models, folder: Path, tmp_path: Path) -> None:
    source, photo = (handle_file(str(folder / name)) for name in ("map.png", "photo.png"))
    translator = Translator.from_pretrained(folder / "painters/one", device="cpu")
    with serve(str(folder / "painters"), folder=tmp_path) as address:
        client = Client(address, verbose=False, analytics_enabled=False, download_files=str(tmp_path / "got"))
        for more, style in (((), None), ((photo,), folder / "photo.png")):
            wanted = np.asarray(translator(folder / "map.png", style=style))
            made = client.predict("one", source, "fit", *more, api_name="/translate")[1]
            assert np.array_equal(np.asarray(Image.open(made)), wanted)
            made = client.predict("one", source, "fit", 1, 1, *more, api_name="/variations")[0][0]["image"]
            assert np.array_equal(np.asarray(Image.open(made)), wanted)
        several = client.predict("crowd", "fit", source, source, None, None, api_name="/translate_several")
        assert Image.open(several[1]).size == (64, 48)
