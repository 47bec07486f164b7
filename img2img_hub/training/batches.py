"""Batches on the device, from any place in the run, and errors of the data as themselves.

dataset = open_samples(data, config=config)
stream = open_stream(dataset, config=config, accelerator=accelerator, start=0, stop=1000); next(stream)
"""

from collections import deque
from collections.abc import Generator
from functools import partial
from typing import Any, NoReturn

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from PIL import Image
from torch.utils.data import DataLoader, Dataset, default_collate

from img2img_hub.data.cache.resized import open_cache
from img2img_hub.data.find.sources import ImageData, StreamedData
from img2img_hub.data.samples.transforms import EpochStream, TrainingDataset
from img2img_hub.data.stream.batches import StreamedDataset, StreamOrder
from img2img_hub.families import Batch
from img2img_hub.training.run.config import TrainConfig
from img2img_hub.training.run.folder import RunFolder
from img2img_hub.training.run.signals import Interrupted, StopRequest, leave_signals_to_the_run
from img2img_hub.training.state.checkpoints import describe_last


def open_samples(data: ImageData | StreamedData, *, config: TrainConfig) -> TrainingDataset:
    """Jittered samples of the data; its length is that of an epoch, 0 for a stream that does not tell."""
    jitter: Any = {
        "image_size": config.crop_size,
        "load_size": config.jitter_size,
        "flip": config.flip,
        "turns": config.turns,
        "seed": config.seed,
        "native": config.crop == "native",
    }
    if isinstance(data, StreamedData):
        return StreamedDataset(data, **jitter)
    keeps = config.cache and not jitter["native"]
    cache = open_cache(data, load_size=jitter["load_size"], folder=config.cache_dir) if keeps else None
    return TrainingDataset(data, cache=cache, **jitter)


def stop_cropping(dataset: TrainingDataset, *, config: TrainConfig, from_sample: int) -> None:
    """From this sample of the run on, resize images straight to the training size."""
    side = max(dataset.image_size)
    kept = config.cache and not isinstance(dataset, StreamedDataset) and dataset.load_size != side
    cache = open_cache(dataset.data, load_size=side, folder=config.cache_dir) if kept else None
    dataset.stop_cropping(from_sample=from_sample, cache=cache)


class _Guarded(Dataset[Any]):
    """Hands a ValueError on as a sample: a worker's exception would reach the user wrapped in a traceback."""

    def __init__(self, dataset: TrainingDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, position: Any) -> Any:
        try:
            return self.dataset[position]
        except ValueError as error:
            return error


def _collate(samples: list[Any]) -> Any:
    for sample in samples:
        if isinstance(sample, ValueError):
            return sample
    return default_collate(samples)


def _begin(_worker: int, *, most_pixels: int | None) -> None:
    """What a process that reads images does first; most_pixels: as large as they may be here."""
    Image.MAX_IMAGE_PIXELS = most_pixels
    leave_signals_to_the_run()


def open_stream(
    dataset: TrainingDataset, *, config: TrainConfig, accelerator: Accelerator, start: int, stop: int
) -> Generator[Batch, None, None]:
    """Micro-batches `start` to `stop` (counted over the whole run) of this rank, on its device, where class numbers
    become channels.

    To be closed, also after an error: its worker processes go when it does.
    """
    place: Any = {
        "batch_size": config.batch_size,
        "rank": accelerator.process_index,
        "world_size": accelerator.num_processes,
        "seed": config.seed,
        "start_step": start,
        "num_steps": stop,
    }
    order: EpochStream | StreamOrder
    if isinstance(dataset, StreamedDataset):
        order = StreamOrder(dataset.data, **place)
    else:
        order = EpochStream(len(dataset), **place)
    loader = DataLoader(
        _Guarded(dataset),
        batch_sampler=order,
        num_workers=config.num_workers,
        collate_fn=_collate,
        worker_init_fn=partial(_begin, most_pixels=Image.MAX_IMAGE_PIXELS),
        pin_memory=accelerator.device.type == "cuda",
        generator=torch.Generator().manual_seed(config.seed),  # its own, so that the global one stays as resumed
    )
    batches = iter(loader)
    try:
        for _ in range(len(order)):
            try:
                batch = next(batches)
            except RuntimeError as error:
                if not str(error).startswith("DataLoader worker"):
                    raise
                raise ValueError(
                    f"a process that reads images died, perhaps of too little memory ({error}): give fewer "
                    "--num_workers, then --resume goes on from the last checkpoint"
                ) from None
            if isinstance(batch, ValueError):
                raise batch
            moved = {name: tensor.to(accelerator.device, non_blocking=True) for name, tensor in batch.items()}
            yield dataset.joined(moved)
    finally:
        del batches  # with it go its processes and a stream's thread, even if an error's traceback keeps this frame


class Ahead:
    """Batches of which those of the next step are read before it, so that one that cannot be read shows between two
    steps, when the run can be saved.

    Args:
        count: batches of a step.
    """

    def __init__(self, batches: Generator[Batch, None, None], *, count: int) -> None:
        self._batches = batches
        self._count = count
        self._read: deque[Batch] = deque()
        self.wrong: ValueError | None = None
        """Why the next step lacks a batch."""

    def ready(self, stop: StopRequest) -> bool:
        """Whether the next step has its batches, or a stop was asked for while they were waited for."""
        while len(self._read) < self._count and self.wrong is None:
            try:
                with stop.waiting():
                    batch = next(self._batches)
                self._read.append(batch)
            except (Interrupted, StopIteration):
                return True
            except ValueError as error:
                self.wrong = error
        return self.wrong is None

    def __iter__(self) -> "Ahead":
        return self

    def __next__(self) -> Batch:
        """Raises ValueError where it cannot be read."""
        if self._read:
            return self._read.popleft()
        if self.wrong is not None:
            raise self.wrong
        return next(self._batches)

    def close(self) -> None:
        self._batches.close()


def raise_broken(batches: Ahead, folder: RunFolder) -> NoReturn:
    """For a run whose next images cannot be read, here or by another process: why, and where it can go on. All
    processes call it together.

    Raises:
        ValueError: always.
    """
    error = batches.wrong
    said = [text for text in gather_object(["" if error is None else str(error)]) if text]
    folder.note_broken(said)
    cure = f"{describe_last(folder.checkpoints)}: mend that, and the same command with --resume goes on"
    if error is None:
        raise ValueError(f"another process of this run cannot read its next images ({said[0].rstrip('.')}); {cure}")
    raise ValueError(f"{str(error).rstrip('.')}; {cure}") from None
