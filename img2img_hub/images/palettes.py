"""Palettes: which colour of a label map is which class, for those who draw, read and look at such maps.

    python -c "from img2img_hub.images.palettes import read_palette; print(read_palette('palette.json'))"

A palette is a tuple of colours such as "#0030ff", one a class. In a PNG a map has exactly these; JPEG blurs them, so
that its pixels are snapped to the nearest one and, where two are nearly as near, to the class that most of the pixels
around have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from img2img_hub.images.formats import ImageError, refuse_irregular

UNLABELLED = 255
"""The class number of pixels that are of no class."""
_UNSURE = 0.5  # of the distance to the second nearest colour: a pixel that is further from the nearest is uncertain
_AROUND = 2  # pixels on each side whose classes an uncertain one is decided by
_AT_ONCE = 2**16  # pixels whose distances to all colours are in memory at a time
_PLACES = 2**13  # more than a palette has colours
_MOST_BYTES = 10**6  # of a palette's file
_NUMBERS = re.compile(r"(?:rgb\()?\s{0,9}(\d{1,3})[\s,]{1,20}(\d{1,3})[\s,]{1,20}(\d{1,3})\s{0,9}\)?", re.IGNORECASE)
_HEX = re.compile(r"#?([0-9a-fA-F]{6})")
# Bounded, or a line of nothing but commas would take hours.
_GAP = r"[\s,]{1,20}"
_LINE = re.compile(rf"(.{{1,200}}?)[\s:,=]{{1,50}}(#?[0-9a-fA-F]{{6}}|\d{{1,3}}{_GAP}\d{{1,3}}{_GAP}\d{{1,3}})\s*")


def check_palette(palette: Sequence[str], names: Sequence[str] = ()) -> None:
    """Refuse what tells no classes from each other. Raises ValueError that names the colours."""
    for colour in palette:
        if not isinstance(colour, str) or not re.fullmatch("#[0-9a-f]{6}", colour):
            raise ValueError(f"a colour of a palette is like #0030ff, got {colour!r:.40}")
    places: dict[str, int] = {}
    for place, colour in enumerate(palette):
        if (first := places.setdefault(colour, place)) != place:
            twice = [_called(number, names) for number in (first, place)]
            raise ValueError(
                f"{twice[0]} and {twice[1]} have the same colour, {colour}, so that nobody could tell them apart: give "
                "one of them another"
            )
    known: set[str] = set()
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= 100 or not name.isprintable():
            raise ValueError(f"a class has a short name in one line such as 'window', got {name!r:.60}")
        if name in known:
            raise ValueError(f"two classes are called {name}: rename one of them")
        known.add(name)


def read_palette(path: str | Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(names, colours) of a file, in its order, which numbers the classes from 0.

    It is JSON, {"wall": "#0030ff", "door": [0, 207, 255]} or a paint.json; or text, a class a line, such as
    "wall #0030ff" or "door 0 207 255".

    Raises:
        ValueError: it cannot be read, or a name or a colour comes twice; says which.
    """
    path = Path(path)
    try:
        refuse_irregular(path, name=f"palette {path}")
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"palette {path} has more than {_MOST_BYTES // 1000} kB: is it another file?")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"palette {path} cannot be read ({error.strerror}): check the spelling of the path") from None
    except UnicodeDecodeError:
        raise ValueError(f"palette {path} is no text: name a file that says which colour is which class") from None
    try:
        pairs = list(_of_json(text) if text.lstrip()[:1] in ("{", "[") else _of_lines(text))
        names, colours = tuple(name for name, _ in pairs), tuple(_colour(value, name) for name, value in pairs)
        if not pairs:
            raise ValueError("it is empty: write a class a line, such as wall #0030ff")
        check_palette(colours, names)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"palette {path}: {error}") from None
    return names, colours


def rgb(palette: Sequence[str]) -> np.ndarray:
    """(C, 3) uint8."""
    return np.array([list(bytes.fromhex(colour[1:])) for colour in palette], dtype=np.uint8).reshape(-1, 3)


def packed(colours: np.ndarray) -> np.ndarray:
    """(…, 3) uint8 -> (…) int32, a number for each colour, in the order of their values."""
    made = colours[..., 0].astype(np.int32)
    for band in (1, 2):
        made <<= 8
        made |= colours[..., band]
    return made


def first_of(mask: np.ndarray) -> tuple[int, int]:
    """(x, y) of the first true pixel of (H, W) bool, without a list of all: that takes gigabytes of a large image."""
    row, column = divmod(int(mask.argmax()), mask.shape[1])
    return column, row


def text_of(colour: Sequence[int] | np.ndarray) -> str:
    """Three values of 0 to 255 as "#0030ff"."""
    return "#" + "".join(f"{int(value):02x}" for value in colour)


def usual_palette(classes: int) -> tuple[str, ...]:
    """The colours that Pascal VOC and many after it give to classes 0 to 254: black, dark red, dark green …, of which
    the first ones are furthest apart."""
    colours = []
    for number in range(classes):
        bits = [[number >> 3 * place + band & 1 for place in range(3)] for band in range(3)]
        colours.append([sum(bit << 7 - place for place, bit in enumerate(band)) for band in bits])
    return tuple(map(text_of, colours))


def colours_for(classes: int, palette: Sequence[str] = (), *, none: int = UNLABELLED) -> np.ndarray:
    """(N, 3) uint8, what people see of each number: a class's colour in the palette, or a made one; of `none`, the
    number of what is of no class, the palette's one more colour, or white."""
    numbers = np.arange(max(classes, none) + 1)  # hues a golden section apart: neighbours in number are far apart
    hsv = np.stack([numbers * 0.618034 % 1 * 255, 130 + numbers % 3 * 50, 245 - numbers % 4 * 35], axis=-1)
    colours = np.asarray(Image.fromarray(hsv[None].astype(np.uint8), "HSV").convert("RGB"))[0].copy()
    given = rgb(palette)
    colours[: len(given[:classes])] = given[:classes]
    colours[none] = given[classes] if len(given) > classes else 255
    return colours


class Snapped(NamedTuple):
    """Class numbers of an image in colours."""

    numbers: np.ndarray
    """(H, W) uint16, places in the palette."""
    uncertain: int
    """Pixels whose colour was nearly as near to a second one."""
    foreign: tuple[int, int] | None = None
    """(x, y) of the first pixel whose colour is not in the palette, where it has to be."""


def snapped(image: np.ndarray, palette: np.ndarray, *, blurred: bool) -> Snapped:
    """The places of an image's colours in the palette.

    Args:
        image: (H, W, 3) uint8.
        palette: (C, 3) uint8.
        blurred: whether colours may be a little off, and take the nearest; uncertain pixels take the class that most
            certain ones have of the 24 around.
    """
    colours = packed(image)
    order = np.argsort(packed(palette), kind="stable").astype(np.uint16)
    keys = packed(palette)[order]
    places = np.searchsorted(keys, colours)
    np.minimum(places, len(keys) - 1, out=places)
    foreign = keys[places] != colours
    if not foreign.any():
        return Snapped(order[places], 0)
    if not blurred:
        return Snapped(order[places], 0, first_of(foreign))
    numbers, unsure = nearest(image.reshape(-1, 3), palette)
    numbers, unsure = numbers.reshape(colours.shape), unsure.reshape(colours.shape)
    return Snapped(_by_majority(numbers, unsure, classes=len(palette)), int(unsure.sum()))


def nearest(colours: np.ndarray, palette: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) uint8 -> (N,) the nearest of the palette's colours (RGB, Euclid), and (N,) whether that is uncertain."""
    numbers, unsure = np.empty(len(colours), dtype=np.uint16), np.empty(len(colours), dtype=bool)
    own = palette.astype(np.int32)
    for first in range(0, len(colours), _AT_ONCE):
        red, green, blue = colours[first : first + _AT_ONCE].T.astype(np.int32, order="C")
        best, second = (np.full(len(red), np.iinfo(np.int32).max, dtype=np.int32) for _ in range(2))
        for place, (r, g, b) in enumerate(own):  # of all pixels at a time, for the axis of the colours is a short one
            ranked = ((red - r) ** 2 + (green - g) ** 2 + (blue - b) ** 2) * _PLACES + place  # below 2^31
            np.minimum(second, np.maximum(best, ranked), out=second)
            np.minimum(best, ranked, out=best)
        numbers[first : first + len(best)] = best % _PLACES
        unsure[first : first + len(best)] = (
            best // _PLACES > _UNSURE**2 * (second // _PLACES) if len(own) > 1 else False
        )
    return numbers, unsure


def foreign_colour(
    image: np.ndarray, place: tuple[int, int], palette: Sequence[str], names: Sequence[str], *, name: str
) -> ImageError:
    """What is said of a colour that is in no palette: its place (x, y), and the class whose colour is nearest."""
    x, y = place
    number = int(nearest(image[y, x][None], rgb(palette))[0][0])
    return ImageError(
        f"{name} has the colour {text_of(image[y, x])} at ({x}, {y}), which is that of no class; the nearest is "
        f"{palette[number]}, {_called(number, names)}: mend the map, resizing such maps by nearest neighbours alone, "
        "or add the colour to the palette"
    )


# --- inside -----------------------------------------------------------------------------------------------------------


def _called(number: int, names: Sequence[str]) -> str:
    return f"class {number} ({names[number]})" if number < len(names) else f"class {number}"


def _by_majority(numbers: np.ndarray, unsure: np.ndarray, *, classes: int) -> np.ndarray:
    """Uncertain pixels as most of the certain ones around them; as they are where there is none."""
    padded = np.pad(np.where(unsure, numbers.dtype.type(classes), numbers), _AROUND, constant_values=classes)
    made, places = numbers.copy(), np.flatnonzero(unsure)
    steps = range(2 * _AROUND + 1)
    for first in range(0, len(places), _AT_ONCE):
        rows, columns = np.divmod(places[first : first + _AT_ONCE], numbers.shape[1])
        around = np.stack([padded[rows + down, columns + right] for down in steps for right in steps])
        votes = np.zeros(around.shape, dtype=np.uint8)
        for each in around:  # whatever the number of classes, of which most are nowhere near
            votes += around == each
        votes *= around != classes
        ranked = (votes.astype(np.int32) * _PLACES + (_PLACES - 1 - around)).max(axis=0)  # of equals the lower number
        heard = ranked >= _PLACES
        made[rows[heard], columns[heard]] = _PLACES - 1 - ranked[heard] % _PLACES
    return made


class _Object(list[tuple[str, Any]]):
    """The pairs of a JSON object: a dict would keep the last of two names that are alike."""


def _of_json(text: str) -> Iterator[tuple[Any, Any]]:
    read = json.loads(text, object_pairs_hook=_Object)
    listed = dict(read).get("palette") if isinstance(read, _Object) else read
    if isinstance(read, _Object) and not (isinstance(listed, list) and listed and isinstance(listed[0], list)):
        yield from read
        return
    for entry in listed or []:  # as in a paint.json
        known = dict(entry) if isinstance(entry, _Object) else {}
        if not {"name", "color"} <= set(known):
            raise ValueError(f'a class is an object with "name" and "color", got {entry!r:.60}')
        yield known["name"], known["color"]


def _of_lines(text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            found = _LINE.fullmatch(line.strip())
            if found is None:
                raise ValueError(f"line {number} is {line.strip()!r:.60}: write a name and its colour, as wall #0030ff")
            between = line.strip()[found.end(1) : found.start(2)]
            joined = not set(between) & set(":=") and _HEX.fullmatch(found[2]) is None
            if joined and re.search(r"[\s,]\d{1,3}$", found[1]):
                raise ValueError(
                    f"line {number} is {line.strip()!r:.60}, which ends in four numbers or more: write a name and red, "
                    "green and blue, as wall: 0 48 255"
                )
            yield found[1], found[2]


def _colour(value: Any, name: Any) -> str:
    if isinstance(value, str) and (found := _HEX.fullmatch(value)):
        return f"#{found[1].lower()}"
    parts: Any = value
    if isinstance(value, str):
        found = _NUMBERS.fullmatch(value.strip())
        parts = list(found.groups()) if found else None
    if isinstance(parts, list) and len(parts) == 3:
        numbers = [int(part) if str(part).isdecimal() else -1 for part in parts]
        if all(0 <= number <= 255 for number in numbers):
            return text_of(numbers)
    raise ValueError(f"{name!r:.60} has the colour {value!r:.60}: write it as #0030ff, or as three numbers of 0 to 255")
