"""Models that enlarge, on the page: what comes out, what is said of it, and what is too large."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from PIL import Image

from img2img_hub.demo import requests
from img2img_hub.demo.forecast import default_resize, foretell
from img2img_hub.demo.models import Models, find_models
from img2img_hub.demo.translate_tab import choose_model, translate_upload
from img2img_hub.networks import CompactGenerator
from img2img_hub.translation.settings import TranslationSettings
from img2img_hub.translation.translator import Translator
from tests.browser.serving import as_upload, picture, serve


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for scale in (2, 4):
        torch.manual_seed(scale)
        CompactGenerator(scale=scale, blocks=1, width=4).save_pretrained(folder / f"models/x{scale}")
        settings = TranslationSettings(family="srgan", working_size=32, resize="native", crop="native")
        settings.save(folder / f"models/x{scale}")
    picture((60, 44)).convert("RGB").save(folder / "photo.png")
    return folder


@pytest.fixture(scope="module")
def models(folder: Path) -> Models:
    return find_models(str(folder / "models"))


@pytest.mark.parametrize("mode", ["fit", "native"])
@pytest.mark.parametrize("scale", [2, 4])
def test_a_picture_becomes_larger_as_it_is(models: Models, folder: Path, scale: int, mode: str) -> None:
    """Whatever a program says of the resolution: it is never squeezed into a square of the training's size."""
    _, after, line = translate_upload(models, f"x{scale}", as_upload(folder / "photo.png"), mode)
    made = Image.open(after)
    assert made.size == (60 * scale, 44 * scale)
    expected = Translator.from_pretrained(folder / f"models/x{scale}", device="cpu")(folder / "photo.png")
    assert np.abs(np.asarray(made).astype(int) - np.asarray(expected)).max() <= 1
    assert f"{60 * scale} × {44 * scale} px · {scale}× as large" in line


def test_there_is_no_resolution_to_choose(models: Models, folder: Path) -> None:
    radio = choose_model(models, "x4")[2]
    assert [value for _, value in radio.choices] == ["native"]
    assert "(4×)" in radio.choices[0][0]
    assert default_resize(models, "x4", as_upload(folder / "photo.png")) == "native"


def test_what_would_become_too_large_is_refused_by_what_may_come_in(
    models: Models, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(requests, "MAX_ENLARGED_PIXELS", 16 * 10_000)
    picture((100, 100)).save(tmp_path / "most.png")
    picture((101, 100)).save(tmp_path / "more.png")
    for mode in ("fit", "native"):
        translate_upload(models, "x4", as_upload(tmp_path / "most.png"), mode)
        with pytest.raises(gr.Error, match=r"this model, which enlarges, takes up to 0\.01\. Make the picture smaller"):
            translate_upload(models, "x4", as_upload(tmp_path / "more.png"), mode)
    assert "which enlarges, takes up to 0.01" in foretell(models, "x4", as_upload(tmp_path / "more.png"))


def test_by_programs(folder: Path, tmp_path: Path) -> None:
    photo = handle_file(str(folder / "photo.png"))
    with serve(str(folder / "models"), folder=tmp_path) as address:
        client = Client(address, verbose=False, analytics_enabled=False, download_files=str(tmp_path / "got"))
        _, png, line = client.predict("x4", photo, "fit", api_name="/translate")
        assert Image.open(png).size == (240, 176)
        assert "4× as large" in line
        done = client.predict("x2", [photo], "fit", api_name="/batch")
        assert "1" in str(done[-1])
        pictures, _ = client.predict(["x2", "x4"], photo, "fit", api_name="/compare")
        sizes = [Image.open(each["image"]).size for each in pictures]
        assert sizes == [(60, 44), (120, 88), (240, 176)]


def test_as_it_is_counts_as_native_also_where_nothing_is_enlarged(tmp_path: Path, monkeypatch) -> None:
    CompactGenerator(scale=1, blocks=1, width=4).save_pretrained(tmp_path / "models/same")
    TranslationSettings(family="pix2pix", working_size=32, crop="native").save(tmp_path / "models/same")
    models = find_models(str(tmp_path / "models"))
    monkeypatch.setattr(requests, "MAX_NATIVE_PIXELS", 3_000)
    picture((60, 60)).save(tmp_path / "more.png")
    with pytest.raises(gr.Error, match="The picture has"):
        translate_upload(models, "same", as_upload(tmp_path / "more.png"), "fit")
    assert default_resize(models, "same", as_upload(tmp_path / "more.png")) == "native"
    assert [value for _, value in choose_model(models, "same")[2].choices] == ["native"]
