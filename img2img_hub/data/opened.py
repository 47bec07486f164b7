"""Opened data: pairs, or two unpaired sets of images.

from img2img_hub.data.sources import DataConfig, open_data

data = open_data(DataConfig(dataset="facades", side_by_side=True), paired=True, split="test")
print(data.description, data.source(0).size)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from PIL import Image

from img2img_hub.data.config import DataError
from img2img_hub.data.reading import Images


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


class Side(NamedTuple):
    """The sources or the targets of opened data: which images, in which order, and of what kind their pixels are."""

    images: Images
    rows: np.ndarray
    """(N,) int64, places in ``images``."""
    channels: int
    dtype: np.dtype
    """Of one value of one pixel, as ``images.read`` gives it."""


class PairedData:
    """Pairs of images of one size, read when asked for.

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
        self._source = source
        self._target = target
        self._rows = np.asarray(rows, dtype=np.int64)
        self._about = about
        self.id, self.hub_ids, self.split = about.id, about.hub_ids, about.split

    @property
    def description(self) -> str:
        return f"{len(self)} pairs: {self._source.title} (source) and {self._target.title} (target)"

    @property
    def sides(self) -> tuple[Side, Side]:
        """Sources and targets; pair ``index`` is place ``index`` in both."""
        about = self._about
        return (
            Side(self._source, self._rows, about.in_channels, np.dtype(np.uint8)),
            Side(self._target, self._rows, about.out_channels, np.dtype(np.uint8)),
        )

    def __len__(self) -> int:
        return len(self._rows)

    def source(self, index: int) -> Image.Image:
        """Source ``index``, "RGB" or, with ``in_channels=1``, "L"."""
        return self._source.read(int(self._rows[index]), channels=self._about.in_channels)

    def target(self, index: int) -> Image.Image:
        """Target ``index``, "RGB" or, with ``out_channels=1``, "L"."""
        return self._target.read(int(self._rows[index]), channels=self._about.out_channels)

    def pair(self, index: int) -> tuple[Image.Image, Image.Image]:
        """Source and target ``index``. Raises DataError where their sizes differ."""
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
            about=replace(self._about, split=split or self.split),
        )


class UnpairedData:
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
        self._source = source
        self._target = target
        self._source_rows = np.asarray(source_rows, dtype=np.int64)
        self._target_rows = np.asarray(target_rows, dtype=np.int64)
        self._about = about
        self.id, self.hub_ids, self.split = about.id, about.hub_ids, about.split

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
            f"{self.num_target} targets ({self._target.title})"
        )

    @property
    def sides(self) -> tuple[Side, Side]:
        """Sources and targets, of ``num_source`` and ``num_target`` images."""
        about = self._about
        return (
            Side(self._source, self._source_rows, about.in_channels, np.dtype(np.uint8)),
            Side(self._target, self._target_rows, about.out_channels, np.dtype(np.uint8)),
        )

    def __len__(self) -> int:
        return max(self.num_source, self.num_target)

    def source(self, index: int) -> Image.Image:
        """Source ``index`` modulo ``num_source``, "RGB" or, with ``in_channels=1``, "L"."""
        return self._source.read(self._source_row(index), channels=self._about.in_channels)

    def target(self, index: int) -> Image.Image:
        """Target ``index`` modulo ``num_target``, "RGB" or, with ``out_channels=1``, "L"."""
        row = int(self._target_rows[index % self.num_target])
        return self._target.read(row, channels=self._about.out_channels)

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
            about=replace(self._about, split=split or self.split),
        )

    def _source_row(self, index: int) -> int:
        return int(self._source_rows[index % self.num_source])


ImageData = PairedData | UnpairedData


def problems(data: ImageData) -> Iterator[str]:
    """Read every image and say what is wrong with each that cannot be used, in one line each."""
    readers: list[tuple[Callable[[int], object], int]] = (
        [(data.pair, len(data))]
        if isinstance(data, PairedData)
        else [(data.source, data.num_source), (data.target, data.num_target)]
    )
    for read, length in readers:
        for index in range(length):
            try:
                read(index)
            except ValueError as error:
                yield str(error)
