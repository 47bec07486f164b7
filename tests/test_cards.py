"""Model cards from anywhere, shown safely: python -m pytest tests/test_cards.py"""

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from img2img_hub.demo.about_tab import address_of, api_call, describe_model, python_call
from img2img_hub.demo.cards import licence_of, metrics_of, render_card, split_card
from img2img_hub.demo.models import find_models
from tests.browser.serving import ROOT, picture, write_model

TAGS = {"h2", "h3", "h4", "h5", "h6", "p", "a", "span", "em", "strong", "code", "pre", "ul", "ol", "li", "blockquote"}
TAGS |= {"hr", "br", "img", "div", "table", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"href", "target", "rel", "src", "alt", "loading", "class", "tabindex", "start", "style"}


class Seen(HTMLParser):
    """What a browser would find: tags, and attributes as (tag, name, value)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value for _, named, value in self.attributes if named == name]


HOSTILE = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=https://example.com/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "text <img src=x onerror=alert(1)> text",
    "<svg/onload=alert(1)>",
    "<iframe src='https://example.com'></iframe>",
    "<style>@import 'https://example.com/x.css'</style>",
    "<div style='background:url(https://example.com/x)'>hello</div>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "[x](file:///etc/passwd)",
    "[x](//example.com)",
    '[x](https://example.com/"onmouseover="alert(1))',
    '[x](https://example.com "title\\" onmouseover=\\"alert(1)")',
    "<javascript:alert(1)>",
    "![x](https://example.com/pixel.png)",
    "![x](//example.com/pixel.png)",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "![x](../secret.png)",
    "![x](..%2fsecret.png)",
    "![x](%2e%2e/secret.png)",
    "![x](/etc/passwd)",
    "![x](file:///etc/passwd)",
    "![x](C:\\secret.png)",
    '![" onerror="alert(1)](x.png)',
    "![x][1]\n\n[1]: https://example.com/pixel.png",
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\ncode\n```',
    "<!-- <script>alert(1)</script>",
    "<!-- --><script>alert(1)</script>",
    "<scr<!-- -->ipt>alert(1)</scr<!-- -->ipt>",
    "<scr<!-- x --><b>ipt src=x>",
    "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
    "<details><summary>x</summary><script>alert(1)</script></details>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "# <script>alert(1)</script>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_a_card_runs_or_asks_anybody(tmp_path: Path, text: str) -> None:
    picture((8, 8)).save(tmp_path / "secret.png")
    (tmp_path / "model").mkdir()
    seen = Seen(render_card(f"# Mine\n\n{text}\n\nEnd", tmp_path / "model"))
    assert set(seen.tags) <= TAGS
    assert {name for _, name, _ in seen.attributes} <= ATTRIBUTES
    assert "img" not in seen.tags
    assert all(value.startswith(("http://", "https://")) for value in seen.values("href"))
    assert set(seen.values("style")) <= {"text-align:center", "text-align:right", "text-align:left"}


def test_what_is_harmless_is_shown() -> None:
    card = render_card(
        "---\nlicense: mit\n---\n# Mine\n\nTurns *a* into **b**, see [there](https://example.com/?a=1&b=2).\n\n"
        "<!-- a mark -->\n\n| x | y |\n|---|--:|\n| 1 | 2 |\n\n- one\n\n```python\nprint('<b>')\n```\n"
    )
    seen = Seen(card)
    assert "<h2>Mine</h2>" in card
    assert {"em", "strong", "table", "td", "li", "pre", "code"} <= set(seen.tags)
    assert seen.values("href") == ["https://example.com/?a=1&b=2"]
    assert seen.values("rel") == ["noopener noreferrer nofollow"]
    assert "print('<b>')" in seen.text
    assert "license" not in seen.text
    assert "a mark" not in seen.text


def test_the_models_own_pictures_are_sent_along(tmp_path: Path) -> None:
    picture((2500, 100)).save(tmp_path / "sample sheet.png")
    Image.new("1", (20_001, 1000)).save(tmp_path / "bomb.png")
    (tmp_path / "page.png").write_text("<script>alert(1)</script>")
    text = "![a sheet](<sample sheet.png>) ![too large](bomb.png) ![no picture](page.png) ![not there](x.png)"
    seen = Seen(render_card(text, tmp_path))
    (data,) = seen.values("src")
    with Image.open(io.BytesIO(base64.b64decode(data.removeprefix("data:image/webp;base64,")))) as shown:
        assert shown.size == (1000, 40)
    assert seen.values("alt") == ["a sheet"]
    assert all(name in seen.text for name in ("too large", "no picture", "not there"))
    assert "img" not in Seen(render_card(text)).tags, "without a folder"


def test_a_card_with_a_thousand_pictures_sends_a_few(tmp_path: Path) -> None:
    picture((8, 8)).save(tmp_path / "x.png")
    assert Seen(render_card("![x](x.png)\n" * 1000, tmp_path)).tags.count("img") == 4


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "*a " * 50_000, "> " * 50_000, "a\n" * 200_000, "|" * 90_000, "`" * 99_999]
)
def test_a_card_made_to_keep_the_server_busy_is_cut(text: str) -> None:
    assert render_card(text) is not None


HEAD = """---
license: other
license_name: research-only
license_link: https://example.com/licence
model-index:
- name: mine
  results:
  - dataset: {name: facades, split: test}
    metrics:
    - {type: psnr, name: PSNR, value: 12.5471}
    - {type: l1, value: 0.18237}
    - {type: broken, value: [1, 2]}
    - no metric
  - metrics: 7
---
# Mine
"""


def test_metrics_and_licence_come_from_the_front_matter() -> None:
    head, body = split_card(HEAD)
    assert metrics_of(head) == [("PSNR", "12.55", "facades · test"), ("l1", "0.1824", "facades · test")]
    assert licence_of(head) == ("research-only", "https://example.com/licence")
    assert body == "# Mine\n"


@pytest.mark.parametrize(
    "head",
    [
        "model-index: 7",
        "model-index: [[7]]",
        "- a list",
        "a: [",
        "license: {a: b}",
        "when: 2024-99-99",
        "license_link: javascript:x",
        "a: &a [x, x]\nb: &b [*a, *a]\nmodel-index: [*b]",
        "? [a]\n: b",
        "license: !!python/object/apply:os.system [ls]",
    ],
)
def test_front_matter_that_is_none_does_no_harm(head: str) -> None:
    found, body = split_card(f"---\n{head}\n---\n# Mine\n")
    assert metrics_of(found) == []
    assert licence_of(found)[1] is None
    assert body == "# Mine\n"


def test_the_tab_tells_all_of_a_model(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "stripes2dots", card=HEAD)
    facts, python, call, config, card = describe_model(find_models(str(folder)), "stripes2dots")
    assert "<h2>Mine</h2>" in card
    for text in ("stripes2dots", "research-only", "https://example.com/licence", "PSNR", "12.55", "facades · test"):
        assert text in facts
    assert '"architecture": "UNetGenerator"' in config
    assert python == python_call("stripes2dots")
    assert call == api_call("stripes2dots", "http://127.0.0.1:7860")
    assert str(tmp_path) not in "".join((card, facts, python, call, config))


def test_a_model_without_a_card_and_one_without_a_config(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "bare", card=None, examples=0)
    models = find_models(str(folder))
    assert describe_model(models, "bare")[-1] == "<p>This model has no card.</p>"
    (folder / "config.json").unlink()
    shown = describe_model(models, "bare")[0]
    assert "cannot be had" in shown
    assert str(tmp_path) not in shown


def test_the_python_snippet_is_three_lines_that_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "stripes2dots", examples=0)
    picture((20, 10)).save(tmp_path / "picture.png")
    monkeypatch.chdir(tmp_path)
    snippet = python_call("stripes2dots")
    assert len([line for line in snippet.splitlines() if line]) == 3
    exec(snippet, {})
    assert Image.open("translated.png").size == (20, 10)


def test_a_name_cannot_leave_its_quotes() -> None:
    name = '"); import os; os.system("x'
    for snippet in (python_call(name), api_call(name, "http://x/")):
        compile(snippet, "snippet", "exec")
        assert '\\"); import os' in snippet


def test_the_address_is_the_pages_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked:
        def __init__(self, referer: str) -> None:
            self.headers = {"referer": referer}

    monkeypatch.delenv("SPACE_ID", raising=False)
    assert address_of(Asked("https://pages.example/img/?x=1")) == "https://pages.example/img/"
    assert address_of(Asked('http://x/"); evil("')) == "http://127.0.0.1:7860"
    assert address_of(None) == "http://127.0.0.1:7860"
    monkeypatch.setenv("SPACE_ID", "user/space")
    assert address_of(Asked("https://pages.example/")) == "user/space"


def test_the_shipped_cards_are_shown_whole() -> None:
    for folder in sorted((ROOT / "model_cards").iterdir()):
        facts, *_, card = describe_model(find_models(str(folder)), folder.name)
        assert "data:image/webp" in card
        (result,) = split_card((folder / "README.md").read_text(encoding="utf-8"))[0]["model-index"][0]["results"]
        names = [metric["type"] for metric in result["metrics"]]
        assert len(names) >= 4
        assert all(name in facts for name in names)


BOMB = "---\na0: &a0 {k: v}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
)


@pytest.mark.parametrize("head", [BOMB, "---\nx: &x [lol]\nlicense: *x\n", "---\nx: !!int ''\n", "---\nx: !!bool x\n"])
def test_yaml_that_grows_or_breaks_counts_as_none(head):
    assert split_card(f"{head}---\n# Card\n") == ({}, "# Card\n")
    assert "<h2>Card</h2>" in render_card(f"{head}---\n# Card\n")


def test_numbers_without_end_are_shown_as_text():
    metrics = [{"type": "l1", "value": value} for value in (10**400, float("inf"), float("nan"), 0.25)]
    rows = metrics_of({"model-index": [{"results": [{"metrics": metrics}]}]})
    assert [row[1] for row in rows] == ["1" + 39 * "0", "inf", "nan", "0.25"]
