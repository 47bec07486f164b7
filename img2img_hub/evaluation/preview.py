"""Training data to look at, for notebooks: opened as training will open them, drawn as a sheet.

    from img2img_hub import open_pairs

    data = open_pairs("facades", side_by_side=True, direction="BtoA")
    data.show().save("preview.png")

`train` takes them in the place of a DataConfig.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from img2img_hub.data.find.config import DataConfig
from img2img_hub.data.find.sources import ImageData, StreamedData, open_train_and_validation
from img2img_hub.evaluation.sheets import sample_sheet
from img2img_hub.families import Family
from img2img_hub.images.picture import from_array
from img2img_hub.images.raster import AnyImage, Raster
from img2img_hub.images.slots import Slot, shown_parts


class TrainingData:
    """A data set as training sees it. It prints as what was found.

    Attributes: ``config``, its DataConfig; ``paired``; ``train``, the images to train on (of a stream the first few);
    ``validation``, those to validate on, None for none. A held-out part is drawn by the seed of each run.
    """

    def __init__(self, config: DataConfig, *, paired: bool, slots: Sequence[Slot] = ()) -> None:
        self.config = config
        self.paired = paired
        train, self.validation = open_train_and_validation(config, paired=paired, seed=0, slots=slots)
        self.train: ImageData = train.preview() if isinstance(train, StreamedData) else train

    def show(self, rows: int = 4) -> Image.Image:
        """A sheet of the first few sources and targets, as they are before resizing and jitter.

        Raises ValueError where one of them cannot be read.
        """
        return draw_data(self.train, rows=rows)

    def __repr__(self) -> str:
        parts = [("train", self.train)] + ([("validation", self.validation)] if self.validation is not None else [])
        return "\n".join(f"{name}: {part.description}, split {part.split}" for name, part in parts)


def open_pairs(dataset: str | Path, *, family: Family | None = None, **options: Any) -> TrainingData:
    """Open pairs of images, for Pix2Pix, or what another method learns from.

    Args:
        dataset: Hub id (user/name) or folder.
        family: who is to learn from them, where that reads something else than a source and a target of its size, such
            as `SRGAN(scale=2)` or `Inpaint()`.
        options: the other fields of DataConfig, such as ``side_by_side=True`` or ``corrupt=("box",)``.

    Raises:
        ValueError: what was found in its place, and what to give.
    """
    if family is not None and not (isinstance(family, Family) and family.paired):
        raise ValueError(
            f"family is {family!r:.80}: give a method that learns from pairs or pictures, such as Inpaint()"
        )
    slots = () if family is None else family.slots
    return TrainingData(DataConfig(dataset=str(dataset), **options), paired=True, slots=slots)


def open_unpaired(dataset: str | Path, **options: Any) -> TrainingData:
    """Open two sets of images without correspondence, for CycleGAN; arguments and errors as of `open_pairs`."""
    return TrainingData(DataConfig(dataset=str(dataset), **options), paired=False)


def draw_data(data: ImageData, *, rows: int = 4, cell: int = 256) -> Image.Image:
    """Sources and targets side by side, each at most ``cell`` pixels wide and high."""
    if rows < 1:
        raise ValueError(f"rows is {rows}: give 1 or more")
    slots = data.about.inputs
    pictures = []
    for index in range(min(rows, len(data))):
        source = data.source(index)
        parts = shown_parts(source, slots) if isinstance(source, Raster) and slots else {"": source}
        pictures.append([_small(image, cell) for image in (*parts.values(), data.target(index))])
    return sample_sheet(pictures, titles=[*([slot.name for slot in slots] or ["source"]), "target"])


def _small(image: AnyImage, cell: int) -> Image.Image:
    if isinstance(image, Raster) and image.array.dtype == np.uint8 and image.bands in (1, 3):
        image = from_array(image.array, name=image.name)  # values as they are, not stretched
    picture = image.preview() if isinstance(image, Raster) else image
    picture.thumbnail((cell, cell))
    return picture
