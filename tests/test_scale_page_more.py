"""What the page says and limits of models that enlarge: texts, several pictures at once, drawings, both languages."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
import torch
from gradio_client import Client, handle_file
from PIL import Image

from img2img_hub.demo import batch_tab, requests
from img2img_hub.demo.batch_tab import translate_batch
from img2img_hub.demo.compare_tab import compare_models
from img2img_hub.demo.components import resize_choices
from img2img_hub.demo.forecast import foretell
from img2img_hub.demo.models import Models, find_models
from img2img_hub.demo.paint_tab import PREFIX, paint_translation
from img2img_hub.demo.texts import TEXTS
from img2img_hub.demo.translate_tab import translate_upload
from img2img_hub.networks import CompactGenerator
from img2img_hub.translation.settings import TranslationSettings
from tests.browser.serving import as_upload, picture, serve

CHINESE = SimpleNamespace(headers={"accept-language": "zh-CN,zh;q=0.9"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x3 of pictures as they are; squeezed, x2 of pictures at a trained size; same, as they are and no larger."""
    folder = tmp_path_factory.mktemp("models")
    for name, scale, crop in (("x3", 3, "native"), ("squeezed", 2, "resize"), ("same", 1, "native")):
        torch.manual_seed(scale)
        CompactGenerator(scale=scale, blocks=1, width=4).save_pretrained(folder / f"models/{name}")
        settings = TranslationSettings(family="srgan", working_size=32, resize="native", crop=crop)
        settings.save(folder / f"models/{name}")
    picture((60, 44)).convert("RGB").save(folder / "photo.png")
    picture((100, 100)).convert("RGB").save(folder / "square.png")
    return folder


@pytest.fixture
def models(folder: Path) -> Models:
    return find_models(str(folder / "models"))


def test_a_model_with_resolutions_says_how_much_larger_too(models: Models, folder: Path) -> None:
    choices = resize_choices(models.translator("squeezed"))
    assert [value for _, value in choices] == ["fit", "native"]
    assert choices[0][0].endswith("(32 px, 2×)")
    assert choices[1][0].endswith("(2×)")
    for mode, how in (("fit", "fit to 32 px"), ("native", "native resolution")):
        _, after, line = translate_upload(models, "squeezed", as_upload(folder / "photo.png"), mode)
        assert Image.open(after).size == (120, 88)
        assert line.endswith(f"120 × 88 px · {how} · 2× as large</p>")
    _, _, line = translate_upload(models, "same", as_upload(folder / "photo.png"), "fit")
    assert "as large" not in line


def test_the_forecast_says_the_results_size(models: Models, folder: Path) -> None:
    upload = as_upload(folder / "photo.png")
    assert foretell(models, "x3", upload).endswith("The result has 180 × 132 px.</p>")
    assert foretell(models, "x3", upload, CHINESE).endswith("结果为 180 × 132 像素。</p>")
    assert "The result" not in foretell(models, "same", upload)


def test_a_large_photo_is_refused_by_a_cure_that_there_is(models: Models, tmp_path: Path, monkeypatch) -> None:
    """A photo of 12 megapixels, before and after the model is loaded: there is no "fit" to choose."""
    Image.new("RGB", (4000, 3000)).save(tmp_path / "photo.png")
    upload = as_upload(tmp_path / "photo.png")
    said = {
        "x3": r"\(12\.0 megapixels\); this model, which enlarges, takes up to 1\.78\. Make the picture smaller\.",
        "same": r"\(12\.0 megapixels\); this model takes pictures as they are, up to 4\. Make the picture smaller\.",
    }
    for key, expected in said.items():
        for mode in ("native", "fit"):
            with pytest.raises(gr.Error, match=expected):
                translate_upload(models, key, upload, mode)
        assert "Fit to" not in foretell(models, key, upload)
    with pytest.raises(gr.Error, match=r"此模型会放大图片，最多支持 1\.78 百万像素。请缩小图片。"):
        translate_upload(models, "x3", upload, "native", CHINESE)
    with pytest.raises(gr.Error, match="此模型按原图处理，最多支持 4 百万像素。请缩小图片。"):
        translate_upload(models, "same", upload, "native", CHINESE)
    with pytest.raises(gr.Error, match="Choose “Fit to working size”"):  # where there is one
        translate_upload(models, "squeezed", upload, "native")


@pytest.mark.parametrize("mode", ["fit", "native"])
def test_several_pictures_count_by_what_comes_out_whatever_is_chosen(
    models: Models, folder: Path, mode: str, monkeypatch
) -> None:
    monkeypatch.setattr(batch_tab, "MAX_BATCH_ENLARGED_PIXELS", 2 * 9 * 10_000)
    upload = as_upload(folder / "square.png")
    _, report, small = translate_batch(models, "x3", [upload] * 2, mode)
    assert "3× as large" in report
    assert len(small) == 2
    with pytest.raises(gr.Error, match=r"0\.0 megapixels in all; 0\.02 at a time is the most with this model\. Take"):
        translate_batch(models, "x3", [upload] * 3, mode)
    monkeypatch.setattr(batch_tab, "MAX_BATCH_PIXELS", {"fit": 10**9, "native": 20_000})
    _, report, _ = translate_batch(models, "same", [upload] * 2, mode)
    assert "as large" not in report
    with pytest.raises(gr.Error, match="at a time is the most with this model"):
        translate_batch(models, "same", [upload] * 3, mode)


def test_the_most_in_all_is_some_of_the_most_of_one() -> None:
    assert 2 * requests.MAX_ENLARGED_PIXELS <= batch_tab.MAX_BATCH_ENLARGED_PIXELS <= 2**27


def test_compared_results_say_which_are_larger(models: Models, folder: Path) -> None:
    pictures, _ = compare_models(models, ["x3", "same", "squeezed"], as_upload(folder / "photo.png"), "native")
    captions = [caption for _, caption in pictures]
    assert captions[1].endswith(" s · 3× as large")
    assert captions[2].endswith(" s")
    assert captions[3].endswith(" s · 2× as large")
    assert [Image.open(path).size for path, _ in pictures] == [(60, 44), (180, 132), (60, 44), (120, 88)]


def test_a_drawing_is_limited_by_what_comes_out(models: Models, folder: Path, monkeypatch) -> None:
    import base64

    drawing = PREFIX + base64.b64encode((folder / "square.png").read_bytes()).decode()
    path, _ = paint_translation(models, "x3", drawing)
    assert Image.open(path).size == (300, 300)
    monkeypatch.setattr(requests, "MAX_ENLARGED_PIXELS", 89_999)
    with pytest.raises(gr.Error, match=r"this model, which enlarges, takes up to 0\.01"):
        paint_translation(models, "x3", drawing)


def test_new_texts_have_the_same_places_in_both_languages() -> None:
    for name in ("enlarged", "becomes", "too_large_as_is", "too_many_pixels_as_is", "too_large_fit"):
        english, chinese = TEXTS[name]
        for place in ("{size", "{limit", "{scale}", "{width}", "{height}"):
            assert (place in english) == (place in chinese), name


def test_by_programs(folder: Path, tmp_path: Path) -> None:
    photo, square = (handle_file(str(folder / name)) for name in ("photo.png", "square.png"))
    with serve(str(folder / "models"), folder=tmp_path) as address:
        client = Client(address, verbose=False, analytics_enabled=False, download_files=str(tmp_path / "got"))
        (before, after), png, line = client.predict("x3", photo, "native", api_name="/translate")
        assert [Image.open(each).size for each in (before, after, png)] == [(60, 44), (180, 132), (180, 132)]
        assert "180 × 132 px · 3× as large" in line
        _, report, _ = client.predict("x3", [photo, square], "native", api_name="/batch")
        assert "2 of 2 pictures done" in report
        assert "3× as large" in report
        pictures, _ = client.predict(["squeezed", "x3"], photo, "native", api_name="/compare")
        assert [each["caption"].split(" · ")[-1] for each in pictures[1:]] == ["2× as large", "3× as large"]
