"""From a stream to training batches: the jitter of each sample, and which samples a rank takes at each step.

    data, _ = open_train_and_validation(DataConfig(dataset="user/name", streaming=True), paired=True, seed=0)
    order = StreamOrder(data, batch_size=4, rank=0, world_size=1, seed=0, num_steps=100)
    samples = StreamedDataset(data, image_size=256, load_size=286, flip=True, seed=0)
    loader = DataLoader(samples, batch_sampler=order, num_workers=2)

Samples travel to the worker processes as what they are asked for by: encoded, in the place of an index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler

from img2img_hub.data.samples.native import native_arrays
from img2img_hub.data.samples.transforms import Steps, TrainingDataset
from img2img_hub.data.stream.streaming import Sample, StreamedData
from img2img_hub.images.raster import AnyImage, RasterKind
from img2img_hub.images.resize import training_array

_STREAM_JITTER = 5  # the first number of the seed; transforms.py, sources.py and streaming.py have the other streams
_READ_AHEAD = 64  # samples, so that training need not wait while the next part of a file is fetched
_PATIENCE = 5.0  # seconds for a read under way to end


class StreamedDataset(TrainingDataset):
    """Jittered samples as of TrainingDataset, indexed by samples of a stream; none is kept in a cache.

    The jitter comes from the seed and the sample's number in the run, so it is the same in a resumed run, with any
    number of workers, and with two ranks in place of a batch of two.
    """

    data: StreamedData  # type: ignore[assignment]

    def __init__(self, data: StreamedData, **jitter: Any) -> None:
        super().__init__(data, **jitter)  # type: ignore[arg-type]

    def __len__(self) -> int:
        """Samples in an epoch; 0 where that is not known."""
        return self.data.num_samples or 0

    def __getitem__(self, sample: Sample) -> dict[str, Tensor]:  # type: ignore[override]
        random = np.random.default_rng([_STREAM_JITTER, self.seed, sample[0]])
        images = self.data.images(sample)
        uncropped = sample[0] >= self._uncropped_from
        scales = list(self.data.scales.values())
        if self.data.corrupter is not None:
            (target,) = self._arrays(
                images[1:], [self.data.about.target_kind], [self.data.scales["target"]], uncropped=uncropped
            )
            return self._row([target, target], random, self.data.corrupter)
        if self.data.paired:
            row = self._arrays(images, self.data.kinds, scales, uncropped=uncropped)
            return self._row(row, random, self.data.corrupter)
        each = zip(images, self.data.kinds, strict=True)
        source, target = (self._arrays([image], [kind], [1], uncropped=uncropped)[0] for image, kind in each)
        return self._side("source", source, random) | self._side("target", target, random)

    def _arrays(
        self,
        images: Sequence[AnyImage],
        kinds: Sequence[RasterKind | None],
        scales: Sequence[int],
        *,
        uncropped: bool,
    ) -> Sequence[np.ndarray]:
        """The pixels of images of one row."""
        if self.native:
            return native_arrays(images, kinds, scales, least=self.image_size, shorter=self.load_size)
        size = self.image_size[0] if uncropped or self.load_size is None else self.load_size
        of_each = zip(images, kinds, scales, strict=True)
        return [training_array(image, load_size=size * scale, kind=kind) for image, kind, scale in of_each]

    def stop_cropping(self, *, from_sample: int, cache: object = None) -> None:
        """As of TrainingDataset, from this sample of the run on."""
        self._uncropped_from = from_sample


@dataclass(eq=False)
class StreamOrder(Steps, Sampler[list[Sample]]):
    """Batches of samples for one rank: a ``batch_sampler`` whose place is one number, the step.

    Arguments as of EpochStream. All ranks make the same number of steps, whatever their shards hold; to start at
    ``start_step`` is to read what comes before. A thread reads ahead, begun with the first batch: after a DataLoader
    has forked its workers.
    """

    data: StreamedData

    def __iter__(self) -> Iterator[list[Sample]]:
        samples = self.data.samples(
            seed=self.seed, rank=self.rank, world_size=self.world_size, start=self.start_step * self.batch_size
        )
        ready: SimpleQueue[list[Sample] | Exception] = SimpleQueue()
        room = Semaphore(-(-_READ_AHEAD // self.batch_size))
        closed = Event()

        def read() -> None:
            for _ in range(len(self)):
                room.acquire()
                if closed.is_set():
                    return
                try:
                    ready.put(list(islice(samples, self.batch_size)))
                except Exception as error:
                    return ready.put(error)

        thread = Thread(target=read, name="stream", daemon=True)  # a Hub that hangs does not keep the process
        thread.start()
        try:
            for _ in range(len(self)):
                batch = ready.get()
                if isinstance(batch, Exception):
                    raise batch
                yield batch
                room.release()
        finally:
            closed.set()
            room.release()
            thread.join(_PATIENCE)
