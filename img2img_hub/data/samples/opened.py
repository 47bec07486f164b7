"""Opened data: pairs, or two unpaired sets of images.

from img2img_hub.data.find.sources import DataConfig, open_data

data = open_data(DataConfig(dataset="facades", side_by_side=True), paired=True, split="test")
print(data.description, data.source(0).size)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import numpy as np
from PIL import Image

from img2img_hub.data.find.config import DataError
from img2img_hub.data.samples.kinds import side_values
from img2img_hub.data.samples.masks import Corrupter
from img2img_hub.data.samples.reading import Images
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
    """Where several images make one source, what they are; () for one image."""
    corrupter: Corrupter | None = None
    """What makes sources of targets, where there is one set of pictures."""


class Side(NamedTuple):
    """The sources or the targets of opened data: which images, in which order, and of what kind their pixels are."""

    images: Images
    rows: np.ndarray
    """(N,) int64, places in ``images``."""
    channels: int
    dtype: np.dtype
    """Of one value of one pixel, as ``images.read`` gives it."""
    kind: RasterKind | None = None
    """None for 8-bit pictures. Rasters with pixels without data have these as one more channel, 1 for data."""

    @classmethod
    def of(cls, images: Images, rows: np.ndarray, *, bands: int, kind: RasterKind | None) -> Side:
        if kind is None:
            return cls(images, rows, bands, np.dtype(np.uint8))
        return cls(images, rows, kind.bands + kind.masked, np.dtype(kind.dtype), kind)


class _Opened:
    """What pairs and unpaired images have in common."""

    _source: Images
    _target: Images

    def __init__(self, about: About) -> None:
        self.about = about
        self.id, self.hub_ids, self.split = about.id, about.hub_ids, about.split
        self.in_channels, self.out_channels = about.in_channels, about.out_channels
        self._values: tuple[BandValues | None, BandValues | None] | None = None

    @property
    def sides(self) -> tuple[Side, ...]:
        raise NotImplementedError

    @property
    def values(self) -> tuple[BandValues | None, BandValues | None]:
        """Ranges of the values of sources and targets, None for 8-bit pictures; found at first use, by reading some of
        the images. Raises ImageError or DataError where one of them cannot be read."""
        if self._values is None:
            kinds = (self.about.source_kind, self.about.target_kind)
            limits = (self.about.source_range, self.about.target_range)
            if kinds == (None, None):
                self._values = (None, None)
            else:
                source, target = (
                    None if side.kind is None else side_values(side.images, side.rows, kind=side.kind, limits=own)
                    for side, own in zip(self.sides, limits, strict=True)
                )
                self._values = source, target
        return self._values

    @property
    def _of_what(self) -> str:
        """ ", 5 bands of uint16 to 3 bands of uint8" where they are no pictures, for descriptions."""
        kinds = (self.about.source_kind, self.about.target_kind)
        if kinds == (None, None):
            return ""
        words = ["pictures" if kind is None else kind.describe() for kind in kinds]
        return f", {words[0]} to {words[1]}"


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
    ) -> None:
        super().__init__(about)
        self._source = source
        self._target = target
        self._rows = np.asarray(rows, dtype=np.int64)
        self.corrupter = about.corrupter

    @property
    def description(self) -> str:
        if self.corrupter is not None:
            return f"{len(self)} pictures: {self._target.title}, each with {self.corrupter.description} as its source"
        return f"{len(self)} pairs: {self._source.title} (source) and {self._target.title} (target){self._of_what}"

    @property
    def sides(self) -> tuple[Side, ...]:
        """Sources and targets, or targets alone of which sources are made; pair ``index`` is place ``index`` in all."""
        about = self.about
        targets = Side.of(self._target, self._rows, bands=about.out_channels, kind=about.target_kind)
        if self.corrupter is not None:
            return (targets,)
        return Side.of(self._source, self._rows, bands=about.in_channels, kind=about.source_kind), targets

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
        return self._target.read(int(self._rows[index]), channels=about.out_channels, kind=about.target_kind)

    def pair(self, index: int) -> tuple[AnyImage, AnyImage]:
        """Source and target ``index``. Raises DataError where their sizes differ."""
        if self.corrupter is not None:
            picture = cast(Image.Image, self.target(index))
            return self.corrupter.of_image(picture, int(self._rows[index])), picture
        source, target = self.source(index), self.target(index)
        if source.size != target.size:
            row = int(self._rows[index])
            raise DataError(
                f"a pair has two sizes: {self._source.where(row)} is {source.width}x{source.height}, "
                f"{self._target.where(row)} is {target.width}x{target.height}: resize or delete them"
            )
        return source, target

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
        )


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
            f"{self.num_target} targets ({self._target.title}){self._of_what}"
        )

    @property
    def sides(self) -> tuple[Side, ...]:
        """Sources and targets, of ``num_source`` and ``num_target`` images."""
        about = self.about
        return (
            Side.of(self._source, self._source_rows, bands=about.in_channels, kind=about.source_kind),
            Side.of(self._target, self._target_rows, bands=about.out_channels, kind=about.target_kind),
        )

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
