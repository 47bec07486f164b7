"""How many pixels each class of a data set's label maps has, and of how many nobody can be sure.

python -m img2img_hub check-data --dataset facades --side_by_side --direction BtoA --palette auto
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from img2img_hub.data.samples.opened import ImageData
from img2img_hub.data.samples.reading import Images
from img2img_hub.data.samples.stack import Stack
from img2img_hub.images.palettes import text_of
from img2img_hub.images.slots import Slot


@dataclass(kw_only=True)
class ClassCount:
    """The pixels of one slot's label maps."""

    slot: Slot
    pixels: np.ndarray
    """(classes + 1,) int64, of each class, and last of what is of none."""
    uncertain: int = 0
    """Of them those of a colour that JPEG has blurred so far that two classes are nearly as near."""

    def describe(self) -> list[str]:
        """A line in all, and one for each class: its number, name, colour, share and pixels."""
        whole = max(int(self.pixels.sum()), 1)
        names = self.slot.class_names or ("",) * self.slot.classes
        width = max(map(len, names))
        lines = [f"{self.slot.describe()}, {self.pixels.sum():,} pixels:"]
        for number, (name, count) in enumerate(zip(names, self.pixels[:-1].tolist(), strict=True)):
            colour = text_of(self.slot.colours[number]) if self.slot.palette else ""
            words = [f"{number:4}", f"{name:{width}}" if width else "", colour, f"{count / whole:7.2%}", f"{count:13,}"]
            lines.append(" ".join(filter(None, words)))
        if self.pixels[-1]:
            lines.append(f"     of no class: {self.pixels[-1] / whole:.2%}, {self.pixels[-1]:,} pixels")
        if self.uncertain:
            lines.append(
                f"     uncertain: {self.uncertain / whole:.2%}, {self.uncertain:,} pixels, whose colours the files' "
                "format has blurred: each has the class of most around it"
            )
        return lines


def count_classes(data: ImageData) -> Iterator[ClassCount]:
    """Of each slot of label maps, all its images that can be read."""
    for side in data.sides.values():
        if isinstance(side.images, Stack):
            for slot in side.images.slots:
                if slot.kind == "labels":
                    count = _counted(slot, side.images.parts[slot.name], side.rows)
                    yield from [count] if count.pixels.any() else []


def _counted(slot: Slot, images: Images, rows: np.ndarray) -> ClassCount:
    count = ClassCount(slot=slot, pixels=np.zeros(slot.classes + 1, dtype=np.int64))
    for row in rows.tolist():
        try:
            raster, uncertain = slot.read_classes(images.decoded(row))
        except ValueError:  # whoever reads all of them says so
            continue
        numbers = np.minimum(raster.array.ravel(), slot.classes)  # what is of none has the largest number
        count.pixels += np.bincount(numbers, minlength=slot.classes + 1)
        count.uncertain += uncertain
    return count
