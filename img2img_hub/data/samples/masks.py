"""Sources made of their targets: a picture with a part covered, or without colour. One folder of pictures is then
enough to learn inpainting, the repair of old photographs or colourisation.

    python train_accelerate.py pix2pix --dataset photos --corrupt free_form --output_dir runs/inpainting
    python -m img2img_hub check-data --dataset photos --corrupt free_form grayscale --sheet preview.png

Covered pixels are mid-grey, the middle of the value range. Shapes are shares of the picture's sides, so that a mask
drawn on a whole photograph and one drawn on a training crop look alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from img2img_hub.data.find.config import Corruption
from img2img_hub.data.samples.ageing import AGEING
from img2img_hub.images.picture import image_of
from img2img_hub.images.slots import COVERED

_FIXED_STREAM = 6  # the first number of the seed; transforms.py, sources.py and streaming.py have the other streams
_IN_WORDS = {
    "box": "a box covered",
    "free_form": "strokes covered",
    "grayscale": "its colour dropped",
    "fading": "its colours faded",
    "stains": "stains over it",
    "scratches": "scratches and dust over it",
}
SHARES = {
    "box": "a box of 6 to 25 % of it (14 % on average)",
    "free_form": "strokes over 4 to 40 % of it (20 % on average of a square)",
}
"""What each kind covers of a picture."""
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's "L" has it
_BOX = (1 / 4, 1 / 2)  # of each side of the picture
_STROKES = (1, 4)
_TURNS = (4, 10)  # of one stroke
_LENGTH = (1 / 6, 2 / 5)  # of the shorter side, from one turn to the next
_THICKNESS = (1 / 20, 1 / 10)  # of the shorter side


@dataclass(frozen=True)
class Corrupter:
    """Makes sources of targets in all the ways of ``kinds``, one after the other.

    "box" covers one rectangle, "free_form" covers strokes, "grayscale" leaves luminance alone: one band. "fading",
    "stains" and "scratches" age the picture, before anything is covered.
    """

    kinds: tuple[Corruption, ...]

    flag = "--corrupt"

    @property
    def description(self) -> str:
        """ "a box covered and its colour dropped"."""
        return " and ".join(_IN_WORDS[kind] for kind in self.kinds)

    @property
    def as_source(self) -> str:
        """What is said of each picture."""
        return f"with {self.description} as its source"

    def channels(self, channels: int) -> int:
        """Bands of the source of a target with so many."""
        return 1 if "grayscale" in self.kinds else channels

    def of_sample(self, target: Tensor, random: np.random.Generator) -> Tensor:
        """The source of a training sample (C, H, W) in [-1, 1], drawn from ``random``; the target stays as it is."""
        source = target
        if "grayscale" in self.kinds:
            source = torch.tensordot(torch.tensor(_LUMA), target, dims=1)[None]
        if self._ages:
            aged = self._aged(np.round((source.numpy() + 1) * 127.5).astype(np.uint8), random)
            source = torch.from_numpy(aged).float().div_(255).sub_(0.5).div_(0.5)  # bit for bit as images.to_tensor
        mask = self._mask(target.shape[-1], target.shape[-2], random)
        return source if mask is None else source.masked_fill(torch.from_numpy(np.array(mask)), _covered(source.dtype))

    def of_image(self, target: Image.Image, row: int) -> Image.Image:
        """The source of an "L" or "RGB" image that is validated or evaluated on: always the same for a row."""
        source = target.convert("L") if "grayscale" in self.kinds else target.copy()
        random = np.random.default_rng([_FIXED_STREAM, row])
        if self._ages:
            aged = self._aged(np.atleast_3d(np.asarray(source)).transpose(2, 0, 1), random).transpose(1, 2, 0)
            source = image_of(np.ascontiguousarray(aged[:, :, 0] if aged.shape[2] == 1 else aged))
        mask = self._mask(*target.size, random)
        if mask is not None:
            source.paste((COVERED,) * len(source.getbands()), mask=mask)
        return source

    def whole(self, target: Image.Image) -> Image.Image:
        """What of a picture has a source: all of it."""
        return target

    @property
    def _ages(self) -> bool:
        return any(kind in AGEING for kind in self.kinds)

    def _aged(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """(C, H, W) uint8, as a scan is, in the order of years, whatever order was typed."""
        made = image.astype(np.float32) / 255
        for kind, age in AGEING.items():
            if kind in self.kinds:
                made = age(made, random)
        return np.round(np.clip(made, 0, 1) * 255).astype(np.uint8)

    def _mask(self, width: int, height: int, random: np.random.Generator) -> Image.Image | None:
        """A picture of mode "1", white where something is covered; None where nothing ever is."""
        drawn = [kind for kind in self.kinds if kind in _DRAW]
        if not drawn:
            return None
        return mask_of(drawn, width, height, random)


def mask_of(kinds: Sequence[str], width: int, height: int, random: np.random.Generator) -> Image.Image:
    """A picture of mode "1", white where shapes of these kinds, "box" or "free_form", cover something."""
    mask = Image.new("1", (width, height))
    for kind in kinds:
        _DRAW[kind](ImageDraw.Draw(mask), width, height, random)
    return mask


def _covered(dtype: torch.dtype) -> float:
    """As images.to_tensor has it, to the last bit."""
    return torch.tensor(float(COVERED), dtype=dtype).div_(255).sub_(0.5).div_(0.5).item()


def _draw_box(draw: ImageDraw.ImageDraw, width: int, height: int, random: np.random.Generator) -> None:
    """One rectangle, each side 1/4 to 1/2 of the picture's, anywhere in it: 6 to 25 % of its pixels."""
    sides = [max(1, round(side * share)) for side, share in zip((width, height), random.uniform(*_BOX, 2), strict=True)]
    left, top = (int(random.integers(side - own + 1)) for side, own in zip((width, height), sides, strict=True))
    draw.rectangle((left, top, left + sides[0] - 1, top + sides[1] - 1), fill=1)


def _draw_strokes(draw: ImageDraw.ImageDraw, width: int, height: int, random: np.random.Generator) -> None:
    """One to four thick lines, each rubbed to and fro as with an eraser.

    After the free-form masks of Yu et al. 2019, "Free-Form Image Inpainting with Gated Convolution" (section 3.4 and
    the algorithm of its supplement): a stroke starts anywhere, has some turns, and goes nearly back at each.
    """
    shorter = min(width, height)
    for _ in range(random.integers(_STROKES[0], _STROKES[1] + 1)):
        thickness = max(1, round(shorter * random.uniform(*_THICKNESS)))
        x, y = random.uniform(0, width), random.uniform(0, height)
        heading = random.uniform(0, 2 * math.pi)
        points = [(x, y)]
        for _ in range(random.integers(_TURNS[0], _TURNS[1] + 1)):
            length = shorter * random.uniform(*_LENGTH)
            x = min(max(x + length * math.cos(heading), 0.0), width - 1.0)
            y = min(max(y + length * math.sin(heading), 0.0), height - 1.0)
            points.append((x, y))
            heading += math.pi + random.uniform(-1, 1) * math.pi / 3
        draw.line(points, fill=1, width=thickness)
        for x, y in points:  # round ends and joints
            radius = thickness / 2
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)


_DRAW = {"box": _draw_box, "free_form": _draw_strokes}
