"""From opened data to training samples: jitter, the same for both halves of a pair, and the order of an epoch.

Every random draw comes from (seed, epoch, index) alone. So a sample is the same in any worker process, on any rank
and in a resumed run, and is drawn anew every epoch; nothing about the data has to be saved in a checkpoint.

    from img2img_hub.data.find.sources import DataConfig, open_data
    from img2img_hub.data.samples.transforms import TrainingDataset

    data = open_data(DataConfig(dataset="facades", side_by_side=True), paired=True, split="train")
    sample = TrainingDataset(data, image_size=256, load_size=286, flip=True, seed=0)[(0, 7)]  # epoch 0, image 7
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from img2img_hub.data.cache.resized import ResizedImages
from img2img_hub.data.find.sources import ImageData, PairedData
from img2img_hub.data.samples.makers import SourceMaker
from img2img_hub.data.samples.native import NativeImages
from img2img_hub.images.resize import Size, sides

# The first number of every seed, so that no two kinds of draw share a stream of random numbers.
_JITTER_STREAM, _ORDER_STREAM = 1, 2


class TrainingDataset(Dataset[dict[str, Tensor]]):
    """Jittered samples {"source", "target"}, each (C, H, W) float32 in [-1, 1], indexed by (epoch, index), and what
    else the method reads, by its slots' names.

    Numbers of classes and instances are left as they are, (K, H, W) uint8 or int32 under "source_numbers" and the like:
    `joined` makes the network's channels of them, on whatever device a batch is.

    Beside rasters that have pixels without data, which are 0 in all bands, stands "source_valid" or "target_valid",
    (1, H, W), 1 where there is data and 0 elsewhere.

    As both papers do: resize to ``load_size`` (bicubic), crop ``image_size`` at random, flip left-right every other
    time. With ``native`` images keep their shape and, without a ``load_size``, their resolution. All images of a pair
    get the same draw, each at its scale; a source that is made of its target (``DataConfig.corrupt``) is made of the
    crop, anew every time. Without pairs the source goes by index, the target is drawn at random, and each has a draw of
    its own; an epoch is as long as the longer side.

    Args:
        data: what ``open_data`` gave.
        image_size: pixels of a sample, of a square or (width, height); of a target so many times as its scale says.
        load_size: pixels, size before the crop; equal to ``image_size`` for no crop. With ``native`` that of the
            shorter side, or None for images as they are.
        flip: whether to mirror left-right with probability one half.
        seed: 0 or more.
        cache: what ``open_cache`` gave for the same data and ``load_size``; None to decode every image anew. The
            samples are the same to the last bit.
        native: crop images at their own shape.
        turns: turn crops, which are squares, by quarters, too.
    """

    def __init__(
        self,
        data: ImageData,
        *,
        image_size: int | Size,
        load_size: int | None,
        flip: bool,
        seed: int,
        cache: ResizedImages | None = None,
        native: bool = False,
        turns: bool = False,
    ) -> None:
        self.image_size, self.load_size, self.native = sides(image_size), load_size, native
        if min(self.image_size) < 1 or not (native or max(self.image_size) <= (load_size or 0)):
            raise ValueError(
                f"load_size {load_size} is smaller than image_size {image_size}, so that no crop fits: "
                f"use a load_size of {image_size} or more"
            )
        if cache is not None and (native or cache.data is not data or cache.load_size != self.load_size):
            raise ValueError("cache is of other data or another load_size: give it the open_cache of these")
        self.data = data
        self.images = cache or self._images()
        self.flip, self.turns = flip, turns
        self.seed = seed
        self._values, self._scales = data.values_by_slot, data.scales  # read now, not in every worker
        self._uncropped: ResizedImages | NativeImages = self.images
        self._uncropped_from = sys.maxsize

    def _images(self) -> ResizedImages | NativeImages:
        if not self.native:
            assert self.load_size is not None
            return ResizedImages(self.data, load_size=self.load_size)
        return NativeImages(self.data, least=self.image_size, shorter=self.load_size)

    def stop_cropping(self, *, from_sample: int, cache: ResizedImages | None = None) -> None:
        """From the epoch on that begins with this sample of the run, or as the next one, resize images straight to
        ``image_size``, with no crop; they are still mirrored. ``cache`` as above, of that size."""
        self._uncropped = cache or ResizedImages(self.data, load_size=max(self.image_size))
        self._uncropped_from = -(-from_sample // len(self))

    def __len__(self) -> int:
        """Samples in an epoch."""
        return len(self.data)

    @property
    def description(self) -> str:
        """One line on the cache; "" where there is none."""
        return self.images.description

    def __getitem__(self, position: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = position
        random = np.random.default_rng([_JITTER_STREAM, self.seed, epoch, index])
        images = self._uncropped if epoch >= self._uncropped_from else self.images
        if isinstance(self.data, PairedData):
            return self._row(images.pair(index), random, self.data.corrupter)
        target_index = int(random.integers(self.data.num_target))
        source = self._side("source", images.source(index), random)
        return source | self._side("target", images.target(target_index), random)

    def _row(
        self, row: Sequence[np.ndarray], random: np.random.Generator, corrupter: SourceMaker | None
    ) -> dict[str, Tensor]:
        draw = self._draw(row[0], random, scale=self._scales["target"] if corrupter is not None else 1)
        if corrupter is not None:
            wanted = self._side("target", row[1], draw)
            return {"source": corrupter.of_sample(wanted["target"], random)} | wanted
        sample: dict[str, Tensor] = {}
        for name, pixels in zip(self._values, row, strict=True):
            sample |= self._side(name, pixels, draw)
        return sample

    def _side(
        self, name: str, pixels: np.ndarray, draw: np.random.Generator | tuple[int, int, bool, int]
    ) -> dict[str, Tensor]:
        """One side of a sample, by a draw of its own or one that was made."""
        if isinstance(draw, np.random.Generator):
            draw = self._draw(pixels, draw)
        values, scale = self._values[name], self._scales.get(name, 1)
        left, top, mirror, quarters = scale * draw[0], scale * draw[1], draw[2], draw[3]
        width, height = scale * self.image_size[0], scale * self.image_size[1]
        window = pixels[:, top : top + height, left : left + width]
        window = np.rot90(window, quarters, axes=(1, 2)) if quarters else window
        if values is None:
            return {name: _picture(window, mirror=mirror)}
        window = window[:, :, ::-1] if mirror else window
        valid = window[-1] != 0 if len(window) > values.bands else None
        known = {} if valid is None else {f"{name}_valid": torch.from_numpy(valid.astype(np.float32))[None]}
        if not values.numbered:
            return {name: values.to_network(window[: values.bands], valid), **known}
        seen, numbers = values.parted(window[: values.bands])
        parts = {name: seen, f"{name}_numbers": numbers, **known}
        return {key: part for key, part in parts.items() if part is not None}

    def joined(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A batch of samples with (N, C, H, W) of what the network sees of each slot in the place of numbers, on its
        device; of a source with instances also "instances", (N, 1, H, W) int32, and of one that has a label map,
        too, "classes", the channel that is 1 there, -1 where none is."""
        for name, values in self._values.items():
            if values is None or f"{name}_numbers" not in batch:
                continue
            numbers, valid = batch.pop(f"{name}_numbers"), batch.get(f"{name}_valid")
            seen = batch.pop(name, None)
            if name == "source" and values.edges:
                place = values.numbered.index(values.edges[0])
                batch["instances"] = numbers[:, place : place + 1].int()
                if (classes := values.class_channels(numbers)) is not None:
                    batch["classes"] = classes
            batch[name] = values.joined(seen, numbers, valid=None if valid is None else valid > 0)
        return batch

    def _draw(self, pixels: np.ndarray, random: np.random.Generator, *, scale: int = 1) -> tuple[int, int, bool, int]:
        """Where a crop begins, in pixels of a source, whether it is mirrored, and by how many quarters it is turned.
        scale: the pixels of `pixels` for one of a source."""
        across, down = (
            whole // scale - own + 1 for whole, own in zip(pixels.shape[:0:-1], self.image_size, strict=True)
        )
        if across == down:  # in one go, as runs of square images have always drawn
            left, top = (int(value) for value in random.integers(across, size=2))
        else:
            left, top = int(random.integers(across)), int(random.integers(down))
        mirror = bool(random.random() < 0.5) and self.flip
        return left, top, mirror, int(random.integers(4)) if self.turns else 0


def _picture(window: np.ndarray, *, mirror: bool) -> Tensor:
    # A copy, for pixels of a cache are read-only. Mirrored as bytes, a quarter of the floats.
    pixels = torch.from_numpy(window.copy())
    pixels = pixels.flip(-1) if mirror else pixels
    return pixels.float().div_(255).sub_(0.5).div_(0.5)  # bit for bit as images.to_tensor has it


@dataclass(eq=False, kw_only=True)
class Steps:
    """Which steps a rank makes, and of how many samples: what tells its batches, beside the data."""

    batch_size: int
    rank: int
    world_size: int
    seed: int
    start_step: int = 0
    num_steps: int

    def __len__(self) -> int:
        return max(0, self.num_steps - self.start_step)


@dataclass(eq=False)
class EpochStream(Steps, Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) for one rank: a ``batch_sampler`` whose place is one number, the step.

    The stream is one permutation of ``range(length)`` after the other, each drawn from (seed, epoch). Step s of rank
    r takes positions ``s * world_size * batch_size + r * batch_size`` onwards, so over all ranks every sample comes
    exactly once an epoch, batches are always full (one may span two epochs), and all ranks make the same number of
    steps. To resume is to start at ``start_step``.

    Args:
        length: samples in an epoch.
        batch_size: samples a step on this rank.
        rank, world_size: this process and how many there are.
        seed: 0 or more, the same on every rank.
        start_step: steps already made.
        num_steps: the step to stop before; the stream yields ``num_steps - start_step`` batches.
    """

    length: int

    def __post_init__(self) -> None:
        if self.length < 1 or self.batch_size < 1 or not 0 <= self.rank < self.world_size or self.start_step < 0:
            raise ValueError(
                f"no stream of batches from length={self.length}, batch_size={self.batch_size}, rank={self.rank}, "
                f"world_size={self.world_size}, start_step={self.start_step}: lengths and sizes are at least 1, rank "
                f"is below world_size and no step is negative"
            )

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.start_step, self.num_steps):
            first = (step * self.world_size + self.rank) * self.batch_size
            yield [self._at(position) for position in range(first, first + self.batch_size)]

    def _at(self, position: int) -> tuple[int, int]:
        epoch, place = divmod(position, self.length)
        return epoch, int(_order(self.length, self.seed, epoch)[place])


@lru_cache(maxsize=4)
def _order(length: int, seed: int, epoch: int) -> np.ndarray:
    """The order of one epoch; a few are kept because a batch may span two."""
    return np.random.default_rng([_ORDER_STREAM, seed, epoch]).permutation(length)
