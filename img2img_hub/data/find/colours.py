"""The palette of a data set that nobody wrote down, read off its label maps.

    python -m img2img_hub check-data --dataset facades --side_by_side --direction BtoA --palette auto

Maps in PNG have a colour for each class and no other. JPEG blurs them, so that of maps in JPEG those colours are taken
that are frequent where a map is flat.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from img2img_hub.data.find.config import MAX_CLASSES, DataError
from img2img_hub.data.find.needs import Needs, check_made
from img2img_hub.data.samples.reading import Images
from img2img_hub.data.samples.stack import Stack
from img2img_hub.errors import listing
from img2img_hub.images.formats import ImageError
from img2img_hub.images.numbers import Stored, in_colours
from img2img_hub.images.palettes import packed, text_of
from img2img_hub.images.slots import Slot
from img2img_hub.images.values import spread

_MOST_EXACT, _MOST_BLURRED = 1000, 200  # images that are read, spread evenly
_MOST_COLOURS = 256  # of maps that are not blurred
_STEP = 8  # of a colour's value: blurred colours are counted in boxes of so many a side
_FLAT = 16  # by which neighbours in a flat place differ at most, in each band
_APART = 40  # distance (RGB, Euclid) below which two colours are one that JPEG has blurred
_RARE = 5e-4  # share of the flat pixels below which a colour is none of a class
_CLOSE = 16.0  # distance within which most pixels of label maps are of their class's colour …
_MOSTLY = 0.8  # … which of photographs they are not (facades: 0.997 of label maps, 0.51 of photos; CamVid 0.64)


def with_palettes(needs: Needs, source: Images, target: Images) -> Needs:
    """What is needed, with the palettes that are to be read off the images. Raises DataError."""
    sources = dict(needs.sources)
    for column in needs.auto - {"target"}:
        sources[column] = with_palette(sources[column], source.parts[column] if isinstance(source, Stack) else source)
    found = with_palette(needs.target, target) if "target" in needs.auto else needs.target
    check_made(found)
    return replace(needs, sources=sources, target=found, auto=frozenset())


def with_palette(slot: Slot, images: Images) -> Slot:
    """The slot with the colours of these label maps, in the order of their values, each a class; as many as the slot
    has classes, where it says.

    Raises:
        DataError: they hold numbers, other colours than classes are said, or are no label maps.
    """
    palette = _exact(images)
    if palette is None:
        palette = _blurred(images, count=slot.classes)
    colours = tuple(sorted(text_of(colour) for colour in palette))
    if slot.classes and len(colours) not in (slot.classes, slot.classes + 1):
        raise DataError(
            f"{images.title} has {len(colours)} colours ({listing(colours, limit=12)}), and --labels says "
            f"{slot.classes} classes: mend the maps, or name a file by --palette that says which colour is which class"
        )
    if len(colours) > MAX_CLASSES:
        raise DataError(f"{images.title} has {len(colours)} colours, and there may be {MAX_CLASSES} classes at most")
    return replace(slot, classes=slot.classes or len(colours), palette=colours)


def _exact(images: Images) -> np.ndarray | None:
    """(N, 3) uint8, all colours that come; None where a format or something else has blurred them."""
    found = np.empty(0, dtype=np.int64)
    for row in spread(len(images), _MOST_EXACT):
        stored = _stored(images, row)
        if stored is None:
            continue
        if stored.lossy:
            return None
        found = np.union1d(found, packed(_in_colours(stored, images, row)))
        if len(found) > _MOST_COLOURS:
            return None
    if not len(found):
        raise DataError(f"{images.title} has no label map that can be read: check-data says why")
    return np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1)


def _blurred(images: Images, *, count: int) -> np.ndarray:
    """(N, 3) uint8, the frequent colours, those of classes, `count` where that is not 0."""
    side = 256 // _STEP
    boxes = np.zeros(side**3, dtype=np.int64)
    for row in spread(len(images), _MOST_BLURRED):
        stored = _stored(images, row)
        if stored is not None:
            colours = _in_colours(stored, images, row)
            boxes += np.bincount(_box(colours[_flat(colours)]), minlength=len(boxes))
    whole = int(boxes.sum())
    middles = np.stack(np.unravel_index(np.arange(len(boxes)), (side,) * 3), axis=1) * _STEP + (_STEP - 1) / 2
    modes: list[int] = []
    shares: list[float] = []
    close = 0
    for box in np.argsort(-boxes, kind="stable"):
        share = boxes[box] / max(whole, 1)
        if not share or (not modes and not whole):
            break
        away = np.linalg.norm(middles[modes] - middles[box], axis=1) if modes else np.array([np.inf])
        if away.min() > _APART:
            modes.append(int(box))
            shares.append(0.0)
            away = np.append(away, 0.0) if len(modes) > 1 else np.zeros(1)
        shares[int(away.argmin())] += share
        close += int(boxes[box]) if away.min() <= _CLOSE else 0
    order = np.argsort(-np.array(shares), kind="stable")
    kept = order[:count] if count else [place for place in order if shares[place] >= _RARE]
    if close < _MOSTLY * whole or not len(kept) or len(kept) > _MOST_COLOURS:
        raise DataError(
            f"{images.title} has no few colours that most pixels have, as label maps do: are these photographs? Name "
            "the maps by --direction or --source_column, or a file by --palette that says which colour is which class"
        )
    return _means(images, middles[[modes[place] for place in kept]])


def _means(images: Images, middles: np.ndarray) -> np.ndarray:
    """The median of the flat pixels around each of these colours."""
    near: list[list[np.ndarray]] = [[] for _ in middles]
    for row in spread(len(images), _MOST_BLURRED // 4):
        stored = _stored(images, row)
        if stored is None:
            continue
        colours = _in_colours(stored, images, row)
        flat = colours[_flat(colours)]
        for place, middle in enumerate(middles):
            near[place].append(flat[np.abs(flat - middle).max(axis=1) <= _CLOSE])
    found = [np.concatenate(each) if each else np.empty((0, 3)) for each in near]
    medians = [np.median(each, axis=0) if len(each) else middle for each, middle in zip(found, middles, strict=True)]
    return np.round(medians).astype(np.uint8)


def _stored(images: Images, row: int) -> Stored | None:
    try:
        return images.decoded(row).stored()
    except (ImageError, DataError):  # whoever reads all of them says so
        return None


def _in_colours(stored: Stored, images: Images, row: int) -> np.ndarray:
    """(H, W, 3) uint8."""
    values = stored.values
    if values.ndim == 2 and stored.colours is not None:
        return in_colours(stored, name=images.where(row))
    if values.dtype != np.uint8 or values.shape[2:] != (3,):
        raise DataError(
            f"{images.where(row)} holds numbers, not colours, which auto would read off: type --labels with the number "
            "of classes, or name a file by --palette"
        )
    return values


def _flat(colours: np.ndarray) -> np.ndarray:
    """(H, W) bool, where the four neighbours have nearly the same colour."""
    values, flat = colours.astype(np.int16), np.ones(colours.shape[:2], dtype=bool)
    below = np.abs(np.diff(values, axis=0)).max(axis=-1) <= _FLAT
    beside = np.abs(np.diff(values, axis=1)).max(axis=-1) <= _FLAT
    flat[1:] &= below
    flat[:-1] &= below
    flat[:, 1:] &= beside
    flat[:, :-1] &= beside
    return flat


def _box(colours: np.ndarray) -> np.ndarray:
    side, places = 256 // _STEP, colours.astype(np.int64) // _STEP
    return (places[:, 0] * side + places[:, 1]) * side + places[:, 2]
