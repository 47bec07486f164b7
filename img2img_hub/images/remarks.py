"""What readers notice of images that may be meant as something else than they are read as, for whoever wants to know.

    from img2img_hub.images.read import read_image
    from img2img_hub.images.remarks import noted, told

    with noted() as notes:
        read_image("stack.tif")
    print("\\n".join(told(notes)))

A reader says `note(…)` where it knows. Outside of `noted()` and `spoken()` nobody listens, and nothing is looked for:
training reads the same images again and again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from img2img_hub.errors import listing

_DARK = 40  # of 255: what is nowhere brighter is nearly black, or class ids
_LIKE_DATA = 0.1  # share of values at the ends below which a band is no alpha, of which most pixels are at one of them
_LEAST_LEVELS = 32  # and so many others; an even glass over all of an image has few
_NAMED = 3  # images in one line

_SAYS = {
    "pages": (
        "of several pages or frames the first alone is read",
        "save those that are meant as images of their own",
    ),
    "dark": (
        "nearly black as a picture",
        "if these are class ids, train with --labels and their number, if a mask, with --masks; or save them in the "
        "colours or greys of a picture, such as 0 and 255",
    ),
    "deep": (
        "nearly black in the 8 bits of a picture",
        "scale them to 0…65535 first, or use a model of rasters (training without --in_channels and --out_channels "
        "keeps units and finds the range)",
    ),
    "alpha": (
        "a band flagged as alpha holds values as data do, and makes pixels transparent",
        "--in_channels or --out_channels with that band counted takes it as a band; or write the files without the "
        "flag",
    ),
    "palette": (
        "colours of a palette become equal greys",
        "leave out the 1 channel, or save the classes in greys that differ",
    ),
    "clear": (
        "transparent in places, which count as white, and the output of several images has no alpha",
        "put the output's alpha in afterwards, or give images without",
    ),
    "blurred": (
        "colours of classes that the file's format has blurred became the nearest ones",
        "save label maps as PNG where that matters",
    ),
    "no hole": (
        "nothing is filled in where there is no hole",
        "a mask is white where something is to be filled in: is it the right one?",
    ),
    "lost": ("some of what the input says is lost in this format", "--format tif keeps it"),
}


T = TypeVar("T")


class Note(NamedTuple):
    """One thing about one image."""

    kind: str
    """Of _SAYS."""
    name: str
    found: str
    """What was found, in a few words."""


_listener: ContextVar[list[Note] | None] = ContextVar("notes", default=None)


def listening() -> bool:
    """Whether it is worth looking."""
    return _listener.get() is not None


def note(kind: str, name: str, found: str) -> None:
    notes = _listener.get()
    if notes is not None:
        notes.append(Note(kind, name, found))


@contextmanager
def noted() -> Iterator[list[Note]]:
    """Collect what is noted inside, in this thread."""
    notes: list[Note] = []
    token = _listener.set(notes)
    try:
        yield notes
    finally:
        _listener.reset(token)


@contextmanager
def spoken() -> Iterator[None]:
    """Make warnings of what is noted inside, unless somebody listens already."""
    if listening():
        yield
        return
    with noted() as notes:
        yield
    for line in told(notes):
        warnings.warn(line, stacklevel=5)


def with_notes(make: Callable[[], T]) -> tuple[T, list[Note]]:
    """What it gives, and what was noted meanwhile; whoever listens hears that all the same."""
    heard = _listener.get()
    before = len(heard or ())
    return make(), (heard or [])[before:]


def told(notes: Iterable[Note]) -> list[str]:
    """One line of each kind, with how many images and the first names."""
    groups: dict[str, dict[str, str]] = {}
    for kind, name, found in notes:
        groups.setdefault(kind, {}).setdefault(name, found)
    if "deep" in groups and "dark" in groups:  # of such an image the first says more
        groups["dark"] = {name: found for name, found in groups["dark"].items() if name not in groups["deep"]}
    lines = []
    for kind, images in groups.items():
        names = list(images)
        who = names[0] if len(names) == 1 else f"{len(names)} images ({listing(names, limit=_NAMED)})"
        if names:
            what, cure = _SAYS[kind]
            lines.append(f"{who}: {what} ({images[names[0]]}); {cure}")
    return lines


# --- what is looked for in any image ----------------------------------------------------------------------------------


def look_at(image: Any, *, name: str) -> None:
    """Note a picture, or a Raster of 8 bits, that is nearly black throughout, or but for white (which is often what is
    left out of classes)."""
    if not listening():
        return
    array = np.asarray(image) if isinstance(image, Image.Image) else image.array
    if array.dtype != np.uint8 or getattr(image, "by_nearest", ()):  # class numbers and masks are meant to be so
        return
    brightest = array.max(axis=2) if array.ndim == 3 else array
    known = brightest[brightest < 255]
    if known.size and 0 < (high := int(known.max())) <= _DARK:
        beside = " and 255" if known.size < brightest.size else ""
        note("dark", name, f"values {int(array.min())}…{high}{beside} of 255")


def look_at_depth(array: np.ndarray, *, name: str, upper_byte: bool = False) -> None:
    """Note values of 16 bits, or the upper bytes of such, that are nearly black in 8."""
    if not listening():
        return
    high = int(array.max()) * 256 + 255 if upper_byte else int(array.max())
    if 0 < high <= (_DARK + 1) * 256:
        note("deep", name, f"values of at most {high} of 65535")


def look_at_alpha(alpha: np.ndarray, *, name: str) -> None:
    """Note an alpha band that is plainly none: hardly a pixel is clear or opaque, and there are many levels between."""
    if not listening():
        return
    top = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1.0
    ends = float(((alpha == 0) | (alpha == top)).mean())
    if ends < _LIKE_DATA and len(np.unique(alpha)) >= _LEAST_LEVELS:
        note("alpha", name, f"values {alpha.min():g}…{alpha.max():g}, {ends:.0%} of them 0 or {top:g}")


def look_at_frames(image: Image.Image, *, name: str) -> None:
    """Note a picture, opened by Pillow and no TIFF, that has several frames."""
    if listening() and getattr(image, "is_animated", False):
        # A GIF tells how many only when all of it is read.
        note("pages", name, "several frames" if image.format == "GIF" else f"{image.n_frames} frames")  # type: ignore[attr-defined]


def look_at_greys(palette: Image.Image, greys: Image.Image, *, name: str) -> None:
    """Note a palette whose colours are fewer greys."""
    if listening() and palette.mode == "P":
        before, after = len(palette.getcolors(256) or []), len(greys.getcolors(256) or [])
        if after < before:
            note("palette", name, f"{before} colours, {after} greys")
