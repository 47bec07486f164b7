"""A model that enlarges, in a browser: before and after lie over each other, and the texts say how much larger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
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
