"""The tabs Batch, Compare, About and any model of the Hub in a real browser, by mouse and by keyboard.

    python -m pytest tests/browser/test_tabs_work.py

Screenshots go where those of test_page.py go.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.serving import WAIT, picture
from tests.browser.test_tabs import address, choose, tabs  # noqa: F401 (address is a fixture)

# Controls that a visitor sees in the open panel, hidden inputs of Gradio's own left out.
ROLES = ("button", "radio", "checkbox", "textbox", "listbox", "combobox", "slider", "spinbutton")


def upload(panel: Locator, *paths: Path) -> None:
    panel.locator("input[type=file]").first.set_input_files(list(paths))


def write_pictures(folder: Path) -> list[Path]:
    paths = [folder / "my street.jpg", folder / "wide.png", folder / "letter.png"]
    picture((150, 90)).save(paths[0])
    picture((200, 40), stripe=5).save(paths[1])
    paths[2].write_text("Dear visitor")
    return paths


@pytest.mark.parametrize(("width", "color_scheme"), [(1440, "light"), (360, "dark")])
def test_a_batch_comes_back_as_a_zip(open_page, address, screenshots, tmp_path, width, color_scheme):  # noqa: F811
    page = open_page(address, width=width, color_scheme=color_scheme)
    panel = choose(page, "Batch")
    panel.get_by_role("button", name="Translate all").click()
    expect(page.get_by_text("Choose one or more pictures first.")).to_be_visible(timeout=WAIT)
    expect(panel.locator("#batch-download")).to_be_disabled()

    upload(panel, *write_pictures(tmp_path))
    expect(panel.locator("#batch-files").get_by_text("letter")).to_be_visible(timeout=WAIT)
    panel.get_by_role("button", name="Translate all").click()
    expect(panel.get_by_role("status")).to_contain_text("2 of 3 pictures done", timeout=WAIT)
    expect(panel.get_by_role("alert")).to_contain_text("letter.png is not an image that can be read")
    expect(panel.locator("#batch-results img")).to_have_count(2)
    with page.expect_download() as event:
        panel.locator("#batch-download").click()
    assert event.value.suggested_filename == "a-stripes2dots.zip"
    event.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as opened:
        assert opened.namelist() == ["my street.png", "wide.png"]
        assert [Image.open(opened.open(name)).size for name in opened.namelist()] == [(150, 90), (200, 40)]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.screenshot(path=screenshots / f"batch-done-{width}.png", full_page=True)


@pytest.mark.parametrize(("width", "color_scheme"), [(1440, "light"), (360, "dark")])
def test_models_stand_side_by_side(open_page, address, screenshots, tmp_path, width, color_scheme):  # noqa: F811
    page = open_page(address, width=width, color_scheme=color_scheme)
    panel = choose(page, "Compare")
    panel.get_by_role("checkbox", name="B: winter → summer").uncheck()
    panel.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("Choose two to four models; you chose 1")).to_be_visible(timeout=WAIT)

    panel.get_by_role("checkbox", name="B: winter → summer").check()
    panel.locator("#compare-examples button").first.click()
    expect(panel.locator("#compare-source img")).to_be_visible(timeout=WAIT)
    panel.get_by_role("button", name="Compare").click()
    expect(panel.get_by_role("status")).to_contain_text("2 results side by side", timeout=WAIT)
    captions = panel.locator("#compare-results .caption-label").all_inner_texts()
    assert captions[0] == "Your picture"
    assert captions[1].startswith("Stripes → dots · ")
    assert captions[2].startswith("B: winter → summer · ")
    expect(panel.locator("#compare-results img")).to_have_count(3)
    boxes = [box.bounding_box() for box in panel.locator("#compare-results .caption-label").all()]
    assert all(box and box["width"] > 80 and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.screenshot(path=screenshots / f"compared-{width}.png", full_page=True)


def test_revisions_are_asked_for_where_there_are_some(open_page, address, tmp_path):  # noqa: F811
    page = open_page(address)
    panel = choose(page, "Compare")
    panel.get_by_role("radio", name="Two revisions of one model").check()
    expect(panel.get_by_role("checkbox")).to_have_count(0)
    panel.get_by_label("Second revision").fill("../../etc")
    panel.locator("#compare-examples button").first.click()
    expect(panel.locator("#compare-source img")).to_be_visible(timeout=WAIT)
    panel.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("“../../etc” is no revision")).to_be_visible(timeout=WAIT)
    panel.get_by_role("radio", name="Several models").check()
    expect(panel.get_by_role("checkbox")).to_have_count(3)


def test_about_tells_of_each_model_and_copies(open_page, address):  # noqa: F811
    page = open_page(address)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel = choose(page, "About")
    expect(panel.get_by_role("heading", name="Stripes → dots")).to_be_visible(timeout=WAIT)
    card = panel.locator("#about-card")
    expect(card).to_contain_text("Not evaluated: ${alert(1)} {{value}} $$x^2$$")
    expect(card.locator("img")).to_have_count(1)
    expect(card.locator("script")).to_have_count(0)
    assert page.title() == "img2img_hub"
    expect(panel.get_by_role("link", name="stripes-only")).to_have_attribute("href", "https://example.com/licence")
    expect(panel.locator("#about-facts tbody tr")).to_have_count(2)
    expect(panel.locator("#about-config")).to_contain_text('"architecture": "UNetGenerator"')
    for block, start in (("#about-python", "from img2img_hub import"), ("#about-api", "from gradio_client import")):
        panel.locator(block).get_by_role("button").first.click()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith(start)
        assert "a-stripes2dots" in copied
    assert f'Client("{address}/")' in copied
    panel.get_by_label("Model").click()
    page.get_by_role("option", name="B: winter → summer").click()
    expect(panel.locator("#about-card")).to_have_text("This model has no card.", timeout=WAIT)
    expect(panel.locator("#about-python")).to_contain_text("b-winter2summer")


def test_any_model_says_what_is_wrong_in_one_line(open_page, address, screenshots, tmp_path):  # noqa: F811
    page = open_page(address)
    panel = choose(page, "Any model")
    name = panel.get_by_label("Model on the Hugging Face Hub")
    name.fill("../../etc/passwd")
    name.press("Enter")
    expect(page.get_by_text("Upload, paste or take a picture first.")).to_be_visible(timeout=WAIT)
    upload(panel, write_pictures(tmp_path)[0])
    expect(panel.locator("#any-source img")).to_be_visible(timeout=WAIT)
    name.press("Enter")
    expect(page.get_by_text("../../etc/passwd is no id of a model on the Hub")).to_be_visible(timeout=WAIT)
    name.fill("owner/name")  # the tests' page has no network
    panel.get_by_role("button", name="Translate").click()
    expect(page.get_by_text("owner/name could not be fetched: the Hub does not answer")).to_be_visible(timeout=WAIT)
    page.screenshot(path=screenshots / "any-refused.png")


def test_in_every_tab_all_that_can_be_used_has_a_name(open_page, address):  # noqa: F811
    page = open_page(address)
    nameless = []
    for name in tabs(page):
        panel = choose(page, name)
        for role in ROLES:
            for element in panel.get_by_role(role).all():
                if f'{role} "' not in element.aria_snapshot():
                    nameless.append(f"{name}: {element.evaluate('e => e.outerHTML')[:300]}")
    assert nameless == []


def test_the_keyboard_reaches_every_tabs_main_button(open_page, address):  # noqa: F811
    page = open_page(address)
    for name in tabs(page):
        panel = choose(page, name)
        wanted = panel.locator("button.primary:visible").all()
        if not wanted:  # a tab to look at, or one whose work is begun by drawing: its last button
            wanted = panel.get_by_role("button").all()[-1:]
        for button in wanted:
            assert button.is_enabled(), name
            assert reached(page, button), f"{name}: {button.evaluate('e => e.outerHTML')[:300]}"


def reached(page: Page, button: Locator) -> bool:
    """Whether Tab comes to it from the top of the page."""
    page.evaluate("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    page.locator("#masthead").click()
    handle = button.element_handle()
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate("button => document.activeElement === button", handle):
            return True
    return False
