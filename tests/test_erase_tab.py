"""What the Erase tab's server takes from strangers, and what it refuses with a sentence: no browser.

python -m pytest tests/test_erase_tab.py
"""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from gradio.utils import get_upload_folder
from PIL import Image

from img2img_hub.demo import erase_tab
from img2img_hub.demo.app import build_demo
from img2img_hub.demo.enlarge_tab import enlargers
from img2img_hub.demo.erase_tab import erase_from, fillers, paper_under
from img2img_hub.demo.models import find_models
from img2img_hub.demo.paint_tab import PREFIX, check_paper
from img2img_hub.demo.several import show_inputs, translate_several
from img2img_hub.networks import CompactGenerator, DilatedResNetGenerator, UNetGenerator
from img2img_hub.translation.settings import TranslationSettings
from tests.test_holes import settings


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    DilatedResNetGenerator(width=4, blocks=1, dilated=1, norm="none").save_pretrained(folder / "eraser")
    settings(size=32).save(folder / "eraser")
    UNetGenerator(width=4, levels=4).save_pretrained(folder / "plain")
    TranslationSettings(working_size=32).save(folder / "plain")
    CompactGenerator(scale=2, blocks=1, width=4).save_pretrained(folder / "larger")
    TranslationSettings(family="srgan", working_size=32, crop="native").save(folder / "larger")
    return find_models(f"{folder / 'eraser'}, {folder / 'plain'}, {folder / 'larger'}")


def uploaded(image: Image.Image, *, name: str = "photo.png", **options: Any) -> dict[str, str]:
    data = io.BytesIO()
    image.save(data, "PNG", **options)
    path = Path(get_upload_folder(), hashlib.sha256(data.getvalue()).hexdigest(), name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.getvalue())
    return {"path": str(path), "orig_name": name}


def drawn(width: int = 60, height: int = 40, box: tuple[int, int, int, int] | None = (10, 10, 20, 20)) -> str:
    sheet = Image.new("RGB", (width, height), erase_tab._KEEP)
    if box is not None:
        sheet.paste(erase_tab._ERASE, box)
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return PREFIX + base64.b64encode(data.getvalue()).decode()


def photo(width: int = 60, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_the_page_offers_the_tabs_where_a_model_has_use_for_them(models):
    assert (fillers(models), enlargers(models)) == (["eraser"], ["larger"])
    labels = {block.label for block in build_demo(models).blocks.values() if isinstance(block, gr.Tab)}
    assert len(labels) == 6


def test_what_is_painted_over_is_filled_and_the_rest_is_the_photos_own(models):
    path, line = erase_from(models, "eraser", uploaded(photo()), drawn())
    made, before = np.asarray(Image.open(path)), np.asarray(photo())
    changed = (made != before).any(axis=2)
    assert changed[10:20, 10:20].mean() > 0.9
    assert changed.sum() == changed[10:20, 10:20].sum()
    assert "Filled in" in line
    assert Path(path).name == "photo-eraser.png"


def test_alpha_and_turned_photos_come_back_upright_and_as_they_were(models):
    rgba = photo().convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(rgba.size))
    path, _ = erase_from(models, "eraser", uploaded(rgba), drawn())
    made = np.asarray(Image.open(path))
    assert np.array_equal(made[..., 3], np.asarray(rgba)[..., 3])
    assert np.array_equal(made[30:], np.asarray(rgba)[30:])
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    path, _ = erase_from(models, "eraser", uploaded(photo(40, 60), exif=exif), drawn())
    assert Image.open(path).size == (60, 40)


def test_nothing_painted_fills_nothing(models):
    path, line = erase_from(models, "eraser", uploaded(photo()), drawn(box=None))
    assert path is None
    assert "Paint over what shall go." in line


@pytest.mark.parametrize(
    ("key", "upload", "drawing", "says"),
    [
        ("eraser", None, drawn(), "Upload, paste or take a picture"),
        ("eraser", "/etc/passwd", drawn(), "did not arrive"),
        ("eraser", {"path": "/etc/passwd"}, drawn(), "did not arrive"),
        ("nobody", photo, drawn(), "nobody"),
        (["eraser"], photo, drawn(), "eraser"),
        ("plain", photo, drawn(), "fills no holes"),
        ("eraser", photo, 7, "drawing"),
        ("eraser", photo, ["data:image/png;base64,"], "drawing"),
        ("eraser", photo, PREFIX + "AAAA", "drawing"),
        ("eraser", photo, drawn(2000, 20), "2000"),
        ("eraser", photo, drawn(40, 60), "another shape"),
        ("eraser", photo, drawn(box=(0, 0, 60, 40)), "All of the picture is painted over"),
    ],
)
def test_what_strangers_send_is_answered_with_a_sentence(models, key, upload, drawing, says):
    sent = uploaded(photo()) if upload is photo else upload
    with pytest.raises(gr.Error, match=f"(?i){says}"):
        erase_from(models, key, sent, drawing)


def test_too_much_of_a_large_picture_is_refused_before_it_is_computed(models, monkeypatch):
    monkeypatch.setattr(erase_tab, "MAX_NATIVE_PIXELS", 2000)
    erase_from(models, "eraser", uploaded(photo(400, 300)), drawn(400, 300, box=(10, 10, 20, 20)))
    with pytest.raises(gr.Error, match="Paint over less"):
        erase_from(models, "eraser", uploaded(photo(400, 300)), drawn(400, 300, box=(10, 10, 90, 90)))


def test_the_paper_under_a_photo_is_small_and_never_a_models(models):
    paper = paper_under(photo(3000, 1500))
    assert (paper["width"], paper["height"]) == (1024, 512)
    assert paper["under"].startswith("data:image/jpeg;base64,")
    kept = check_paper(paper | {"under": "https://example.com/x.png"})
    assert "under" not in kept, "a stranger's paint.json names no picture that the browser would fetch"


def test_the_translate_tab_asks_for_the_picture_and_the_mask(models):
    _, *inputs = show_inputs(models.translator("eraser"))
    assert [each.label for each in inputs if each.visible] == ["source", "mask"]
    mask = Image.new("L", (60, 40))
    mask.paste(255, (10, 10, 20, 20))
    uploads = [uploaded(photo()), uploaded(mask, name="mask.png"), None, None]
    _, path, _ = translate_several(models, "eraser", "native", uploads)
    assert np.array_equal(np.asarray(Image.open(path))[20:], np.asarray(photo())[20:])


def test_many_dots_on_a_large_picture_are_refused_at_once_for_fit_and_native(models, monkeypatch):
    monkeypatch.setattr(erase_tab, "MAX_NATIVE_PIXELS", 40_000)
    dots = Image.new("RGB", (512, 512), erase_tab._KEEP)
    for x in range(0, 512, 60):
        for y in range(0, 512, 60):
            dots.putpixel((x, y), (255, 45, 120))
    data = io.BytesIO()
    dots.save(data, "PNG")
    drawing = PREFIX + base64.b64encode(data.getvalue()).decode()
    translator = models.translator("eraser")
    for change in ({}, {"resize": "fit", "crop": "resize"}, {"resize": "fit"}):
        monkeypatch.setattr(translator, "settings", replace(translator.settings, **change))
        with pytest.raises(gr.Error, match="Paint over less"):
            erase_from(models, "eraser", uploaded(photo(1024, 1024)), drawing)


@pytest.mark.parametrize("tab", ["erase", "enlarge"])
@pytest.mark.parametrize("key", [["x"], "nobody", None, {"a": 1}])
def test_a_key_that_no_model_has_opens_no_tab_with_a_traceback(models, tab, key):
    """What comes by Gradio's own events is not checked against the choices."""
    demo = build_demo(models)
    place = next(
        block._id
        for block in demo.blocks.values()
        if isinstance(block, gr.Dropdown) and block.elem_id == f"{tab}-model"
    )
    (first,) = [each for each in demo.fns.values() if each.name == "first" and each.inputs[0]._id == place]
    assert first.fn(key, None) == gr.skip()
