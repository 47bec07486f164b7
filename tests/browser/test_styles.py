"""Label maps that are painted by the palette of translation.json alone, and pictures whose style they take up.

    python -m pytest tests/browser/test_styles.py

Screenshots go where those of test_page.py go.
"""

from __future__ import annotations

import io
import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from img2img_hub import Translator
from img2img_hub.images.palettes import rgb
from tests.browser.serving import FACADE, STREET, WAIT, serve, write_model, write_styled
from tests.browser.test_page import choose
from tests.browser.test_paint import PAPER, drag, open_painter, results, sheet
from tests.browser.test_translate import enter, unfold

SUNSET, NIGHT = (250, 90, 0), (0, 20, 120)
VOID = "#000000"
THINGS = {f"thing {number}": f"#{number:02x}{255 - number:02x}{37 * number % 256:02x}" for number in range(150)}
MEAN = 20  # levels of 255 that a style changes a pixel by, at least


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """None of label maps brings a paint.json."""
    folder = tmp_path_factory.mktemp("models")
    write_styled(folder / "facade", FACADE)
    write_styled(folder / "street", STREET, void=VOID)
    write_styled(folder / "things", THINGS)
    paper = write_model(folder / "stripes", card="# Stripes\n\nWithout styles.\n", examples=1) / "paint.json"
    paper.write_text(json.dumps(PAPER), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def address(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(str(models), folder=tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def photos(tmp_path: Path) -> tuple[Path, Path]:
    for name, colour in (("sunset", SUNSET), ("night", NIGHT)):
        photo = Image.new("RGB", (90, 60), colour)
        ImageDraw.Draw(photo).rectangle((20, 10, 50, 40), fill="white")
        photo.save(tmp_path / f"{name}.png")
    return tmp_path / "sunset.png", tmp_path / "night.png"


def pixels(address: str) -> np.ndarray:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address) as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB"))


def expect_painted(page: Page, expected: Image.Image) -> None:
    """The result that is shown becomes this one."""
    deadline = time.monotonic() + WAIT / 1000
    while time.monotonic() < deadline:
        if (src := results(page)) and np.array_equal(pixels(src), np.asarray(expected)):
            return
        page.wait_for_timeout(100)
    raise AssertionError("another result is shown, or none")


def colour(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).click()


def give(page: Page, place: str, path: Path) -> None:
    """Upload a style picture in the place of the one that is there."""
    if page.locator(f"{place} img").count():
        page.locator(place).get_by_role("button", name="Remove Image").click()
        expect(page.locator(f"{place} img")).to_have_count(0)
    page.locator(f"{place} input[type=file]").set_input_files(path)
    expect(page.locator(f"{place} img")).to_have_js_property("naturalWidth", 90)


def choose_paper(page: Page, name: str) -> None:
    page.locator("#paint-model input").click()
    page.get_by_role("option", name=name).click()


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


def test_a_facade_and_a_street_are_painted_in_the_colours_of_their_palettes(open_page, address, models, screenshots):
    page = open_page(address)
    open_painter(page)
    colours = page.locator("#painter [role=radiogroup]").first.get_by_role("radio")
    expect(colours).to_have_text(list(FACADE))
    facade = np.full((64, 64), 0)
    for name, (left, top, right, bottom) in {
        "facade": (4, 8, 59, 63),
        "window": (12, 16, 20, 28),
        "door": (28, 44, 36, 63),
        "cornice": (4, 6, 59, 9),
    }.items():
        colour(page, name)
        drag(page, (left, top), (right, bottom))
        facade[top : bottom + 1, left : right + 1] = list(FACADE).index(name)
    assert np.array_equal(sheet(page), rgb(tuple(FACADE.values()))[facade])
    translator = Translator.from_pretrained(models / "facade", device="cpu")
    expect_painted(page, translator(facade.astype(np.uint8)))  # the numbers that these colours stand for
    page.screenshot(path=screenshots / "facade-1440.png", full_page=True)

    choose_paper(page, "Street")
    expect(colours).to_have_text([*STREET, "of no class"])
    expect(page.locator("#painted img")).to_have_count(0)
    page.locator("#painter canvas").evaluate("canvas => canvas.scrollIntoView({block: 'center'})")
    street = np.full((64, 64), 0)
    for name, (left, top, right, bottom) in {
        "road": (0, 40, 63, 63),
        "building": (0, 8, 20, 44),
        "car": (30, 38, 44, 48),
        "of no class": (50, 56, 60, 62),
    }.items():
        colour(page, name)
        drag(page, (left, top), (right, bottom))
        street[top : bottom + 1, left : right + 1] = [*STREET, "of no class"].index(name)
    assert np.array_equal(sheet(page), rgb((*STREET.values(), VOID))[street])
    street[street == len(STREET)] = 255
    expect_painted(page, Translator.from_pretrained(models / "street", device="cpu")(street.astype(np.uint8)))
    page.screenshot(path=screenshots / "street-1440.png", full_page=True)


def test_as_many_classes_as_in_the_largest_data_sets_are_painted(open_page, address, models, screenshots):
    """150 of them, as ADE20K has: their list is scrolled, and the sheet stays in sight."""
    page = open_page(address)
    open_painter(page)
    choose_paper(page, "Things")
    colours = page.locator("#painter [role=radiogroup]").first
    expect(colours.get_by_role("radio")).to_have_count(150)
    box, sheet_box = colours.bounding_box(), page.locator("#painter canvas").bounding_box()
    assert box is not None
    assert sheet_box is not None
    assert box["height"] < 250
    assert sheet_box["y"] < 900
    colour(page, "thing 149")  # scrolls there
    drag(page, (10, 12), (40, 50))
    things = np.zeros((64, 64), np.uint8)
    things[12:51, 10:41] = 149
    assert np.array_equal(sheet(page), rgb(tuple(THINGS.values()))[things])
    expect_painted(page, Translator.from_pretrained(models / "things", device="cpu")(things))
    page.screenshot(path=screenshots / "things-1440.png", full_page=True)


def test_a_style_picture_changes_the_colours_of_what_is_painted(open_page, address, models, photos, tmp_path):
    translator = Translator.from_pretrained(models / "facade", device="cpu")
    page = open_page(address)
    open_painter(page)
    expect(page.locator("#paint-style")).to_be_visible(timeout=WAIT)
    give(page, "#paint-style", photos[0])  # before the first stroke
    colour(page, "window")
    drag(page, (10, 12), (40, 50))
    drawn = Image.fromarray(sheet(page))
    made = {name: translator(drawn, style=style) for name, style in (("plain", None), *zip("ab", photos, strict=True))}
    assert difference(made["plain"], made["a"]) > MEAN < difference(made["a"], made["b"])
    expect_painted(page, made["a"])
    give(page, "#paint-style", photos[1])
    expect_painted(page, made["b"])
    page.locator("#paint-seed input").fill("7")
    expect_painted(page, translator(drawn, style=photos[1], seed=7))
    page.locator("#paint-style").get_by_role("button", name="Remove Image").click()
    expect_painted(page, translator(drawn, seed=7))
    page.locator("#paint-seed input").fill("0")
    expect_painted(page, made["plain"])

    (tmp_path / "no.png").write_text("no picture")
    page.locator("#paint-style input[type=file]").set_input_files(tmp_path / "no.png")
    expect(page.get_by_text("no.png is not an image that can be read")).to_be_visible(timeout=WAIT)
    expect(page.locator("#paint-style img")).to_have_count(0)
    drag(page, (50, 50), (60, 60))
    expect_painted(page, translator(Image.fromarray(sheet(page))))

    give(page, "#paint-style", photos[0])
    choose_paper(page, "Stripes")
    expect(page.locator("#paint-style")).to_be_hidden()
    drag(page, (10, 12), (40, 50))
    stripes = Translator.from_pretrained(models / "stripes", device="cpu")
    expect_painted(page, stripes(Image.fromarray(sheet(page))))


def test_a_telephone_has_room_for_styles(open_page, address, photos, screenshots):
    page = open_page(address, width=360, color_scheme="dark", locale="zh-CN")
    expect(page.locator("#style")).to_contain_text("风格图片（可选）", timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    open_painter(page, tab="绘制")
    expect(page.locator("#paint-style")).to_contain_text("风格图片（可选）", timeout=WAIT)
    expect(page.locator("#paint-seed")).to_contain_text("变化的种子")
    give(page, "#paint-style", photos[0])
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert "__i18n__" not in page.locator(".gradio-container").evaluate("e => e.outerHTML")
    page.screenshot(path=screenshots / "styles-360-dark-zh.png", full_page=True)


def test_a_style_picture_is_taken_up_in_translations_and_variations(open_page, address, models, photos, tmp_path):
    labels = Image.fromarray(rgb(tuple(FACADE.values()))[np.kron(np.arange(12).reshape(3, 4), np.ones((20, 20), int))])
    labels.save(tmp_path / "map.png")
    translator = Translator.from_pretrained(models / "facade", device="cpu")
    page = open_page(address)
    expect(page.locator("#style")).to_be_visible(timeout=WAIT)
    page.locator("#source input[type=file]").set_input_files(tmp_path / "map.png")
    expect(page.locator("#source img")).to_have_js_property("naturalWidth", 80)
    button = page.get_by_role("button", name="Translate", exact=True)

    def expect_shown(expected: Image.Image) -> None:
        deadline = time.monotonic() + WAIT / 1000
        while time.monotonic() < deadline:
            sources = [image.get_attribute("src") or "" for image in page.locator("#slider img").all()]
            if len(sources) == 2 and any(np.array_equal(pixels(src), np.asarray(expected)) for src in sources):
                return
            page.wait_for_timeout(100)
        raise AssertionError("another result is shown, or none")

    button.click()
    expect_shown(translator(labels))
    give(page, "#style", photos[0])
    button.click()
    expect_shown(translator(labels, style=photos[0]))
    expect(page.locator("#status")).to_contain_text("on CPU (PyTorch)")
    unfold(page, "variations")
    enter(page, "First seed", "5")
    page.get_by_role("button", name="Draw variations").click()
    expect(page.locator("#varied-status")).to_contain_text("CPU", timeout=WAIT)
    shown = page.locator("#varied .grid-container button")
    expect(shown).to_have_text(["without noise", "seed 5", "seed 6", "seed 7"])
    for place, seed in ((0, None), (2, 6)):
        made = pixels(shown.nth(place).locator("img").get_attribute("src") or "")
        assert np.array_equal(made, np.asarray(translator(labels, style=photos[0], seed=seed)))

    (tmp_path / "no.png").write_text("no picture")
    page.locator("#style").get_by_role("button", name="Remove Image").click()
    page.locator("#style input[type=file]").set_input_files(tmp_path / "no.png")
    expect(page.get_by_text("no.png is not an image that can be read")).to_be_visible(timeout=WAIT)
    expect(page.locator("#style img")).to_have_count(0)
    give(page, "#style", photos[1])
    choose(page, "Street")
    expect(page.locator("#facts")).to_contain_text("loaded from street")
    expect(page.locator("#style img")).to_have_count(1)  # this one has styles, too
    choose(page, "Stripes")
    expect(page.locator("#facts")).to_contain_text("loaded from stripes")
    expect(page.locator("#style")).to_be_hidden()
    button.click()
    expect(page.locator("#status [role=status]")).to_contain_text("Done in", timeout=WAIT)
