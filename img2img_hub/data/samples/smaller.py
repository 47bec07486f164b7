"""Sources made of their targets by making them smaller: one set of pictures is then enough to learn to enlarge.

    python train_accelerate.py srgan --dataset photos --stage pixels --output_dir runs/upscale

What a whole number of pixels of the small picture does not cover is left out at the right and lower edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from img2img_hub.data.samples.degradation import Degradation
from img2img_hub.images.picture import to_image, to_tensor

_FIXED_STREAM = 7  # the first number of the seed; transforms.py, masks.py, sources.py and streaming.py have the others


@dataclass(frozen=True)
class Shrinker:
    """Makes sources of targets, in the place of a `Corrupter`, by making them smaller."""

    way: Degradation

    flag = "--degradation"

    @property
    def as_source(self) -> str:
        """What is said of each picture."""
        return f"{self.way.description} as its source"

    def channels(self, channels: int) -> int:
        """Bands of the source of a target with so many."""
        return channels

    def of_sample(self, target: Tensor, random: np.random.Generator) -> Tensor:
        """The source of a training sample (C, H, W) in [-1, 1], drawn from ``random``."""
        return to_tensor(self.way.of_image(to_image(target), random=random))

    def of_image(self, target: Image.Image, row: int) -> Image.Image:
        """The source of an "L" or "RGB" image that is validated or evaluated on: always the same for a row."""
        return self.way.of_image(target, random=np.random.default_rng([_FIXED_STREAM, row]))

    def whole(self, target: Image.Image) -> Image.Image:
        """What of a picture is made smaller."""
        width, height = (side // self.way.scale * self.way.scale for side in target.size)
        return target if target.size == (width, height) else target.crop((0, 0, width, height))
