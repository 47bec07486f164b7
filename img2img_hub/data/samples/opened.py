"""Opened data: pairs, or two unpaired sets of images.

from img2img_hub.data.find.sources import DataConfig, open_data

data = open_data(DataConfig(dataset="facades", side_by_side=True), paired=True, split="test")
print(data.description, data.source(0).size)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from img2img_hub.data.find.config import DataError
from img2img_hub.data.samples.holes import HoleMaker
from img2img_hub.data.samples.kinds import side_values
from img2img_hub.data.samples.makers import SourceMaker
from img2img_hub.data.samples.reading import Images
from img2img_hub.data.samples.stack import Stack, check_sizes, extra_images
from img2img_hub.images.raster import AnyImage, RasterKind
from img2img_hub.images.slots import Slot
from img2img_hub.images.values import BandValues


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known of opened data besides its images."""

    id: str
    """The data set's id, or the folder's name."""
    hub_ids: tuple[str, ...]
    """The Hub data sets in it, for the model card; none for folders."""
    split: str
    """The split, as the model card names it."""
    in_channels: int = 3
    out_channels: int = 3
    source_kind: RasterKind | None = None
    """What rasters the sources are; None for 8-bit pictures."""
    target_kind: RasterKind | None = None
    source_range: tuple[float, float] | None = None
    """The values of all bands of rasters that are -1 and 1 to a network; None: as their pixels tell."""
    target_range: tuple[float, float] | None = None
    inputs: tuple[Slot, ...] = ()
    """Where several images make one source, or one of class numbers or a mask, what they are; () for any other one."""
    output: Slot | None = None
    """Where targets are class numbers, what they are."""
    scale: int = 1
    """The targets' pixels for one of the sources, a side."""
    corrupter: SourceMaker | None = None
    """What makes sources of targets, where there is one set of pictures."""
    notes: tuple[str, ...] = ()
    """What else there is to say: how partners were found, and how many images were left out."""


class Side(NamedTuple):
    """The images of one slot of opened data: which, in which order, and of what kind their pixels are."""

    images: Images
    rows: np.ndarray
    """(N,) int64, places in ``images``."""
    channels: int
    dtype: np.dtype
    """Of one value of one pixel, as ``images.read`` gives it."""
    kind: RasterKind | None = None
    """None for 8-bit pictures. Rasters with pixels without data have these as one more channel, 1 for data."""
    scale: int = 1
    """Its pixels for one of the sources."""

    @classmethod
    def of(cls, images: Images, rows: np.ndarray, *, bands: int, kind: RasterKind | None, scale: int = 1) -> Side:
        if kind is None:
            return cls(images, rows, bands, np.dtype(np.uint8), scale=scale)
        return cls(images, rows, kind.bands + kind.masked, np.dtype(kind.dtype), kind, scale)


class _Opened:
    """What pairs and unpaired images have in common."""

    _source: Images
    _target: Images

    def __init__(self, about: About) -> None:
        self.about = about
        self.id, self.hub_ids, self.split = about.id, about.hub_ids, about.split
        self.in_channels, self.out_channels = about.in_channels, about.out_channels
        self._values: dict[str, BandValues | None] = {}

    @property
    def sides(self) -> dict[str, Side]:
        """By slot: "source", "target" and what else training reads."""
        raise NotImplementedError

    @property
    def values_by_slot(self) -> dict[str, BandValues | None]:
        """Ranges of the values of each slot, None for 8-bit pictures; found at first use, by reading some of the
        images. Raises ImageError or DataError where one of them cannot be read."""
        if not self._values:
            limits = {"source": self.about.source_range, "target": self.about.target_range}
            self._values = {"source": None, "target": None}
            for name, (images, rows, _, _, kind, _) in self.sides.items():
                if kind is not None:
                    self._values[name] = side_values(images, rows, kind=kind, limits=limits.get(name))
            if isinstance(self.about.corrupter, HoleMaker):
                about = self.about
                self._values["source"] = self.about.corrupter.values(
                    about.out_channels, self._values["target"], about.target_kind
                )
        return self._values

    @property
    def scales(self) -> dict[str, int]:
        """Pixels of each slot for one of the sources, a side."""
        return {name: side.scale for name, side in self.sides.items()}

    @property
    def values(self) -> tuple[BandValues | None, BandValues | None]:
        """Of sources and targets alone."""
        return self.values_by_slot["source"], self.values_by_slot["target"]

    @property
    def _notes(self) -> str:
        return "".join(f"; {note}" for note in self.about.notes)

    @property
    def _of_what(self) -> str:
        """ ", 5 bands of uint16 to 3 bands of uint8" where they are no pictures, for descriptions."""
        kinds = (self.about.source_kind, self.about.target_kind)
        if kinds == (None, None):
            return ""
        words = ["pictures" if kind is None else kind.describe() for kind in kinds]
        if self.about.inputs:
            words[0] = " and ".join(slot.describe() for slot in self.about.inputs)
        if self.about.output is not None:
            words[1] = self.about.output.describe()
        no_data = self.about.inputs and kinds[1] is not None and kinds[1].no_data is not None
        return f", {words[0]} to {words[1]}" + ("; --no_data is said of the targets alone" if no_data else "")


class PairedData(_Opened):
    """Pairs of images of one size, read when asked for.

    With a ``corrupter`` sources are made of their targets: always in the same way here, for validation and evaluation;
    training draws another way every time.

    Attributes: ``description``, one line of what was found; ``id``, the data set's id or the folder's name;
    ``hub_ids``, the ids of the Hub data sets in it (none for folders), for the model card; ``split``.
    """

    def __init__(
        self,
        source: Images,
        target: Images,
        rows: Sequence[int],
        *,
        about: About,
        extras: Mapping[str, Stack] | None = None,
    ) -> None:
        super().__init__(about)
        self._source = source
        self._target = target
        self._extras = dict(extras or {})
        self._rows = np.asarray(rows, dtype=np.int64)
        self.corrupter = about.corrupter

    @property
    def description(self) -> str:
        if self.corrupter is not None:
            made = f"each {self.corrupter.as_source}"
            kind = self.about.target_kind
            what = "pictures" if kind is None else f"rasters ({kind.describe()})"
            return f"{len(self)} {what}: {self._target.title}, {made}{self._notes}"
        others = "".join(f", {images.title} ({name})" for name, images in self._extras.items())
        pairs = f"{self._source.title} (source) and {self._target.title} (target){others}"
        return f"{len(self)} pairs: {pairs}{self._of_what}{self._notes}"

    @property
    def sides(self) -> dict[str, Side]:
        """Sources, targets and what else training reads, or targets alone of which sources are made; pair ``index`` is
        place ``index`` in all."""
        about, rows = self.about, self._rows
        target = {"bands": about.out_channels, "kind": about.target_kind, "scale": about.scale}
        targets = {"target": Side.of(self._target, rows, **target)}  # type: ignore[arg-type]
        if self.corrupter is not None:
            return targets
        sources = {"source": Side.of(self._source, rows, bands=about.in_channels, kind=about.source_kind)}
        return sources | targets | {name: _of_stack(images, rows) for name, images in self._extras.items()}

    def __len__(self) -> int:
        return len(self._rows)

    def source(self, index: int) -> AnyImage:
        """Source ``index``, "RGB" or, with ``in_channels=1``, "L", or a raster."""
        if self.corrupter is not None:
            return self.pair(index)[0]
        about = self.about
        return self._source.read(int(self._rows[index]), channels=about.in_channels, kind=about.source_kind)

    def target(self, index: int) -> AnyImage:
        """Target ``index``, "RGB" or, with ``out_channels=1``, "L", or a raster."""
        about = self.about
        target = self._target.read(int(self._rows[index]), channels=about.out_channels, kind=about.target_kind)
        if self.corrupter is None:
            return target
        if min(target.size) < about.scale:
            raise DataError(
                f"{self._target.where(int(self._rows[index]))} is {target.width}x{target.height}, too small to be made "
                f"{about.scale} times smaller: leave it out"
            )
        return self.corrupter.whole(target)  # type: ignore[arg-type]  # which takes what is opened for it

    def pair(self, index: int) -> tuple[AnyImage, AnyImage]:
        """Source and target ``index``. Raises DataError where their sizes differ."""
        if self.corrupter is not None:
            target: Any = self.target(index)
            return self.corrupter.of_image(target, int(self._rows[index])), target
        source, target = self.source(index), self.target(index)
        row = int(self._rows[index])
        check_sizes(source, target, scale=self.about.scale, where=(self._source.where(row), self._target.where(row)))
        return source, target

    def images(self, index: int) -> tuple[AnyImage, ...]:
        """Source and target ``index``, and what else training reads of that row, in the order of ``sides``."""
        row, (source, target) = int(self._rows[index]), self.pair(index)
        return source, target, *extra_images(self._extras, row, source, where=self._source.where(row))

    def name(self, index: int) -> str:
        """The file's path below its folder without the ending, or the row's number."""
        return self._source.name(int(self._rows[index]))

    def select(self, indices: Sequence[int] | np.ndarray, *, split: str | None = None) -> PairedData:
        """The data with only these pairs, in this order, under another name of the split if one is given."""
        return PairedData(
            self._source,
            self._target,
            self._rows[np.asarray(indices, dtype=np.int64)].tolist(),
            about=replace(self.about, split=split or self.split),
            extras=self._extras,
        )


def _of_stack(images: Stack, rows: np.ndarray) -> Side:
    return Side.of(images, rows, bands=images.channels, kind=images.whole, scale=images.scale)


class UnpairedData(_Opened):
    """Two sets of images with no correspondence. Its length is that of the larger one; indices wrap around in each.

    Attributes: ``num_source`` and ``num_target``; ``description``, ``id``, ``hub_ids`` and ``split`` as in PairedData.
    """

    def __init__(
        self,
        source: Images,
        target: Images,
        source_rows: Sequence[int],
        target_rows: Sequence[int],
        *,
        about: About,
    ) -> None:
        super().__init__(about)
        self._source = source
        self._target = target
        self._source_rows = np.asarray(source_rows, dtype=np.int64)
        self._target_rows = np.asarray(target_rows, dtype=np.int64)

    @property
    def num_source(self) -> int:
        return len(self._source_rows)

    @property
    def num_target(self) -> int:
        return len(self._target_rows)

    @property
    def description(self) -> str:
        return (
            f"unpaired: {self.num_source} sources ({self._source.title}) and "
            f"{self.num_target} targets ({self._target.title}){self._of_what}{self._notes}"
        )

    @property
    def sides(self) -> dict[str, Side]:
        """Sources and targets, of ``num_source`` and ``num_target`` images."""
        about = self.about
        return {
            "source": Side.of(self._source, self._source_rows, bands=about.in_channels, kind=about.source_kind),
            "target": Side.of(self._target, self._target_rows, bands=about.out_channels, kind=about.target_kind),
        }

    def __len__(self) -> int:
        return max(self.num_source, self.num_target)

    def source(self, index: int) -> AnyImage:
        """Source ``index`` modulo ``num_source``, "RGB" or, with ``in_channels=1``, "L", or a raster."""
        about = self.about
        return self._source.read(self._source_row(index), channels=about.in_channels, kind=about.source_kind)

    def target(self, index: int) -> AnyImage:
        """Target ``index`` modulo ``num_target``, "RGB" or, with ``out_channels=1``, "L", or a raster."""
        row, about = int(self._target_rows[index % self.num_target]), self.about
        return self._target.read(row, channels=about.out_channels, kind=about.target_kind)

    def name(self, index: int) -> str:
        """The source's path below its folder without the ending, or its row number."""
        return self._source.name(self._source_row(index))

    def select(
        self,
        source_indices: Sequence[int] | np.ndarray,
        target_indices: Sequence[int] | np.ndarray,
        *,
        split: str | None = None,
    ) -> UnpairedData:
        """The data with only these images on either side, in this order; ``split`` as in PairedData."""
        return UnpairedData(
            self._source,
            self._target,
            self._source_rows[np.asarray(source_indices, dtype=np.int64)].tolist(),
            self._target_rows[np.asarray(target_indices, dtype=np.int64)].tolist(),
            about=replace(self.about, split=split or self.split),
        )

    def _source_row(self, index: int) -> int:
        return int(self._source_rows[index % self.num_source])


ImageData = PairedData | UnpairedData


def readers(data: ImageData) -> list[tuple[Callable[[int], object], int]]:
    """What reads pair, or image, `index`, and how many there are."""
    if isinstance(data, PairedData):
        return [(data.pair, len(data))]
    return [(data.source, data.num_source), (data.target, data.num_target)]


def problems(data: ImageData) -> Iterator[str]:
    """Read every image and say what is wrong with each that cannot be used, in one line each."""
    for read, length in readers(data):
        for index in range(length):
            try:
                read(index)
            except ValueError as error:
                yield str(error)
