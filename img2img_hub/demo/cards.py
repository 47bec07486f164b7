"""Model cards as HTML that is safe to show: they come from anywhere.

    python -c "from img2img_hub.demo.cards import render_card; print(render_card('# Mine <script>alert(1)</script>'))"

No HTML of the card's own survives, a link goes to http(s) addresses and nowhere else, and a picture is shown only if it
lies in the model's folder: then it is sent along, so that the visitor's browser asks nobody for it.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from PIL import Image

from img2img_hub.demo.uploads import size_of
from img2img_hub.hub import front_matter
from img2img_hub.images.formats import IMAGE_EXTENSIONS, ImageError
from img2img_hub.images.read import read_image

MAX_CHARACTERS = 50_000
MAX_PICTURES = 4
MAX_PICTURE_PIXELS = 20_000_000
SHOWN_WIDTH = 1000  # pixels
MAX_ROWS = 100

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)


def split_card(text: str) -> tuple[dict[str, Any], str]:
    """(front matter, Markdown below it) of a README.md; what is no YAML counts as none."""
    text = text[:MAX_CHARACTERS]
    return front_matter.keys_of(text, aliases=False), front_matter.cut(text)[1]


def render_card(text: str, folder: Path | None = None) -> str:
    """A README.md as HTML. `folder`: where its pictures lie; None: it is shown without."""
    body = front_matter.cut(text[:MAX_CHARACTERS])[1]
    # Comments first: they often stand in the middle of what is one paragraph for Markdown.
    return _markdown(folder).render(_COMMENT.sub("", body))


def metrics_of(head: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(metric, value, data set) of the model-index; what is malformed is left out."""
    return list(_metrics(head))[:MAX_ROWS]


def licence_of(head: dict[str, Any]) -> tuple[str, str | None]:
    """(name, https address or None) of the licence; "" where the card names none."""
    name = head.get("license_name") or head.get("license") or ""
    name = ", ".join(map(str, name[:5])) if isinstance(name, list) else str(name)
    link = head.get("license_link")
    return name[:100], link if isinstance(link, str) and _is_web(link) else None


# --- inside -----------------------------------------------------------------------------------------------------------


def _metrics(head: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for model in _dicts(head.get("model-index")):
        for result in _dicts(model.get("results")):
            dataset = result.get("dataset")
            dataset = dataset if isinstance(dataset, dict) else {}
            where = " · ".join(str(dataset[key])[:80] for key in ("name", "split") if dataset.get(key))
            for metric in _dicts(result.get("metrics")):
                name, value = metric.get("name") or metric.get("type"), metric.get("value")
                if not name or isinstance(value, list | dict | bool) or value is None:
                    continue
                number = isinstance(value, int | float) and abs(value) < 1e300  # which those without end are not
                yield str(name)[:80], f"{value:.4g}" if number else str(value)[:40], where


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value[:MAX_ROWS] if isinstance(each, dict)] if isinstance(value, list) else []


def _is_web(address: str) -> bool:
    try:
        return urlsplit(address).scheme in ("http", "https")
    except ValueError:
        return False


def _markdown(folder: Path | None) -> MarkdownIt:
    markdown = MarkdownIt("commonmark").enable("table")
    pictures = 0

    def nothing(
        self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: dict[str, Any]
    ) -> str:
        return ""

    def link_open(
        self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: dict[str, Any]
    ) -> str:
        address = str(tokens[index].attrs.get("href", ""))
        if not _is_web(address):
            return "<span>"  # a file of the repo, or worse
        return f'<a href="{html.escape(address)}" target="_blank" rel="noopener noreferrer nofollow">'

    def link_close(
        self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: dict[str, Any]
    ) -> str:
        opened = next(token for token in reversed(tokens[:index]) if token.type == "link_open")  # links do not nest
        return "</a>" if _is_web(str(opened.attrs.get("href", ""))) else "</span>"

    def image(
        self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: dict[str, Any]
    ) -> str:
        nonlocal pictures
        text = html.escape(tokens[index].content)
        data = None
        if folder is not None and pictures < MAX_PICTURES:
            data = _picture(folder, str(tokens[index].attrs.get("src", "")))
        if data is None:
            return text
        pictures += 1
        return f'<img src="{data}" alt="{text}" loading="lazy">'

    def heading(
        self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: dict[str, Any]
    ) -> str:
        level = min(6, int(tokens[index].tag[1]) + 1)  # the page has the heading of level 1
        return f"<{'/' if tokens[index].nesting < 0 else ''}h{level}>"

    # Tables scroll in a box of their own, so that the page never scrolls sideways.
    markdown.add_render_rule("table_open", lambda *_: '<div class="wide" tabindex="0"><table>')
    markdown.add_render_rule("table_close", lambda *_: "</table></div>")
    for rule, render in {
        "html_block": nothing,
        "html_inline": nothing,
        "link_open": link_open,
        "link_close": link_close,
        "image": image,
        "heading_open": heading,
        "heading_close": heading,
    }.items():
        markdown.add_render_rule(rule, render)
    return markdown


def _picture(folder: Path, name: str) -> str | None:
    """A picture of the model's folder as a data address; None for one from elsewhere, or that cannot be read."""
    name = unquote(name)
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\\" in name or ":" in name:
        return None
    path = folder / place
    if path.suffix.lower() not in IMAGE_EXTENSIONS or not path.is_file():
        return None
    width, height = size_of(str(path))
    if not 0 < width * height <= MAX_PICTURE_PIXELS:
        return None
    try:
        image = read_image(path)
    except ImageError:
        return None
    if image.width > SHOWN_WIDTH:
        height = max(1, round(image.height * SHOWN_WIDTH / image.width))
        image = image.resize((SHOWN_WIDTH, height), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, "WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
