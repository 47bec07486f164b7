"""A model that enlarges, in a browser: before and after lie over each other, and the texts say how much larger."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect

from img2img_hub.networks import CompactGenerator
from img2img_hub.translation.settings import TranslationSettings
from tests.browser.serving import WAIT, picture, serve


@pytest.fixture(scope="module")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("scale")
    torch.manual_seed(0)
    CompactGenerator(scale=4, blocks=1, width=4).save_pretrained(folder / "models/x4")
    TranslationSettings(family="srgan", working_size=32, crop="native").save(folder / "models/x4")
    (folder / "models/x4/examples").mkdir()
    picture((120, 80)).convert("RGB").save(folder / "models/x4/examples/1-a.png")
    picture((90, 60)).convert("RGB").save(folder / "photo.png")
    with serve(str(folder / "models"), folder=folder) as address:
        yield address


def test_before_and_after_lie_over_each_other(page_url: str, open_page: Callable[..., Page], screenshots: Path) -> None:
    page = open_page(page_url)
    expect(page.locator("#resize")).to_contain_text("As it is, and larger (4×)", timeout=WAIT)
    expect(page.locator("#resize")).not_to_contain_text("Fit to working size")
    expect(page.locator("#forecast")).to_contain_text("The result has 480 × 320 px.")
    page.locator("#translate").click()
    expect(page.locator("#status")).to_contain_text("480 × 320 px · 4× as large", timeout=WAIT)
    page.wait_for_function("document.querySelectorAll('#slider img').length >= 2")
    page.wait_for_function("[...document.querySelectorAll('#slider img')].every(each => each.complete)")
    page.wait_for_timeout(500)  # the slider settles
    page.screenshot(path=screenshots / "scale-slider.png")
    found = page.evaluate(
        """[...document.querySelectorAll('#slider img')].map(each => {
            const box = each.getBoundingClientRect();
            return [each.naturalWidth, box.x, box.y, box.width, box.height];
        })"""
    )
    assert sorted(width for width, *_ in found) == [120, 480]
    for one, other in zip(found[0][1:], found[1][1:], strict=True):
        assert abs(one - other) < 1.5, found


def test_the_batch_tab_offers_what_the_model_has(page_url: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(page_url)
    page.get_by_role("tab", name="Batch").click()
    picture((30, 20)).convert("RGB").save(tmp_path / "a.png")
    page.locator("#batch-files input[type=file]").set_input_files(tmp_path / "a.png")
    expect(page.locator("#batch-resize")).to_contain_text("As it is, and larger (4×)", timeout=WAIT)
    expect(page.locator("#batch-resize")).not_to_contain_text("Fit to working size")
    page.locator("#batch-button").click()
    expect(page.locator("#batch-report")).to_contain_text("4× as large", timeout=WAIT)


def pane(page: Page, which: str) -> tuple[np.ndarray, tuple[float, float], tuple[float, float]]:
    """What a pane of the loupe shows, how large its picture is there, and where its part begins."""
    place = page.locator(f"#loupe [data-pane={which}]")
    seen = Image.open(io.BytesIO(place.screenshot())).convert("RGB")
    style = place.evaluate("each => [getComputedStyle(each).backgroundSize, getComputedStyle(each).backgroundPosition]")
    size, first = ([float(part.removesuffix("px")) for part in each.split()] for each in style)
    return np.asarray(seen), (size[0], size[1]), (-first[0], -first[1])


def test_a_loupe_shows_before_and_after_at_one_place_pixel_by_pixel(
    page_url: str, open_page: Callable[..., Page], screenshots: Path, tmp_path: Path
) -> None:
    page = open_page(page_url)
    page.get_by_role("tab", name="Enlarge").click()
    expect(page.locator("#enlarge-source img")).to_be_visible(timeout=WAIT)
    noise = np.random.default_rng(0).integers(0, 256, (160, 240, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    page.locator("#enlarge-source input[type=file]").set_input_files(tmp_path / "noise.png")
    page.locator("#enlarge").click()
    expect(page.locator("#enlarge-status")).to_contain_text("960 × 640 px · 4× as large", timeout=WAIT)
    page.wait_for_function("document.querySelector('#loupe img')?.naturalWidth === 960", timeout=WAIT)
    expect(page.locator("#enlarge-download")).to_be_enabled(timeout=WAIT)
    with page.expect_download() as found:
        page.locator("#enlarge-download").click()
    made = np.asarray(Image.open(found.value.path()).convert("RGB"))
    overview = page.locator("#loupe .overview")
    overview.hover(position={"x": 60, "y": 40})
    page.wait_for_timeout(300)
    page.screenshot(path=screenshots / "loupe.png")
    seen, size, first = pane(page, "after")
    assert size == (960, 640)
    left, top = (round(each) for each in first)
    wanted = made[top : top + seen.shape[0], left : left + seen.shape[1]]
    # A pane's border and a fraction of a pixel lie between the two; elsewhere noise is some 70 levels off.
    shifts = [(down, right) for down in (-1, 0, 1, 2) for right in (-1, 0, 1, 2)]
    distances = [
        np.abs(seen[21 + down : 120 + down, 21 + right : 120 + right].astype(int) - wanted[21:120, 21:120]).mean()
        for down, right in shifts
    ]
    assert min(distances) < 6, distances
    _, other, same = pane(page, "before")
    assert (other, same) == (size, first), "the smaller one is stretched to it"
    overview.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    _, _, moved = pane(page, "after")
    assert moved[0] > first[0]
    assert moved[1] == first[1]
    page.locator("#loupe input[type=range]").fill("4")
    _, size, _ = pane(page, "before")
    assert size == (3840, 2560)


def test_the_loupe_goes_when_the_picture_changes(page_url: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(page_url, locale="zh-CN", width=390)
    page.get_by_role("tab", name="放大").click()
    expect(page.locator("#enlarge-source img")).to_be_visible(timeout=WAIT)
    page.locator("#enlarge").click()
    expect(page.locator("#loupe")).to_contain_text("之前（浏览器放大）", timeout=WAIT)
    picture((50, 40)).convert("RGB").save(tmp_path / "other.png")
    page.locator("#enlarge-source input[type=file]").set_input_files(tmp_path / "other.png")
    expect(page.locator("#loupe .pane")).to_have_count(0, timeout=WAIT)
    expect(page.locator("#enlarge-download")).to_be_disabled()
