"""The one door to data: a Hub data set or a local folder, as pairs or as two unpaired sets of images.

    from img2img_hub.data.find.sources import DataConfig, open_data

    data = open_data(DataConfig(dataset="facades", side_by_side=True, direction="BtoA"), paired=True, split="test")
    print(data.description, data.source(0).size)
    # the same from the command line:
    # python -m img2img_hub check-data --dataset facades --side_by_side --direction BtoA

Nothing is decoded before it is asked for. What is wrong with a data set as a whole (splits, columns, orphans) is said
when it is opened; what is wrong with one image, when it is read, by file or row; ``problems`` reads them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from img2img_hub.data.find.colours import with_palettes
from img2img_hub.data.find.config import DataConfig, DataError, SplitMissingError
from img2img_hub.data.find.needs import Needs
from img2img_hub.data.find.sets import DataSet, open_set
from img2img_hub.data.find.tables import TableSet
from img2img_hub.data.samples.holes import HoleMaker
from img2img_hub.data.samples.kinds import KindError, side_kind
from img2img_hub.data.samples.makers import check_that_it_takes, maker_of
from img2img_hub.data.samples.opened import About, ImageData, PairedData, UnpairedData, problems
from img2img_hub.data.samples.reading import Half, Images, SideBySide
from img2img_hub.data.samples.stack import Stack
from img2img_hub.data.stream.streaming import StreamedData
from img2img_hub.data.stream.waiting import say_it_shortly
from img2img_hub.errors import counted
from img2img_hub.images.formats import allow_megapixels
from img2img_hub.images.raster import RasterKind
from img2img_hub.images.slots import Slot

__all__ = [
    "DataConfig",
    "DataError",
    "ImageData",
    "PairedData",
    "StreamedData",
    "UnpairedData",
    "open_data",
    "open_train_and_validation",
    "problems",
]

_VALIDATION_SPLITS = ("validation", "val", "test")
_HEAD, _PREVIEW = 500, 32  # rows of a stream read into memory to validate on, and to show without a validation split
_FIRST = 4  # and to tell what the images are
_Asked = tuple[int | None, int | None]  # bands of sources and targets
_HOLD_OUT_STREAM = 3  # the first number of the seed; transforms.py has the other streams


def open_data(
    config: DataConfig,
    *,
    paired: bool,
    split: str,
    in_channels: int | None = None,
    out_channels: int | None = None,
    slots: Sequence[Slot] = (),
) -> ImageData:
    """Open one split of the data set: PairedData for ``paired``, else UnpairedData.

    With ``streaming`` these are its first rows, at most 500, read into memory. Channels are 1 ("L") or 3 ("RGB") of
    8-bit pictures, of which 3 are read by default, and those of the files of rasters; None: as the config says. Slots
    are what the method reads (`Family.slots`), by default a source and a target as the files are. Raises DataError with
    what was found and what to type.
    """
    needs = Needs.of(config, slots=slots)
    opened = _heads(_open_sets(needs, paired=paired), config, rows=_HEAD)
    channels = _asked(needs, in_channels, out_channels)
    return _open_split(opened, needs, paired=paired, split=split, channels=channels)


def open_train_and_validation(
    config: DataConfig,
    *,
    paired: bool,
    seed: int,
    in_channels: int | None = None,
    out_channels: int | None = None,
    slots: Sequence[Slot] = (),
) -> tuple[ImageData | StreamedData, ImageData | None]:
    """Open the training data and what to validate on, None for nothing.

    The validation data is the split that ``validation_split`` names; by default the first of validation, val and
    test that is there, else ``validation_fraction`` of the training images, drawn by ``seed`` alone (so the same on
    every rank and in a resumed run) and held out of training. With ``streaming`` the training data is a stream, of
    which nothing can be held out, and what to validate on the first rows of a split, at most 500, in memory.
    """
    needs = Needs.of(config, slots=slots)
    opened = _open_sets(needs, paired=paired)
    channels = _asked(needs, in_channels, out_channels)
    train: ImageData | StreamedData
    if config.streaming:
        train = _open_stream(opened, needs, paired=paired, channels=channels)
        opened = _heads(opened, config, rows=_HEAD)
    else:
        train = _open_split(opened, needs, paired=paired, split=config.train_split, channels=channels)
    if config.validation_split == "none":
        return train, None
    needs = needs.like(train.about)
    # source_split and target_split say where training's images are; another split is looked for without them.
    elsewhere = replace(needs, config=replace(needs.config, source_split=None, target_split=None))
    if config.validation_split is not None:
        return train, _open_split(opened, elsewhere, paired=paired, split=config.validation_split, channels=channels)
    if config.source_split is None and config.target_split is None:
        for split in _VALIDATION_SPLITS:
            try:
                return train, _open_split(opened, elsewhere, paired=paired, split=split, channels=channels)
            except SplitMissingError:
                continue
    if isinstance(train, StreamedData):
        if config.validation_fraction == 0:
            return train, None
        raise DataError(
            f"{train.id} has no split called {', '.join(_VALIDATION_SPLITS)}, and a stream is never seen at once, so "
            f"that no part of it can be held out: type --validation_split with another split, or with none"
        )
    return _held_out(train, config.validation_fraction, seed=seed)


def _asked(needs: Needs, in_channels: int | None, out_channels: int | None) -> _Asked:
    """Bands of sources and targets that the caller, the config or the method wants."""
    config, source, target = needs.config, needs.sources.get("source"), needs.target
    declared = (
        0 if source is None or source.kind != "picture" else source.bands,
        0 if target.by_nearest else target.bands,
    )
    return in_channels or config.in_channels or declared[0] or None, out_channels or config.out_channels or declared[
        1
    ] or None


def _open_sets(needs: Needs, *, paired: bool) -> list[DataSet]:
    """The data set and, where one is named, the target data set, each found but no split chosen."""
    config = needs.config
    allow_megapixels(config.max_megapixels)
    if not paired and (needs.extras or needs.target.scale != 1 or len(needs.config.sources) > 1):
        what = " ".join((*needs.config.sources, *needs.extras)) or "targets of another scale"
        raise DataError(f"pairs are needed for {what}, and unpaired data are wanted: name one source")
    if config.maps_targets and not paired:
        raise DataError("--target_labels is for pairs, but unpaired data are wanted: leave it out or train pix2pix")
    if config.pair_pattern and not paired:
        raise DataError("--pair_pattern is for pairs, but unpaired data are wanted: leave it out or train pix2pix")
    if config.corrupt and not paired:
        raise DataError("--corrupt makes pairs, but unpaired data are wanted: leave it out or train pix2pix")
    if paired:
        for name in ("target_dataset", "source_split", "source_label"):
            if getattr(config, name) is not None:
                raise DataError(f"--{name} is for unpaired data, but pairs are wanted: leave it out or train cyclegan")
    wanted = [config.dataset] + ([config.target_dataset] if config.target_dataset else [])
    return [open_set(name, config=config, paired=paired) for name in wanted]


def _heads(opened: list[DataSet], config: DataConfig, *, rows: int) -> list[DataSet]:
    """With --streaming the first rows of every split in place of the stream."""
    if not config.streaming:
        return opened
    rows = min(rows, config.max_samples or rows)
    return [one.head(rows) if isinstance(one, TableSet) else one for one in opened]


def _open_split(opened: list[DataSet], needs: Needs, *, paired: bool, split: str, channels: _Asked) -> ImageData:
    config = needs.config
    source, target, extras, about = _find(opened, needs, paired=paired, split=split, channels=channels)
    for images in (source, target):
        if not len(images):
            raise DataError(f"{images.title} holds no images: type --split or --train_split with another split")
    about = _with_kinds(about, source, target, needs=needs, asked=channels)
    cut = next((one.cut for one in opened if isinstance(one, TableSet) and one.cut), None)
    if cut is None and config.max_samples is not None and config.max_samples < max(len(source), len(target)):
        cut = config.max_samples
    if cut is not None:  # a number measured on a part must not be taken for the whole split's
        about = replace(about, split=f"{about.split} (first {cut})")
    if paired:
        return PairedData(source, target, range(len(source))[: config.max_samples], about=about, extras=extras)
    source_rows, target_rows = range(len(source))[: config.max_samples], range(len(target))[: config.max_samples]
    return UnpairedData(source, target, source_rows, target_rows, about=about)


def _open_stream(opened: list[DataSet], needs: Needs, *, paired: bool, channels: _Asked) -> StreamedData:
    config = needs.config
    say_it_shortly()
    where: dict[str, Any] = {"paired": paired, "split": config.train_split, "channels": channels}
    source, target, extras, about = _find(opened, needs, **where)
    first: ImageData | None = None
    for rows in (_FIRST, 1):  # they tell what the images are, or the first one does where another cannot be used
        try:
            first = _open_split(_heads(opened, config, rows=rows), needs, **where)
            about = replace(about, **{name: getattr(first.about, name) for name in _OF_THE_IMAGES})
            known = {name: side.images for name, side in first.sides.items() if isinstance(side.images, Stack)}
            source = source.like(known["source"]) if isinstance(source, Stack) else source
            target = target.like(known["target"]) if isinstance(target, Stack) else target
            extras = {name: images.like(known[name]) for name, images in extras.items()}
            break
        except KindError:
            raise
        except ValueError:  # what cannot be read is for whoever reads all of it to say
            if rows == 1 and (extras or isinstance(source, Stack)):  # of which only a look tells how many bands
                raise
    return StreamedData(
        source,
        target,
        paired=paired,
        about=about,
        extras=extras,
        max_samples=config.max_samples,
        shuffle_buffer=config.shuffle_buffer,
        first=first,
        preview=partial(_open_split, _heads(opened, config, rows=_PREVIEW), needs, **where),
    )


def _find(
    opened: list[DataSet], needs: Needs, *, paired: bool, split: str, channels: _Asked
) -> tuple[Images, Images, dict[str, Stack], About]:
    """Sources and targets, what else training reads, and what is known of all."""
    first, config, where = opened[0], needs.config, split
    corrupter = maker_of(config, scale=needs.target.scale, holes=needs.holes, asked=channels[1])
    if corrupter is not None:
        source = target = first.one(split, config=config, role="target")
        channels = (corrupter.channels(channels[1] or 3), channels[1])
    elif config.side_by_side:
        both = SideBySide(first.one(split, config=config, role="source"))
        source, target = _directed(Half(both, left=True), Half(both, left=False), config)
    elif config.source_split or config.target_split or len(opened) == 2:
        source = first.one(config.source_split or split, config=config, role="source")
        target = opened[-1].one(config.target_split or split, config=config, role="target")
        if config.source_split and config.target_split:
            split = f"{config.source_split} and {config.target_split}"
    else:
        source, target = _directed(*first.two(split, config=config, paired=paired), config)
    needs = with_palettes(needs, source, target)
    if isinstance(source, Stack):
        names = {column: needs.sources[column].name if column in needs.sources else column for column in source.parts}
        declared = {names[column]: slot for column, slot in needs.sources.items()}
        source = Stack({names[column]: part for column, part in source.parts.items()}, declared=declared)
    elif slot := needs.sources.get("source"):
        source = Stack({slot.name: source}, declared={slot.name: slot}) if slot.by_nearest else source
    if needs.target.by_nearest:
        target = Stack({"target": target}, declared={"target": needs.target})
    extras = {}
    for column, extra in needs.extras.items():
        images = first.beside(where, column, partners=source, config=config)
        extras[extra.name] = Stack({extra.name: images}, declared={extra.name: extra})
    ids = tuple(dict.fromkeys(one.hub_id for one in opened if one.hub_id))
    about = About(
        id=first.name,
        hub_ids=ids,
        split=split,
        in_channels=channels[0] or 3,
        out_channels=channels[1] or 3,
        corrupter=corrupter,
        source_range=config.source_range,
        target_range=config.target_range,
        scale=needs.target.scale,
        notes=tuple(first.notes),
    )
    return source, target, extras, about


_OF_THE_IMAGES = ("in_channels", "out_channels", "source_kind", "target_kind", "inputs", "output")


def _with_kinds(about: About, source: Images, target: Images, *, needs: Needs, asked: _Asked) -> About:
    """With what a look at the images tells."""
    config = needs.config
    out_channels, target_kind = side_kind(target, config=config, asked=asked[1], role="target")
    if (maker := about.corrupter) is not None:
        check_that_it_takes(maker, target.title, target_kind, config=config, asked=asked[1])
        if not isinstance(maker, HoleMaker):
            return about
        return replace(
            about,
            in_channels=maker.channels(out_channels),
            out_channels=out_channels,
            source_kind=maker.kind(out_channels, target_kind),
            target_kind=target_kind,
            inputs=maker.slots(out_channels, target_kind),
        )
    in_channels, source_kind = side_kind(source, config=config, asked=asked[0], role="source")
    _check_kind(needs.sources.get("source"), source, in_channels, source_kind)
    _check_kind(needs.target, target, out_channels, target_kind)
    return replace(
        about,
        in_channels=in_channels,
        out_channels=out_channels,
        source_kind=source_kind,
        target_kind=target_kind,
        inputs=source.slots if isinstance(source, Stack) else (),
        output=target.slots[0] if isinstance(target, Stack) else None,
    )


def _check_kind(slot: Slot | None, images: Images, bands: int, kind: RasterKind | None) -> None:
    """Refuse what the method does not read."""
    if slot is None or slot.by_nearest or slot.kind is None:
        return
    of_another = kind is not None and slot.kind == "raster" and slot.bands and kind.dtype != slot.dtype
    if (slot.kind == "picture") != (kind is None) or of_another or slot.bands not in (0, bands):
        found = f"8-bit pictures of {counted(bands, 'band')}" if kind is None else kind.describe()
        wanted = "8-bit pictures" if slot.kind == "picture" else "rasters"
        if slot.bands:
            wanted += f" of {counted(slot.bands, 'band')}" + (f" of {slot.dtype}" if slot.kind == "raster" else "")
        raise KindError(f"{images.title} has {found}, and this method reads {wanted}: save it so")


def _directed(a: Images, b: Images, config: DataConfig) -> tuple[Images, Images]:
    return (a, b) if config.direction == "AtoB" else (b, a)


def _held_out(train: ImageData, fraction: float, *, seed: int) -> tuple[ImageData, ImageData | None]:
    """Part the training data in two, both in the order they had; None where there are too few to part."""
    held = f"{train.split} (held-out part)".replace(") (", ", ")
    if isinstance(train, PairedData):
        keep, hold = _parted(len(train), fraction, seed=seed)
        return (train.select(keep), train.select(hold, split=held)) if len(hold) else (train, None)
    keep_source, hold_source = _parted(train.num_source, fraction, seed=seed)
    keep_target, hold_target = _parted(train.num_target, fraction, seed=seed)
    if not (len(hold_source) and len(hold_target)):
        return train, None
    return train.select(keep_source, keep_target), train.select(hold_source, hold_target, split=held)


def _parted(length: int, fraction: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    count = min(max(1, round(length * fraction)), length - 1) if fraction > 0 else 0
    order = np.random.default_rng([_HOLD_OUT_STREAM, seed]).permutation(length)
    return np.sort(order[count:]), np.sort(order[:count])
