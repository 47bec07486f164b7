"""The pages of a TIFF by their tags alone: full images, smaller copies of them, masks. Neither Pillow nor tifffile is
needed, for the first stumbles over masks and the second is not always there.

    python -c "from img2img_hub.images.tiff_pages import pages; print(pages('scene.tif'))"
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

from img2img_hub.images.formats import open_bytes

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT = 254, 255, 256, 257
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OLD_REDUCED = 2
_WHOLE = {3: "H", 4: "I", 16: "Q"}  # types of tags that hold whole numbers
_MOST = 100_000
_MOST_TAGS = 256  # of a page that are looked at: they stand in order, and those looked for are among the first ten


class Page(NamedTuple):
    width: int
    height: int
    reduced: bool
    """Whether it is a smaller copy of another page."""
    mask: bool
    """Whether it says where another page has data."""


class Pages(list[Page]):
    """In the file's order."""

    missing = False
    """Whether the last one names another one that the file does not hold."""


def pages(content: Any) -> Pages:
    """All pages of a TIFF, by path or bytes, each of which says where the next one is.

    Raises:
        struct.error: the file ends before it could name its first page.
    """
    with open_bytes(content) as stream:
        start = stream.read(8)
        order = "<" if start[:2] == b"II" else ">"
        big = start[2:4] in (b"+\0", b"\0+")  # more than 4 GB
        (place,) = struct.unpack(order + "Q", stream.read(8)) if big else struct.unpack(order + "I", start[4:])
        size = stream.seek(0, 2)
        found = Pages()
        seen: set[int] = set()
        while place and place not in seen and len(found) < _MOST:
            seen.add(place)
            try:
                page, place = _page(stream, min(place, size), order=order, big=big)
            except struct.error:
                found.missing = True
                break
            found.append(page)
        return found


def full(found: Sequence[Page]) -> int:
    """How many of them are images of their own."""
    return sum(not page.reduced and not page.mask for page in found)


def passed_over(found: Sequence[Page], *, used: int = 1) -> str:
    """What there is besides the first page, or the first `used` ones, in a few words; "" for nothing of its own."""
    count = full(found)
    if count and found[0].reduced:
        return f"which is marked as a smaller copy; {count} of full size beside it"
    if count <= used:
        return ""
    return f"{count} pages, the first {used} of them as bands" if used > 1 else f"{count} pages"


def mask_place(found: Sequence[Page]) -> int | None:
    """Which page says where the first one has data, None for none."""
    for place, page in enumerate(found):
        if page.mask and not page.reduced and (page.width, page.height) == (found[0].width, found[0].height):
            return place
    return None


def _page(stream: BinaryIO, place: int, *, order: str, big: bool) -> tuple[Page, int]:
    """The page there, and the place of the next one. Raises struct.error where the file ends before."""
    number, entry, offset = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    stream.seek(place)
    (count,) = struct.unpack(order + number, stream.read(struct.calcsize(order + number)))
    size = struct.calcsize(order + entry)
    values: dict[int, int] = {}
    entries = stream.read(min(count, _MOST_TAGS) * size)
    for code, kind, _, value in struct.iter_unpack(order + entry, entries[: len(entries) // size * size]):
        if code > _HEIGHT:
            break
        if kind in _WHOLE and code in (_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT):
            length = struct.calcsize(_WHOLE[kind])
            values[code] = struct.unpack(order + _WHOLE[kind], value[:length])[0] if length <= len(value) else 0
    stream.seek(min(place + struct.calcsize(order + number) + count * size, 2**62))
    (following,) = struct.unpack(order + offset, stream.read(struct.calcsize(order + offset)))
    subfile = values.get(_SUBFILE, 0)
    reduced = bool(subfile & _REDUCED) or values.get(_OLD_SUBFILE) == _OLD_REDUCED
    return Page(values.get(_WIDTH, 0), values.get(_HEIGHT, 0), reduced, bool(subfile & _MASK)), following
