"""The page in a real browser: headless Chromium clicks through it, and nothing may leave 127.0.0.1.

    python -m pytest tests/browser

Screenshots go to a temporary folder, or to the one that IMG2IMG_SCREENSHOTS names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.serving import WAIT, picture, serve, write_model


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    models = tmp_path_factory.mktemp("models")
    write_model(models / "a-stripes2dots")
    write_model(models / "b-winter2summer", card=None, examples=1, resize="native")
    broken = write_model(models / "c-broken", card="# C: broken\n", examples=0)
    (broken / "model.safetensors").write_bytes(b"no weights")
    with serve(str(models), folder=tmp_path_factory.mktemp("server")) as url:
        yield url


def ready(page: Page) -> None:
    """The model is loaded and its first example shown."""
    expect(page.locator("#source img")).to_be_visible(timeout=WAIT)
    expect(page.locator("#examples button").first).to_be_visible(timeout=WAIT)


def choose(page: Page, name: str) -> None:
    page.get_by_role("radiogroup", name="Model").get_by_role("radio", name=name).check()


def translate(page: Page) -> None:
    page.get_by_role("button", name="Translate", exact=True).click()
    expect(page.locator("#status [role=status]")).to_contain_text("Done in", timeout=WAIT)
    expect(page.locator("#slider img")).to_have_count(2)


def download(page: Page, folder: Path) -> Image.Image:
    with page.expect_download() as event:
        page.locator("#download").click()
    path = folder / event.value.suggested_filename
    event.value.save_as(path)
    return Image.open(path)


def natural_sizes(page: Page) -> list[list[int]]:
    page.wait_for_function("[...document.querySelectorAll('#slider img')].every(i => i.complete && i.naturalWidth)")
    return page.evaluate("[...document.querySelectorAll('#slider img')].map(i => [i.naturalWidth, i.naturalHeight])")


def test_from_choosing_a_model_to_the_download(open_page, address, screenshots, tmp_path):
    page = open_page(address)
    ready(page)
    expect(page.locator("#story")).to_have_text("Turns stripes into dots. A random network, made for the tests.")
    expect(page.get_by_role("radio", name="Fit to working size (64 px)")).to_be_checked()
    expect(page.locator("#examples button")).to_have_count(3)

    choose(page, "B: winter → summer")
    expect(page.get_by_role("radio", name="Native resolution")).to_be_checked()
    expect(page.locator("#examples button")).to_have_count(1)
    choose(page, "Stripes → dots")
    expect(page.locator("#examples button")).to_have_count(3)
    expect(page.get_by_role("radio", name="Fit to working size (64 px)")).to_be_checked()

    before = page.locator("#source img").get_attribute("src")
    page.locator("#examples button").nth(1).click()
    expect(page.locator("#source img")).not_to_have_attribute("src", before or "")
    translate(page)
    assert natural_sizes(page) == [[64, 64], [64, 64]]
    result = download(page, tmp_path)
    assert (result.format, result.size) == ("PNG", (64, 64))
    assert Path(result.filename).name == "a-stripes2dots.png"  # type: ignore[attr-defined]
    assert not np.array_equal(np.asarray(result), np.asarray(picture((64, 64), stripe=7)))

    expect(page.locator("#facts")).to_contain_text("a-stripes2dots")
    page.screenshot(path=screenshots / "translated-1440.png", full_page=True)


def test_an_uploaded_picture_keeps_its_size(open_page, address, tmp_path):
    picture((150, 90)).save(tmp_path / "my street.jpg")
    page = open_page(address)
    ready(page)
    page.get_by_role("button", name="Remove Image").click()
    page.locator("#source input[type=file]").set_input_files(tmp_path / "my street.jpg")
    expect(page.locator("#source img")).to_have_js_property("naturalWidth", 150)
    page.get_by_role("radio", name="Native resolution").check()
    translate(page)
    expect(page.locator("#status [role=status]")).to_contain_text("150 × 90 px · native resolution")
    assert natural_sizes(page) == [[150, 90], [150, 90]]
    result = download(page, tmp_path)
    assert result.size == (150, 90)
    assert Path(result.filename).name == "my street-a-stripes2dots.png"  # type: ignore[attr-defined]

    # An upload stays when the model changes: the same picture through another model.
    choose(page, "B: winter → summer")
    expect(page.locator("#facts")).to_contain_text("b-winter2summer")
    expect(page.locator("#source img")).to_have_js_property("naturalWidth", 150)


def test_a_bad_file_is_explained_and_the_page_goes_on(open_page, address, screenshots, tmp_path):
    (tmp_path / "letter.png").write_text("Dear visitor")
    page = open_page(address)
    ready(page)
    page.get_by_role("button", name="Remove Image").click()
    expect(page.locator("#source img")).to_have_count(0)  # before that, the field for files is another one
    page.locator("#source input[type=file]").set_input_files(tmp_path / "letter.png")
    expect(page.get_by_text("letter.png is not an image that can be read")).to_be_visible(timeout=WAIT)
    expect(page.locator("#source img")).to_have_count(0)
    page.screenshot(path=screenshots / "bad-file.png")
    page.locator("#examples button").first.click()
    expect(page.locator("#source img")).to_have_count(1, timeout=WAIT)  # a busy machine takes a moment to fetch it
    translate(page)


def test_a_model_that_cannot_be_loaded_leaves_the_others_usable(open_page, address):
    page = open_page(address)
    ready(page)
    choose(page, "C: broken")
    expect(page.locator("#facts")).to_contain_text("cannot be loaded", timeout=WAIT)
    expect(page.locator("#source img")).to_have_count(0)
    choose(page, "Stripes → dots")
    ready(page)
    translate(page)


def test_pressing_translate_without_a_picture_says_what_is_missing(open_page, address):
    page = open_page(address)
    ready(page)
    page.get_by_role("button", name="Remove Image").click()
    page.get_by_role("button", name="Translate", exact=True).click()
    expect(page.get_by_text("or pick an example.")).to_be_visible(timeout=WAIT)


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_a_telephone_never_scrolls_sideways(open_page, address, screenshots, color_scheme):
    page = open_page(address, width=360, color_scheme=color_scheme)
    ready(page)
    translate(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate("document.body.classList.contains('dark')") == (color_scheme == "dark")
    page.screenshot(path=screenshots / f"translated-360-{color_scheme}.png", full_page=True)


def test_the_page_speaks_the_browsers_language(open_page, address, screenshots):
    page = open_page(address, locale="zh-CN")
    ready(page)
    for text in ("模型", "您的图片", "或选择一个示例", "分辨率", "转换前后对比", "关于此模型", "下载 PNG"):
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    expect(page.get_by_role("radio", name="缩放到工作尺寸 (64 px)")).to_be_checked()
    assert page.locator("#source img").get_attribute("alt") == "要转换的图片"
    page.get_by_role("button", name="转换", exact=True).click()
    expect(page.locator("#status [role=status]")).to_contain_text("用时", timeout=WAIT)
    assert "__i18n__" not in page.locator(".gradio-container").evaluate("e => e.outerHTML")
    page.screenshot(path=screenshots / "translated-1440-zh.png", full_page=True)


def test_everything_that_can_be_used_has_a_name(open_page, address):
    page = open_page(address)
    ready(page)
    assert page.title() == "img2img_hub"
    expect(page.get_by_role("heading", level=1)).to_have_text("img2img_hub")
    assert [image.get_attribute("alt") for image in page.locator("#source img").all()] == ["The picture to translate"]
    assert page.locator("#examples img").first.get_attribute("alt") == "stripes 1"
    for role in ("button", "radio", "textbox", "listbox", "combobox"):
        for element in page.get_by_role(role).all():
            named = re.search(rf"""- '?{role} \"""", element.aria_snapshot())  # in quotes where the name has a colon
            assert named, element.evaluate("e => e.outerHTML")


def test_without_models_the_page_says_what_to_do(open_page, screenshots, tmp_path):
    (tmp_path / "empty").mkdir()
    with serve(str(tmp_path / "empty"), folder=tmp_path) as address:
        page = open_page(address, width=360)
        expect(page.get_by_role("heading", name="No models found")).to_be_visible(timeout=WAIT)
        expect(page.get_by_text("IMG2IMG_MODELS=")).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text("empty holds no model")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.screenshot(path=screenshots / "no-models.png", full_page=True)
