"""Every tab of the page, in every look: narrow and wide, light and dark, English and Chinese.

    IMG2IMG_SCREENSHOTS=/tmp/pictures python -m pytest tests/browser/test_tabs.py

The tabs are found on the page itself, so that one that comes later is looked at, too. Requests to other hosts and
console errors fail the tests (see `open_page`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.serving import WAIT, serve, write_model
from tests.browser.test_paint import PAPER

CARD = """---
license: other
license_name: stripes-only
license_link: https://example.com/licence
model-index:
- name: stripes2dots
  results:
  - task: {type: image-to-image}
    dataset: {name: stripes, type: stripes, split: test}
    metrics:
    - {type: l1, value: 0.18237, name: l1 (last step)}
    - {type: psnr, value: 12.547}
---
# Stripes → dots

Turns *stripes* into [dots](https://example.com/dots). A random network, made for the tests.
<script>document.title = "stolen"</script><img src="https://example.com/pixel.png" onerror="alert(1)">

![the first example](examples/1-stripes-1.png)
![from elsewhere](https://example.com/pixel.png)
![from the server](../../../etc/passwd)

Not evaluated: ${alert(1)} {{value}} $$x^2$$

| metric | value | data set | split | weights | a column that makes it wide | and another one |
|---|---|---|---|---|---|---|
| L1 (values in 0–1, lower is better) | 0.1824 | stripes | test | last step | x | y |

```python
translator = Translator.from_pretrained("a-very-long-name-that-does-not-end-before-the-telephone-does/and-goes-on")
```
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    models = tmp_path_factory.mktemp("models")
    paper = write_model(models / "a-stripes2dots", card=CARD) / "paint.json"
    paper.write_text(json.dumps(PAPER), encoding="utf-8")
    write_model(models / "b-winter2summer", card=None, examples=1)
    shown = f"{models}, owner/maps2photos"
    with serve(shown, folder=tmp_path_factory.mktemp("server"), env={"IMG2IMG_ALLOW_ANY_MODEL": "1"}) as url:
        yield url


# Gradio measures all tabs out of sight, then puts each into the bar or into the menu.
ARRANGED = """() => {
    const count = of => document.querySelectorAll(`#tabs > .tab-wrapper ${of}`).length
    const all = count(".visually-hidden button")
    return all > 0 && all === count("[role=tab]") + count(".overflow-dropdown button")
}"""


# What sticks out to the right, and would be cut off there without scrolling the page: but not what scrolls in a box.
CUT_OFF = """panel => [...panel.querySelectorAll("*")].filter(element => {
    const box = element.getBoundingClientRect()
    if (element.offsetParent === null || box.width < 2 || box.right <= innerWidth) return false
    for (let around = element.parentElement; around !== panel; around = around.parentElement)
        if (["auto", "scroll"].includes(getComputedStyle(around).overflowX)) return false
    return true
}).map(element => element.outerHTML.slice(0, 200))"""


def tabs(page: Page) -> list[str]:
    """The names of all tabs, also of those that do not fit into the bar."""
    page.wait_for_function(ARRANGED)
    return [name.strip() for name in page.locator("#tabs .tab-container.visually-hidden button").all_text_contents()]


def choose(page: Page, name: str) -> Locator:
    """Open the tab, from the bar or from the menu of what does not fit into it; its panel."""
    page.wait_for_function(ARRANGED)
    tab = page.get_by_role("tab", name=name, exact=True)
    if tab.count():
        tab.click()
    else:
        page.get_by_role("button", name="More tabs").click()
        page.locator("#tabs .overflow-dropdown").get_by_role("button", name=name, exact=True).click()
    panel = page.locator("[role=tabpanel]:visible")
    expect(panel).to_have_count(1)
    settle(page)
    return panel


def settle(page: Page) -> None:
    """Nothing is loading any more, and what appears has appeared."""
    page.wait_for_timeout(500)
    expect(page.locator("[data-testid=status-tracker]:visible:not(.hide)")).to_have_count(0, timeout=WAIT)
    # Those of other tabs may wait until they are seen.
    page.wait_for_function("[...document.images].every(image => image.complete || image.offsetParent === null)")


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 360])
def test_every_tab_in_every_look(open_page, address, screenshots, width, color_scheme, locale):
    page = open_page(address, width=width, color_scheme=color_scheme, locale=locale)
    names = tabs(page)
    assert len(names) >= 6
    for number, name in enumerate(names, start=1):
        panel = choose(page, name)
        page.screenshot(path=screenshots / f"tab-{number}-{width}-{color_scheme}-{locale[:2]}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") == width, name
        assert panel.evaluate(CUT_OFF) == [], name
        assert "__i18n__" not in page.locator(".gradio-container").evaluate("e => e.outerHTML"), name
        assert page.title() == "img2img_hub"
