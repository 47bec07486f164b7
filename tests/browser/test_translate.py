"""The Translate tab in a real browser, beyond one translation: cards by keyboard, variations, the way there and back.

    python -m pytest tests/browser/test_translate.py

Screenshots go where those of test_page.py go.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import Page, Route, expect

from img2img_hub import ResNetGenerator, Translator
from tests.browser.serving import WAIT, picture, serve, write_model, write_noisy, write_pair
from tests.browser.test_page import choose, ready, translate


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_noisy(folder / "a-noisy")
    write_model(folder / "b-plain", card="# Plain\n\nMakes <img src=x onerror=alert(1)>dots. Of stripes.\n", examples=0)
    write_pair(folder)
    return folder


@pytest.fixture(scope="module")
def address(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(str(models), folder=tmp_path_factory.mktemp("server")) as url:
        yield url


def unfold(page: Page, section: str) -> None:
    page.locator(f"#{section} button").first.click()


def enter(page: Page, label: str, value: str) -> None:
    """Type into a field that was only just unfolded: Gradio may set its first value after it is shown."""
    field = page.get_by_label(label)
    for left in (2, 1, 0):
        field.fill(value)
        page.keyboard.press("Tab")
        page.wait_for_timeout(500)
        if field.input_value() == value or not left:
            break
    expect(field).to_have_value(value)


def upload(page: Page, path: Path) -> None:
    if page.locator("#source img").count():
        page.get_by_role("button", name="Remove Image").click()
    page.locator("#source input[type=file]").set_input_files(path)
    with Image.open(path) as image:
        expect(page.locator("#source img")).to_have_js_property("naturalWidth", image.width)


def test_a_picture_is_checked_that_comes_while_another_is_being_checked(open_page, address, tmp_path):
    picture((80, 60)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no picture")
    page = open_page(address)
    ready(page)
    held: list[Route] = []
    waits = True
    page.route("**/queue/join*", lambda route: held.append(route) if waits else route.continue_())
    page.locator("#source").get_by_role("button", name="Remove Image").click()
    page.locator("#source input[type=file]").set_input_files(tmp_path / "good.png")
    expect(page.locator("#source img")).to_have_js_property("naturalWidth", 80)
    page.locator("#source").get_by_role("button", name="Remove Image").click()
    page.locator("#source input[type=file]").set_input_files(tmp_path / "bad.png")
    expect(page.locator("#source img")).to_be_attached()
    assert held, "the first check waits"
    waits = False
    for route in held:
        route.continue_()
    expect(page.get_by_text("bad.png is not an image that can be read")).to_be_visible(timeout=WAIT)


def test_cards_are_chosen_by_keyboard_and_told_by_name_and_story(open_page, address):
    page = open_page(address)
    ready(page)
    group = page.get_by_role("radiogroup", name="Model")
    expect(group.get_by_role("radio")).to_have_count(4)
    expect(group.get_by_role("radio", name="Noisy")).to_be_checked()
    assert group.get_by_role("radio").first.get_attribute("aria-describedby")
    expect(group.locator(".card").first).to_have_text("NoisyDraws lots.")
    assert group.locator("img").first.evaluate("image => image.naturalWidth") == 160
    group.get_by_role("radio", name="Noisy").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(group.get_by_role("radio", name="Summer → winter")).to_be_checked()
    expect(page.locator("#facts")).to_contain_text("loaded from summer2winter")
    expect(group.get_by_role("radio", name="Summer → winter")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.locator("#facts")).to_contain_text("loaded from b-plain")
    expect(group.locator(".card").nth(1)).to_have_text("PPlainMakes dots.")  # no picture, so its initial
    expect(page.locator("#source img")).to_have_count(0)  # this one has no example, and nothing was uploaded


def test_variations_are_drawn_side_by_side_and_saved(open_page, address, models, screenshots, tmp_path):
    picture((90, 60)).save(tmp_path / "street.png")
    page = open_page(address)
    ready(page)
    upload(page, tmp_path / "street.png")
    translate(page)
    unfold(page, "variations")
    expect(page.get_by_role("button", name="Draw variations")).to_be_visible()
    enter(page, "First seed", "5")
    page.get_by_role("button", name="Draw variations").click()
    expect(page.locator("#varied-status")).to_contain_text("CPU", timeout=WAIT)
    shown = page.locator("#varied .grid-container button")
    expect(shown).to_have_count(4)
    expect(shown).to_have_text(["without noise", "seed 5", "seed 6", "seed 7"])
    page.screenshot(path=screenshots / "variations-1440.png", full_page=True)
    shown.nth(2).click()
    with page.expect_download() as event:
        page.locator("#varied").get_by_role("button", name="Download").click()
    assert event.value.suggested_filename == "street-a-noisy-seed-6.png"
    saved = Image.open(event.value.path())
    assert (saved.format, saved.size) == ("PNG", (90, 60))
    expected = Translator.from_pretrained(models / "a-noisy", device="cpu")(tmp_path / "street.png", seed=6)
    assert np.array_equal(np.asarray(saved), np.asarray(expected))
    expect(page.locator("#slider img")).to_have_count(2)
    choose(page, "Plain")
    expect(page.locator("#facts")).to_contain_text("loaded from b-plain")
    expect(page.locator("#slider img")).to_have_count(0)  # what another model made is no result of this one
    expect(page.locator("#status")).to_have_text("Choose a picture and press Translate.")
    expect(page.locator("#download")).to_be_disabled()
    expect(page.locator("#varied img")).to_have_count(0)
    expect(page.locator("#variations")).to_be_hidden()
    expect(page.locator("#cycle")).to_be_hidden()


def test_both_directions_and_the_way_there_and_back(open_page, address, models, screenshots):
    page = open_page(address)
    ready(page)
    expect(page.locator("#direction")).to_be_hidden()
    choose(page, "Summer → winter")
    expect(page.locator("#direction").get_by_role("radio")).to_have_count(2)
    expect(page.locator("#examples button")).to_have_count(1)
    page.locator("#direction").get_by_label("Winter → summer").check()
    expect(page.locator("#facts")).to_contain_text("loaded from winter2summer")
    expect(page.locator("#model").get_by_role("radio", name="Winter → summer")).to_be_checked()
    expect(page.locator("#examples button")).to_have_count(2)
    expect(page.locator("#direction").get_by_label("Winter → summer")).to_be_checked()
    unfold(page, "cycle")
    page.get_by_role("button", name="Translate there and back").click()
    expect(page.locator("#cycled-status")).to_contain_text("cycle error (L1, 0–1) 0.", timeout=WAIT)
    expect(page.locator("#cycled .grid-container button")).to_have_text(["source", "output", "and back"])
    shown = float(page.locator("#cycle-error input").input_value())
    example = models / "winter2summer" / "examples" / "1-stripes-1.png"
    there, back = (Translator.from_pretrained(models / name) for name in ("winter2summer", "summer2winter"))
    source, again = (np.asarray(image).astype(int) for image in (Image.open(example), back(there(example))))
    assert shown == round(float(np.abs(source - again).mean() / 255), 4)
    page.screenshot(path=screenshots / "cycle-1440.png", full_page=True)


def test_a_large_picture_is_fitted_and_its_native_time_foretold(open_page, address, tmp_path):
    picture((500, 400)).save(tmp_path / "large.png")
    picture((100, 90)).save(tmp_path / "small.png")
    page = open_page(address)
    ready(page)
    expect(page.locator("#forecast")).to_be_empty()
    upload(page, tmp_path / "small.png")
    expect(page.locator("#forecast")).to_contain_text("At native resolution (100 × 90 px)")
    choose(page, "Summer → winter")
    expect(page.get_by_role("radio", name="Native resolution")).to_be_checked()
    upload(page, tmp_path / "large.png")
    expect(page.get_by_role("radio", name="Fit to working size (64 px)")).to_be_checked()
    expect(page.locator("#forecast")).to_contain_text("At native resolution (500 × 400 px)")
    translate(page)
    expect(page.locator("#forecast")).to_have_text(
        re.compile(r"At native resolution \(500 × 400 px\) this takes about [\d.]+ s on this server\.")
    )
    page.get_by_role("radio", name="Native resolution").check()
    page.get_by_role("button", name="Translate", exact=True).click()
    expect(page.locator("#status")).to_contain_text("500 × 400 px · native resolution", timeout=WAIT)
    upload(page, tmp_path / "small.png")
    expect(page.get_by_role("radio", name="Native resolution")).to_be_checked()
    expect(page.locator("#forecast")).to_contain_text("At native resolution (100 × 90 px)")


def test_what_is_still_being_made_does_not_come_under_a_model_chosen_meanwhile(open_page, tmp_path):
    write_model(tmp_path / "a-slow", card="# Slow\n\nThinks.\n", network=ResNetGenerator(width=32, blocks=9))
    write_model(tmp_path / "b-plain", card="# Plain\n\nMakes dots.\n", examples=0)
    picture((800, 600)).save(tmp_path / "large.png")
    with serve(f"{tmp_path / 'a-slow'}, {tmp_path / 'b-plain'}", folder=tmp_path) as address:
        client = Client(address, verbose=False, analytics_enabled=False)
        began = time.monotonic()
        client.predict("a-slow", handle_file(tmp_path / "large.png"), "native", api_name="/translate")
        taken = time.monotonic() - began
        page = open_page(address)
        ready(page)
        upload(page, tmp_path / "large.png")
        page.get_by_role("radio", name="Native resolution").check()
        page.get_by_role("button", name="Translate", exact=True).click()
        expect(page.locator("#slider .progress-text")).to_be_attached()
        choose(page, "Plain")
        expect(page.locator("#facts")).to_contain_text("loaded from b-plain")
        page.wait_for_timeout(2000 * taken + 2000)  # by then it has come
        expect(page.locator("#slider .progress-text")).not_to_be_attached()
        expect(page.locator("#slider img")).to_have_count(0)
        expect(page.locator("#download")).to_be_disabled()
        expect(page.locator("#status")).to_have_text("Choose a picture and press Translate.")
        page.get_by_role("radio", name="Fit to working size").check()
        translate(page)
        page.close()


@pytest.mark.parametrize(("color_scheme", "locale"), [("light", "en-GB"), ("dark", "zh-CN")])
def test_a_telephone_shows_variations_and_cycle(open_page, address, screenshots, color_scheme, locale):
    page = open_page(address, width=360, color_scheme=color_scheme, locale=locale)
    chinese = locale == "zh-CN"
    ready(page)
    expect(page.locator("#variations button").first).to_contain_text("多种结果" if chinese else "Variations")
    unfold(page, "variations")
    page.get_by_role("button", name="生成多种结果" if chinese else "Draw variations").click()
    expect(page.locator("#varied .grid-container button")).to_have_count(4, timeout=WAIT)
    expect(page.locator("#varied .grid-container button").first).to_have_text("无噪声" if chinese else "without noise")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.screenshot(path=screenshots / f"variations-360-{color_scheme}-{locale[:2]}.png", full_page=True)
    page.locator("#model").get_by_role("radio", name="Summer → winter").check()
    unfold(page, "cycle")
    page.get_by_role("button", name="往返转换一次" if chinese else "Translate there and back").click()
    expect(page.locator("#cycled .grid-container button")).to_have_count(3, timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert "__i18n__" not in page.locator(".gradio-container").evaluate("e => e.outerHTML")
    page.screenshot(path=screenshots / f"cycle-360-{color_scheme}-{locale[:2]}.png", full_page=True)


def test_a_seed_that_is_none_is_explained(open_page, address):
    page = open_page(address)
    ready(page)
    unfold(page, "variations")
    enter(page, "First seed", "")
    page.get_by_role("button", name="Draw variations").click()
    expect(page.get_by_text("give a whole number from 0 to 2147483647")).to_be_visible(timeout=WAIT)
