"""A model that a visitor names, from the field to the download: python -m pytest tests/browser/test_any_model.py

The page is alice's, of tests/test_demo_guests.py, beside a Hub over loopback.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.serving import WAIT, picture
from tests.browser.test_tabs import choose
from tests.test_demo_guests import world  # noqa: F401 (a fixture)


@pytest.mark.parametrize("width", [1440, 360])
def test_a_public_model_of_the_hub(open_page, world, screenshots, tmp_path, width):  # noqa: F811
    picture((150, 90)).save(tmp_path / "my street.jpg")
    page = open_page(world.client.src, width=width)
    panel = choose(page, "Any model")
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "my street.jpg")
    expect(panel.locator("#any-source img")).to_be_visible(timeout=WAIT)
    panel.get_by_label("Model on the Hugging Face Hub").fill("alice/secret")
    panel.get_by_role("button", name="Translate").click()
    expect(page.get_by_text("There is no public model alice/secret on the Hub")).to_be_visible(timeout=WAIT)
    expect(panel.locator("#any-download")).to_be_disabled()

    panel.get_by_label("Model on the Hugging Face Hub").fill("bob/guest")
    panel.get_by_role("button", name="Translate").click()
    expect(panel.get_by_role("status")).to_contain_text("150 × 90 px", timeout=WAIT)
    expect(panel.locator("#any-slider img")).to_have_count(2)
    panel.get_by_role("button", name="About this model").click()
    expect(panel.get_by_role("heading", name="Guest")).to_be_visible()
    expect(panel.locator("#any-card img, #any-card script")).to_have_count(0)
    with page.expect_download() as event:
        panel.locator("#any-download").click()
    assert event.value.suggested_filename == "my street-guest.png"
    event.value.save_as(tmp_path / "result.png")
    assert Image.open(tmp_path / "result.png").size == (150, 90)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.screenshot(path=screenshots / f"any-{width}.png", full_page=True)


def test_two_revisions_side_by_side(open_page, world, screenshots, tmp_path: Path):  # noqa: F811
    picture((80, 60)).save(tmp_path / "x.png")
    page = open_page(world.client.src)
    panel = choose(page, "Compare")
    panel.get_by_role("radio", name="Two revisions of one model").check()
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "x.png")
    expect(panel.locator("#compare-source img")).to_be_visible(timeout=WAIT)
    panel.get_by_label("Second revision").fill("v1")
    panel.get_by_role("button", name="Compare").click()
    expect(panel.get_by_role("status")).to_contain_text("2 results side by side", timeout=WAIT)
    captions = [text.split(" · ")[0] for text in panel.locator("#compare-results .caption-label").all_inner_texts()]
    assert captions == ["Your picture", "main", "v1"]
    page.screenshot(path=screenshots / "revisions.png", full_page=True)
