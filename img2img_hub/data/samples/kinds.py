"""What the images of a data set are: 8-bit pictures, or rasters of so many bands, their type and their range of values.

    python -m img2img_hub check-data --dataset scenes

Both are found by looking: what the images are, at the headers of a few; the range, at the pixels of more of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import cast

import numpy as np

from img2img_hub.data.find.config import DataConfig, DataError
from img2img_hub.data.samples.reading import Images
from img2img_hub.data.samples.stack import Stack
from img2img_hub.errors import counted
from img2img_hub.images.headers import HeaderError
from img2img_hub.images.raster import Raster, RasterKind
from img2img_hub.images.slots import Slot, common_type
from img2img_hub.images.values import MASK, BandValues, measured, spread

_LOOKED_AT = 4  # images of each side whose headers are read
_MOST_LOOKED_AT = 100  # where some of them cannot be
_MEASURED = 200  # images of each side whose pixels are read for the range of values


class KindError(DataError):
    """Images of other kinds than what is asked for, or of several."""


def side_kind(images: Images, *, config: DataConfig, asked: int | None, role: str) -> tuple[int, RasterKind | None]:
    """(bands, what kind of raster) of the sources or targets; the kind of 8-bit pictures is None.

    Args:
        asked: bands that somebody wants; 1 and 3 where the files have another number: as 8-bit pictures, grey or RGB;
            one more than the files have besides an alpha band: with that as a band.

    Raises:
        KindError: rasters of several kinds, a number of bands that is not there, or options that say nothing of
            8-bit pictures.
    """
    if isinstance(images, Stack):
        if asked not in (None, images.channels):
            said = ", ".join(slot.describe() for slot in images.slots)
            raise KindError(
                f"{said}: {counted(images.channels, 'channel')} to a network, and {asked} are asked for, by a model"
            )
        return images.channels, images.whole
    kinds = _looked_at(images, config=config, asked=asked)
    found = {row: kind for row, kind in kinds.items() if kind is not None}
    flag = f"--{'in' if role == 'source' else 'out'}_channels"
    if found and config.no_data is not None and asked in (1, 3) and all(asked != kind.bands for kind in found.values()):
        raise KindError(
            f"{images.title} has {next(iter(found.values())).describe()}, {flag} {asked} reads that as pictures, and "
            f"--no_data {config.no_data:g} is for rasters: leave one of the two out"
        )
    if len(found) < len(kinds) or all(asked in (1, 3) and asked != kind.bands for kind in found.values()):
        if asked not in (None, 1, 3):
            raise KindError(
                f"the {role}s are 8-bit pictures, of 1 or 3 bands, and {asked} are asked for, by a model or by {flag}"
            )
        if kinds and getattr(config, f"{role}_range") is not None:
            raise KindError(
                f"--{role}_range is for rasters, and {images.title} is read as 8-bit pictures, whose 0 and 255 are the "
                f"ends: leave it out"
            )
        return asked or 3, None
    (first, kind), *others = found.items()
    for row, other in others:
        if (other.bands, other.dtype) != (kind.bands, kind.dtype):
            raise KindError(
                f"{images.where(first)} has {kind.describe()}, {images.where(row)} has {other.describe()}: "
                f"save the {role}s alike"
            )
    if asked is not None and asked != kind.bands:
        raise KindError(
            f"{images.where(first)} has {kind.describe()}, and {asked} are asked for, by a model or by {flag}"
        )
    masked = any(each.masked for each in found.values())
    return kind.bands, RasterKind(bands=kind.bands, dtype=kind.dtype, masked=masked, no_data=kind.no_data)


def _looked_at(images: Images, *, config: DataConfig, asked: int | None) -> dict[int, RasterKind | None]:
    """What a few of the images are, spread over all; in place of those that cannot be read, the first others."""
    rows = spread(len(images), _LOOKED_AT)
    others = (row for row in range(min(len(images), _MOST_LOOKED_AT)) if row not in rows)
    kinds: dict[int, RasterKind | None] = {}
    for row in chain(rows, others):
        if len(kinds) == len(rows):
            break
        try:
            kinds[row] = images.kind(row, no_data=config.no_data, bands=asked)
        except (HeaderError, DataError):  # its reader says why
            continue
    return kinds


def side_values(
    images: Images, rows: np.ndarray, *, kind: RasterKind, limits: tuple[float, float] | None
) -> BandValues:
    """The range of values of one side, from at most 200 of its images, spread evenly; the same for the same data."""
    if isinstance(images, Stack):
        return _stacked_values(images, rows)

    def some() -> Iterator[Raster]:
        for place in spread(len(rows), _MEASURED):
            yield cast(Raster, images.read(int(rows[place]), channels=kind.bands, kind=kind))

    return measured(some(), dtype=kind.dtype, no_data=kind.no_data, limits=limits)


def _stacked_values(images: Stack, rows: np.ndarray) -> BandValues:
    """Each list's own range."""
    if images.slots[0].in_colours:
        return BandValues(dtype="uint8", low=(0.0,) * 3, high=(255.0,) * 3)

    def measure(slot: Slot) -> BandValues:
        return side_values(images.parts[slot.name], rows, kind=images.kind_of(slot.name), limits=None)

    return values_of(images.slots, measure)


def values_of(slots: Sequence[Slot], measured: Callable[[Slot], BandValues]) -> BandValues:
    """Of the bands of all slots together: 0 and 255 are the ends of pictures, as of those that stand alone, and
    `measured` says the range of what else holds values."""
    low: list[float] = []
    high: list[float] = []
    classes: list[int] = []
    edges: list[int] = []
    hole: int | None = None
    for slot in slots:
        hole = len(low) if slot.kind == "hole" else hole
        edges += [len(low)] if slot.kind == "instances" else []
        classes += [slot.channels if slot.kind == "labels" else 0] * slot.bands
        if slot.kind == "picture" or slot.by_nearest:
            ends = MASK if slot.kind in ("mask", "hole") else (0.0, 255.0)
            low, high = low + [ends[0]] * slot.bands, high + [ends[1]] * slot.bands
            continue
        own = measured(slot)
        low, high = [*low, *own.low], [*high, *own.high]
    return BandValues(
        dtype=common_type(slots),
        low=tuple(low),
        high=tuple(high),
        classes=tuple(classes),
        edges=tuple(edges),
        hole=hole,
    )
