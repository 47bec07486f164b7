"""The painter in a real browser: a hand and a keyboard draw on it, and what the model makes of it is seen.

    python -m pytest tests/browser/test_paint.py

Screenshots go where those of test_page.py go.
"""

from __future__ import annotations

import base64
import io
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Request, Route, expect

from img2img_hub import Translator
from img2img_hub.demo.paint_tab import PREFIX
from tests.browser.serving import WAIT, serve, write_model, write_of_classes

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 48, 255)
PAPER = {
    "width": 64,
    "height": 64,
    "background": 0,
    "start": 1,
    "tool": "rectangle",
    "brush": 6,
    "palette": [
        {"name": "sky", "zh": "天空", "color": "#0030ff"},
        {"name": "wall", "zh": "墙面", "color": "#ff0000"},
        {"name": "tree", "zh": "树", "color": "#00ff00"},
    ],
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    models = tmp_path_factory.mktemp("models")
    paper = write_model(models / "a-stripes2dots") / "paint.json"
    paper.write_text(json.dumps(PAPER), encoding="utf-8")
    write_model(models / "b-winter2summer", card=None, examples=1)
    wrong = write_model(models / "c-wrong", examples=0) / "paint.json"
    wrong.write_text(json.dumps(PAPER | {"brush": 10_000}), encoding="utf-8")
    with serve(str(models), folder=tmp_path_factory.mktemp("server")) as url:
        yield url


def open_painter(page: Page, *, tab: str = "Paint") -> None:
    page.get_by_role("tab", name=tab).click()
    expect(page.locator("#painter canvas")).to_be_visible(timeout=WAIT)


def drag(page: Page, *places: tuple[int, int]) -> None:
    """A stroke through places in the sheet's own pixels."""
    box = page.locator("#painter canvas").bounding_box()
    assert box is not None
    points = [(box["x"] + (x + 0.5) * box["width"] / 64, box["y"] + (y + 0.5) * box["height"] / 64) for x, y in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=3)
    page.mouse.up()


def sheet(page: Page) -> np.ndarray:
    """What is drawn: (64, 64, 3)."""
    page.locator("#painter canvas").evaluate("canvas => canvas.blur()")
    script = "c => Array.from(c.getContext('2d').getImageData(0, 0, 64, 64).data)"
    return np.array(page.locator("#painter canvas").evaluate(script), dtype=np.uint8).reshape(64, 64, 4)[:, :, :3]


def results(page: Page) -> str | None:
    image = page.locator("#painted img")
    return image.get_attribute("src") if image.count() else None


def expect_another_result(page: Page, before: str | None) -> None:
    if before is None:
        expect(page.locator("#painted img")).to_be_visible(timeout=WAIT)
    else:
        expect(page.locator("#painted img")).not_to_have_attribute("src", before, timeout=WAIT)


def test_what_a_hand_draws_is_translated_a_moment_after_each_stroke(open_page, address, screenshots):
    page = open_page(address)
    open_painter(page)
    expect(page.locator("#painter [role=radiogroup]").first.get_by_role("radio")).to_have_text(["sky", "wall", "tree"])
    assert np.unique(sheet(page).reshape(-1, 3), axis=0).tolist() == [list(BLUE)]
    drag(page, (10, 20), (30, 40))
    drawn = sheet(page)
    assert (drawn[20:41, 10:31] == RED).all()
    assert (drawn == RED).all(axis=2).sum() == 21 * 21, "a filled rectangle, no more"
    expect_another_result(page, None)

    before = results(page)
    page.get_by_role("radio", name="tree").click()
    page.get_by_role("radio", name="Brush").click()
    drag(page, (5, 60), (60, 60))
    drawn = sheet(page)
    assert (drawn[60, 5:61] == GREEN).all()
    colours = {tuple(colour) for colour in drawn.reshape(-1, 3).tolist()}
    assert colours == {RED, GREEN, BLUE}, "nothing in between: the model knows these colours only"
    expect_another_result(page, before)

    before = results(page)
    page.get_by_role("button", name="Undo").click()
    assert not (sheet(page) == GREEN).all(axis=2).any()
    expect_another_result(page, before)
    page.get_by_role("radio", name="Fill").click()
    drag(page, (20, 30))
    assert (sheet(page) == GREEN).all(axis=2).sum() == 21 * 21
    page.get_by_role("button", name="Clear").click()
    assert (sheet(page) == BLUE).all()
    page.screenshot(path=screenshots / "paint-1440.png", full_page=True)


def test_an_example_becomes_a_drawing_in_the_palettes_colours(open_page, address):
    page = open_page(address)
    open_painter(page)
    page.locator("#paint-examples button").nth(1).click()
    expect_another_result(page, None)
    drawn = sheet(page)
    assert {tuple(colour) for colour in drawn.reshape(-1, 3).tolist()} == {RED, BLUE}, "orange is nearest to red"
    assert (drawn[:, :7] == RED).all()
    assert (drawn[:, 7:14] == BLUE).all()


def hold_drawing(page: Page) -> Callable[[], Route]:
    """Hold back the next drawing that is sent; what comes gives it, once it was sent."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if held or PREFIX not in (route.request.post_data or ""):
            route.continue_()
        else:
            held.append(route)

    def wait() -> Route:
        deadline = time.monotonic() + WAIT / 1000
        while not held and time.monotonic() < deadline:
            page.wait_for_timeout(50)
        return held[0]

    page.route("**/queue/join*", hold)
    return wait


def test_a_refused_drawing_says_why_and_the_stroke_that_waited_for_it_is_translated(open_page, address):
    page = open_page(address)
    open_painter(page)
    first = hold_drawing(page)
    drag(page, (5, 5), (20, 20))
    sent = first().request.post_data or ""
    drag(page, (30, 5), (40, 20))
    start = sent.index(PREFIX) + len(PREFIX)
    first().continue_(post_data=sent[:start] + "AAAA" + sent[sent.index('"', start) :])
    expect(page.get_by_text("The drawing did not arrive whole").first).to_be_visible(timeout=WAIT)
    expect_another_result(page, None)
    expect(page.locator("#paint-status")).to_contain_text("s on CPU")


def test_an_example_that_is_still_arriving_is_no_drawing(open_page, address):
    page = open_page(address)
    open_painter(page)
    drag(page, (5, 5), (20, 20))
    expect_another_result(page, None)
    before = results(page)
    first = hold_drawing(page)
    drag(page, (30, 5), (40, 20))
    sent = first().request.post_data or ""
    page.locator("#paint-examples button").nth(1).click()
    page.wait_for_function(
        "() => document.querySelector('#painter canvas').getContext('2d').getImageData(0, 0, 1, 1).data[0] > 0"
    )
    first().continue_(post_data=sent.replace(PREFIX, f"load:{PREFIX}"))
    expect_another_result(page, before)
    expect(page.locator(".toast-body")).to_have_count(0)


def test_a_keyboard_draws_too(open_page, address):
    page = open_page(address)
    open_painter(page)
    page.get_by_role("radio", name="wall").focus()
    page.keyboard.press("Enter")
    page.locator("#painter canvas").focus()
    page.keyboard.press("ArrowLeft")  # from the middle to (24, 32)
    page.keyboard.press("Space")
    for arrow in ("ArrowRight", "ArrowDown", "Shift+ArrowDown"):
        page.keyboard.press(arrow)
    page.keyboard.press("Space")
    expect_another_result(page, None)
    drawn = sheet(page)
    assert (drawn[32:42, 24:33] == RED).all()
    assert (drawn == RED).all(axis=2).sum() == 10 * 9
    page.locator("#painter canvas").focus()
    page.keyboard.press("Control+z")
    assert (sheet(page) == BLUE).all()


def test_the_painter_speaks_chinese_and_fits_a_telephone(open_page, address, screenshots):
    page = open_page(address, width=360, color_scheme="dark", locale="zh-CN")
    open_painter(page, tab="绘制")
    expect(page.get_by_role("radio", name="天空")).to_be_visible()
    expect(page.get_by_role("radio", name="矩形")).to_be_checked()
    drag(page, (10, 20), (30, 40))
    expect_another_result(page, None)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.screenshot(path=screenshots / "paint-360-dark-zh.png", full_page=True)


def test_a_model_whose_paint_file_is_wrong_is_not_offered(address: str, open_page) -> None:
    page = open_page(address)
    open_painter(page)
    expect(page.locator("#paint-model")).to_be_hidden()


@pytest.fixture(scope="module")
def of_classes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = write_of_classes(tmp_path_factory.mktemp("models") / "of-classes")
    with serve(str(folder), folder=tmp_path_factory.mktemp("server")) as url:
        yield url


def test_the_palette_of_a_model_of_label_maps_is_a_sheet_by_itself(open_page, of_classes):
    page = open_page(of_classes)
    open_painter(page)
    colours = page.locator("#painter [role=radiogroup]").first.get_by_role("radio")
    expect(colours).to_have_text(["sky (eraser)", "meadow"])
    expect(page.locator("#paint-examples")).to_be_hidden()  # of a model that brings none
    drag(page, (10, 20), (30, 40))
    assert {tuple(colour) for colour in sheet(page).reshape(-1, 3).tolist()} == {GREEN, BLUE}
    expect_another_result(page, None)


# --- line drawings ----------------------------------------------------------------------------------------------------

LINES = {
    "width": 64,
    "height": 64,
    "background": 1,
    "start": 0,
    "tool": "brush",
    "brush": 5,
    "smooth": True,
    "palette": [
        {"name": "Black lines", "zh": "黑色线条", "color": "#000000"},
        {"name": "White paper", "zh": "白纸", "color": "#ffffff"},
    ],
}


@pytest.fixture(scope="module")
def pad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = write_model(tmp_path_factory.mktemp("models") / "line2color")
    (folder / "paint.json").write_text(json.dumps(LINES), encoding="utf-8")
    with serve(str(folder), folder=tmp_path_factory.mktemp("server")) as url:
        yield url, folder


def drawings(page: Page) -> list[np.ndarray]:
    """What the page sends from now on, newest last: (64, 64) grey each."""
    sent: list[np.ndarray] = []

    def look(request: Request) -> None:
        if "queue/join" in request.url and "data:image/png;base64," in (request.post_data or ""):
            data = json.loads(request.post_data or "")["data"][1].partition(",")[2]
            sent.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L")))

    page.on("request", look)
    return sent


def test_a_pad_for_line_drawings_has_a_pen_and_an_eraser_and_soft_edges(open_page, pad, screenshots):
    page = open_page(pad[0])
    sent = drawings(page)
    open_painter(page)
    colours = page.locator("#painter [role=radiogroup]").first.get_by_role("radio")
    expect(colours).to_have_text(["Black lines", "White paper (eraser)"])
    expect(page.get_by_role("radio", name="Pen")).to_be_checked()
    expect(page.get_by_role("slider", name="Size")).to_have_value("5")
    drag(page, (10, 50), (20, 20), (32, 12), (44, 20), (54, 50))
    expect_another_result(page, None)
    (arc,) = sent
    assert arc.shape == (64, 64)
    assert arc.min() == 0
    assert arc.max() == 255
    edges = ((arc > 0) & (arc < 255)).sum()
    assert edges > 40, "soft, as the drawings that the model was trained on"
    assert (arc < 128).sum(axis=1)[40] == pytest.approx(2 * 5, abs=3), "two legs, 5 pixels broad"
    before = results(page)
    page.get_by_role("radio", name="White paper").click()
    expect(page.get_by_role("slider", name="Size")).to_have_value(str(min(15, 64 // 8)))
    drag(page, (32, 0), (32, 30))
    expect_another_result(page, before)
    assert (sent[-1][:20, 29:36] == 255).all(), "the top of the arc is rubbed out"
    assert np.array_equal(sent[-1][40:], arc[40:])
    page.screenshot(path=screenshots / "pad-1440.png", full_page=True)


def test_a_fast_hand_is_followed_without_corners_and_to_the_end(open_page, pad):
    page = open_page(pad[0])
    sent = drawings(page)
    open_painter(page)
    box = page.locator("#painter canvas").bounding_box()
    assert box is not None
    points = [
        (box["x"] + x * box["width"] / 64, box["y"] + y * box["height"] / 64) for x, y in ((8, 10), (50, 10), (50, 56))
    ]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)  # no place between
    page.mouse.up()
    expect_another_result(page, None)
    drawn = sent[-1] < 128
    assert drawn[10, 8:24].all()
    assert drawn[38:57, 50].all(), "up to where the hand let go"
    assert not drawn[7:14, 48:53].any(), "a bend, no corner"
    assert drawn.any(axis=0)[8:50].all()
    assert drawn.any(axis=1)[10:56].all()


def test_of_strokes_that_come_faster_than_results_the_older_ones_are_dropped(open_page, pad):
    page = open_page(pad[0])
    open_painter(page)
    drag(page, (5, 5), (9, 5))
    expect_another_result(page, None)
    sent, held = drawings(page), []
    page.route("**/queue/join*", lambda route: route.continue_() if held else held.append(route))
    for row in range(10, 60, 10):
        drag(page, (5, row), (59, row))
    assert len(sent) == 1, "one at a time"
    held[0].continue_()
    deadline = time.monotonic() + WAIT / 1000
    while len(sent) < 2 and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert len(sent) == 2
    assert [(drawing[50] < 128).sum() > 40 for drawing in sent] == [False, True], "the first stroke and the last"
    translator = Translator.from_pretrained(pad[1])
    expected = np.asarray(translator(Image.fromarray(sent[-1]).convert("RGB"), resize="fit"))

    def shown() -> np.ndarray:
        address = page.locator("#painted img").get_attribute("src") or ""
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address) as answer:
            return np.asarray(Image.open(io.BytesIO(answer.read())))

    while not np.array_equal(shown(), expected) and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert np.array_equal(shown(), expected), "what is shown in the end is what is drawn in the end"
    assert len(sent) == 2
