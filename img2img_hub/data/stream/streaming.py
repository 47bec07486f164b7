"""Hub data sets read as they come: shuffled, split by rank, and found again at any place for --resume.

    accelerate launch train_accelerate.py pix2pix --dataset user/name --streaming --max_steps 100000

What a rank sees is a function of the data set's revision, the seed, the number of ranks and the step alone. One thread
of each rank reads encoded rows; worker processes decode and jitter them, so how many there are changes nothing.

`datasets` gives the rows, shard by shard; which comes next is drawn here, for two reasons. Its own shuffling of a
stream joins the buffer's rows in one table at every refill, which fails above 2 GiB (1000 photographs of 2 MB), and it
cannot go on where it stopped (its state leaves out what the buffer holds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from img2img_hub.data.find.config import DataError, reason
from img2img_hub.data.samples.opened import About, ImageData
from img2img_hub.data.samples.reading import Images
from img2img_hub.data.samples.stack import Stack, check_sizes, extra_images
from img2img_hub.data.stream.columns import Row, StreamedColumn, cell, columns_of
from img2img_hub.images.raster import AnyImage, RasterKind
from img2img_hub.images.values import BandValues

if TYPE_CHECKING:  # `datasets` takes a second to import and is not needed for folders of images
    from datasets import Dataset, IterableDataset

_STREAM_ORDER = 4  # the first number of the seed; transforms.py and sources.py have the other streams
# A data set of more files is read as so many groups of files a rank, each in its order: to list each group costs time.
_MOST_SHARDS = 256
_ROWS_A_PIECE = 50  # of a table in memory, of which each piece holds at most 2 GiB


Sample = tuple[int, Row, Row]
"""The number of a sample in the whole run, over all ranks, and the rows of its source and target, one row of pairs."""


class StreamedData:
    """Pairs, or two unpaired sets of images, in the order of a stream.

    Attributes: ``id``, ``hub_ids`` and ``split`` as of PairedData; ``paired``; ``num_samples``, images or pairs in an
    epoch, None where the data set's card does not tell; ``first``, the very first ones, which were read to tell what
    all are (None where they cannot be); ``preview``, which reads some more into memory.
    """

    def __init__(
        self,
        source: Images,
        target: Images,
        *,
        paired: bool,
        about: About,
        max_samples: int | None,
        shuffle_buffer: int,
        first: ImageData | None,
        preview: Callable[[], ImageData],
        extras: Mapping[str, Stack] | None = None,
    ) -> None:
        self._source, self._target, self._extras = source, target, dict(extras or {})
        self._max_samples, self._shuffle_buffer = max_samples, shuffle_buffer
        self.id, self.hub_ids, self.split = about.id, about.hub_ids, about.split
        self.corrupter = about.corrupter
        self.about = about
        self.in_channels, self.out_channels = about.in_channels, about.out_channels
        self._values: dict[str, BandValues | None] = {}
        self.paired = paired
        self.first, self.preview = first, preview
        lengths = [_limited(len(columns_of(images)[0]), max_samples) for images in (source, target)]
        self.num_samples = max(lengths) if all(lengths) else None

    @property
    def description(self) -> str:
        count = "" if self.num_samples is None else f"{self.num_samples} "
        if self.corrupter is not None:
            made = f"each {self.corrupter.as_source}"
            return f"a stream of {count}pictures: {self._target.title}, {made}"
        what = "pairs" if self.paired else "unpaired images"
        return f"a stream of {count}{what}: {self._source.title} (source) and {self._target.title} (target)"

    @property
    def shards(self) -> int:
        """Files, or groups of files, that the source and, of unpaired data, the target are read in."""
        columns = {id(column.dataset): column for column in (*columns_of(self._source), *columns_of(self._target))}
        return sum(column.dataset.num_shards for column in columns.values())

    def samples(self, *, seed: int, rank: int, world_size: int, start: int) -> Iterator[Sample]:
        """This rank's samples without end, from its ``start``-th on, which is reached by reading what comes before.

        Raises DataError where nothing more can be read.
        """
        rows = [stream.rows(rank=rank, world_size=world_size, start=start) for stream in self._streams(seed)]
        number = start * world_size + rank
        while True:
            both = [next(each) for each in rows]
            yield number, both[0], both[-1]
            number += world_size

    def describe_reading(self, *, world_size: int) -> str:
        """One line on who reads what."""
        counts = [stream.sharded(world_size)[1] for stream in self._streams(seed=0)]
        shards = " and ".join(str(count) for count in counts)
        if world_size == 1:
            who = "read by one process"
        elif all(count % world_size == 0 for count in counts):
            who = f"of which each of {world_size} processes reads its own"
        else:
            who = f"not to be shared evenly: each of {world_size} processes reads all, and keeps its part of the rows"
        return (
            f"Streaming {shards} shards, {who}. {self._shuffle_buffer} rows are in memory to draw from; --resume reads "
            f"again what the epoch had before"
        )

    def _streams(self, seed: int) -> list[_Stream]:
        """One of pairs, or one for each side."""
        sides = [columns_of(self._source), columns_of(self._target)]
        row = [column for images in (*sides, *map(columns_of, self._extras.values())) for column in images]
        return [
            _Stream(
                columns=side,
                seed=(_STREAM_ORDER, seed, number),
                buffer=self._shuffle_buffer,
                max_rows=self._max_samples,
                only_filled=not self.paired,  # of two columns of one table the shorter is filled up with nothing
            )
            for number, side in enumerate([row] if self.paired else sides)
        ]

    @property
    def values_by_slot(self) -> dict[str, BandValues | None]:
        """Ranges of values as of PairedData, of the first few images."""
        if not self._values:
            pictures = self.about.source_kind is None and self.about.target_kind is None and not self._extras
            self._values = {"source": None, "target": None} if pictures else self.preview().values_by_slot
        return self._values

    @property
    def values(self) -> tuple[BandValues | None, BandValues | None]:
        """Of sources and targets alone."""
        return self.values_by_slot["source"], self.values_by_slot["target"]

    @property
    def kinds(self) -> list[RasterKind | None]:
        """What the images of a sample are."""
        return [self.about.source_kind, self.about.target_kind, *(images.whole for images in self._extras.values())]

    @property
    def scales(self) -> dict[str, int]:
        """As of PairedData."""
        extras = {name: images.scale for name, images in self._extras.items()}
        return {"source": 1, "target": self.about.scale, **extras}

    def images(self, sample: Sample) -> tuple[AnyImage, ...]:
        """Source and target, "RGB" or "L", or rasters, and what else training reads; twice the target where sources are
        made of it.

        Raises ImageError or DataError naming the row; pairs must have one size.
        """
        first: Any
        second: Any
        _, first, second = sample
        if self.corrupter is not None:
            target = self._target.read(second, channels=self.about.out_channels, kind=self.about.target_kind)
            return target, target
        about = self.about
        source = self._source.read(first, channels=about.in_channels, kind=about.source_kind)
        target = self._target.read(second, channels=about.out_channels, kind=about.target_kind)
        if self.paired:
            where = (self._source.where(first), self._target.where(second))
            check_sizes(source, target, scale=about.scale, where=where)
        return source, target, *extra_images(self._extras, first, source, where=self._source.where(first))


@dataclass(frozen=True, kw_only=True)
class _Stream:
    """Columns of one split, pass after pass, each pass in an order of its own."""

    columns: Sequence[StreamedColumn]
    seed: tuple[int, ...]
    buffer: int
    max_rows: int | None
    only_filled: bool

    def rows(self, *, rank: int, world_size: int, start: int) -> Iterator[Row]:
        """This rank's rows without end, from its ``start``-th on.

        Shards that can be dealt out evenly are: then each rank reads its own, an epoch is as many rows on each, and a
        rank that has fewer begins its shards again (one that has more leaves out the last it would draw). Else each
        rank reads everything and takes every ``world_size``-th row, so that each row comes once an epoch.
        """
        dataset, shards = self.sharded(world_size)
        length = _limited(len(self.columns[0]), self.max_rows)
        if shards % world_size == 0:
            mine, first, stride = range(rank, shards, world_size), start, 1
            length = -(-length // world_size)
        else:
            mine, first, stride = range(shards), start * world_size + rank, world_size
        epoch, skip = divmod(first, length) if length else (0, first)
        while True:
            count = 0
            while not count or count < length:
                before = count
                random = np.random.default_rng([*self.seed, epoch])
                for row in islice(self._shuffled(dataset, shards, mine, random), length - count if length else None):
                    count += 1
                    if skip:
                        skip -= 1
                    else:
                        skip = stride - 1
                        yield row
                if count == before:
                    raise DataError(f"{self.columns[0].title} holds no images: type --train_split with another split")
            # The first pass tells how long all are, so that no other has to be read only to be skipped.
            passes, skip = divmod(skip, length or count)
            epoch += 1 + passes

    def sharded(self, world_size: int) -> tuple[IterableDataset, int]:
        """The rows as `datasets` gives them, images still encoded, and in how many parts they are read."""
        from datasets import Image as ImageFeature

        names = list(dict.fromkeys(column.column for column in self.columns))
        dataset = self.columns[0].dataset.select_columns(names)
        for name in names:
            dataset = dataset.cast_column(name, ImageFeature(decode=False))
        if self.max_rows is not None:
            return dataset.take(self.max_rows), 1
        return dataset, min(dataset.num_shards, _MOST_SHARDS * world_size)

    def _shuffled(
        self, dataset: IterableDataset, shards: int, mine: Sequence[int], random: np.random.Generator
    ) -> Iterator[Row]:
        """One pass: the shards in a random order, and each row drawn from a buffer of those that come next."""
        buffer: list[Row] = []
        for shard in random.permutation(mine).tolist():
            for row in self._read(dataset, shard, shards):
                if len(buffer) < self.buffer:
                    buffer.append(row)
                    continue
                drawn = random.integers(self.buffer)
                buffer[drawn], row = row, buffer[drawn]
                yield row
        yield from (buffer[index] for index in random.permutation(len(buffer)))

    def _read(self, dataset: IterableDataset, shard: int, shards: int) -> Iterator[Row]:
        """The rows of one shard in its order."""
        first, title = self.columns[0].column, self.columns[0].title
        for number, values in enumerate(reading(dataset.shard(num_shards=shards, index=shard), title=title)):
            place = f"row {number}" if shards == 1 else f"row {number} of shard {shard} (of 0 to {shards - 1})"
            row = {column.column: cell(values[column.column], place, title=title) for column in self.columns}
            if not self.only_filled or row[first].content is not None:
                yield row


def is_stream(dataset: Dataset | IterableDataset) -> TypeGuard[IterableDataset]:
    import datasets

    return isinstance(dataset, datasets.IterableDataset)


def first_rows(dataset: IterableDataset, count: int, *, title: str) -> Dataset:
    """The first rows of a stream, read into memory, images still encoded."""
    from datasets import Dataset, concatenate_datasets
    from datasets import Image as ImageFeature

    for name, feature in dataset.features.items():
        if isinstance(feature, ImageFeature):
            dataset = dataset.cast_column(name, ImageFeature(decode=False))
    rows = list(reading(dataset.take(count), title=title))
    pieces = [rows[start : start + _ROWS_A_PIECE] for start in range(0, max(len(rows), 1), _ROWS_A_PIECE)]
    return concatenate_datasets([Dataset.from_list(piece, features=dataset.features) for piece in pieces])


def reading(dataset: IterableDataset, *, title: str) -> Iterator[dict[str, Any]]:
    """The rows of a stream; whatever the libraries below raise becomes a DataError that says how to go on."""
    try:
        yield from dataset
    except MemoryError:
        raise
    except Exception as error:  # of the Hub's client, of HTTP, of a file format …
        raise DataError(
            f"{title} cannot be read any further ({reason(error)}): if the Hub was out of reach, --resume goes on from "
            f"the last checkpoint; if not, leave out --streaming to have every file downloaded and checked"
        ) from error


def _limited(length: int, most: int | None) -> int:
    return length if most is None else min(length, most)
