"""The Erase tab in a real browser: a hand and a keyboard paint over a picture, and what stood there is gone.

    python -m pytest tests/browser/test_erase.py

Screenshots go where those of test_page.py go.
"""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect

from img2img_hub.networks import DilatedResNetGenerator
from tests.browser.serving import WAIT, picture, serve
from tests.test_holes import settings


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("erase")
    torch.manual_seed(0)
    place = folder / "models/a-eraser"
    DilatedResNetGenerator(width=4, blocks=1, dilated=1).save_pretrained(place)
    settings(size=64).save(place)
    (place / "README.md").unlink()
    (place / "examples").mkdir()
    picture((120, 80)).convert("RGB").save(place / "examples/1-stripes.png")
    with serve(str(folder / "models"), folder=folder) as url:
        yield url


def open_eraser(page: Page, *, tab: str = "Erase") -> None:
    page.get_by_role("tab", name=tab).click()
    expect(page.locator("#eraser canvas")).to_be_visible(timeout=WAIT)


def drag(page: Page, *shares: tuple[float, float]) -> None:
    """A stroke through places, as shares of the sheet's sides."""
    page.locator("#eraser canvas").scroll_into_view_if_needed()
    box = page.locator("#eraser canvas").bounding_box()
    assert box is not None
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in shares]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def result(page: Page, *, other_than: str | None = None) -> tuple[str, np.ndarray]:
    """The address of what was made, and its pixels."""
    expect(page.locator("#erased img")).to_be_visible(timeout=WAIT)
    page.wait_for_function(
        "old => document.querySelector('#erased img') && document.querySelector('#erased img').src !== old",
        arg=other_than,
        timeout=WAIT,
    )
    source = page.locator("#erased img").get_attribute("src")
    assert source is not None
    with urllib.request.urlopen(source) as answer:
        return source, np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB"))


def test_what_is_painted_over_goes_and_the_rest_stays_to_the_bit(
    address: str, open_page: Callable[..., Page], screenshots: Path
) -> None:
    page = open_page(address)
    open_eraser(page)
    expect(page.locator("#erase-status")).to_contain_text("Paint over what shall go.", timeout=WAIT)
    before = np.asarray(picture((120, 80)).convert("RGB"))
    drag(page, (0.3, 0.5), (0.5, 0.5))
    source, made = result(page)
    expect(page.locator("#erase-status")).to_contain_text("Filled in")
    changed = (made != before).any(axis=2)
    assert changed[38:42, 40:56].all()
    assert not changed[:30].any()
    assert not changed[50:].any()
    assert not changed[:, 80:].any()
    page.screenshot(path=screenshots / "erase.png")
    drag(page, (0.8, 0.2), (0.85, 0.2))  # live: another stroke, another result
    _, more = result(page, other_than=source)
    assert (more != made).any(axis=2)[14:18, 96:102].all()


def test_a_large_picture_is_filled_at_its_own_size(
    address: str, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    random = np.random.default_rng(0).integers(0, 256, (1500, 2101, 3), dtype=np.uint8)
    Image.fromarray(random).save(tmp_path / "large.png")
    page = open_page(address)
    open_eraser(page)
    page.locator("#erase-source input[type=file]").set_input_files(tmp_path / "large.png")
    page.wait_for_function("document.querySelector('#eraser canvas')?.width === 1024", timeout=WAIT)
    drag(page, (0.5, 0.5), (0.52, 0.5))
    _, made = result(page)
    changed = (made != random).any(axis=2)
    assert made.shape == random.shape
    assert changed[745:755, 1060:1090].all()
    assert changed.sum() < 200 * 200


def test_the_keyboard_erases_and_undoes(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page(address)
    open_eraser(page)
    expect(page.locator("#erase-status")).to_contain_text("Paint over", timeout=WAIT)
    page.locator("#eraser canvas").focus()
    for key in ("ArrowLeft", "ArrowUp", " "):
        page.keyboard.press(key)
    result(page)
    page.keyboard.press("Control+z")
    expect(page.locator("#erased img")).to_have_count(0, timeout=WAIT)
    expect(page.locator("#erase-status")).to_contain_text("Paint over what shall go.")


def test_it_speaks_chinese_and_refuses_what_is_no_picture(
    address: str, open_page: Callable[..., Page], tmp_path: Path, screenshots: Path
) -> None:
    page = open_page(address, locale="zh-CN", width=390, color_scheme="dark")
    open_eraser(page, tab="抹除")
    expect(page.locator("#erase-status")).to_contain_text("请涂抹要去除的部分。", timeout=WAIT)
    expect(page.locator("#eraser")).to_contain_text("抹去")
    page.screenshot(path=screenshots / "erase-phone-zh.png", full_page=True)
    (tmp_path / "notes.png").write_text("no picture", encoding="utf-8")
    page.locator("#erase-source input[type=file]").set_input_files(tmp_path / "notes.png")
    expect(page.get_by_text("notes.png").first).to_be_visible(timeout=WAIT)
    expect(page.locator("#eraser canvas")).to_have_count(0, timeout=WAIT)
