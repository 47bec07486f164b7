"""What years do to photographs: fading, stains and scratches, drawn at random, for methods that repair them.

    python train_accelerate.py pix2pix --dataset photos --corrupt fading stains scratches --output_dir runs/repair
    python -m img2img_hub check-data --dataset photos --corrupt fading stains scratches --sheet preview.png

All sizes are shares of the picture's shorter side, so that a whole photograph and a training crop of it age alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_FINER = 3  # lines are drawn so many times as large, and then averaged: no stairs
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
_SEPIA = np.array([1.08, 1.0, 0.82], dtype=np.float32)  # of grey: what is left when blue has gone
_TEA = np.array([0.62, 0.46, 0.28], dtype=np.float32)


def faded(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(C, H, W) float32 in [0, 1] with less contrast, blacks that are grey, and colours on their way to sepia."""
    black, white = random.uniform(0.05, 0.3), random.uniform(0.75, 0.98)
    gone = random.uniform(0.3, 1.0)
    if len(image) == 3:
        grey = np.tensordot(_LUMA, image, axes=1)[None]
        image = (1 - gone) * image + gone * np.clip(grey * _SEPIA[:, None, None], 0, 1)
    return (black + (white - black) * image).astype(np.float32)


def stained(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The same with one to four blotches of tea, lighter inside than at their rims."""
    _, height, width = image.shape
    shorter = min(width, height)
    for _ in range(random.integers(1, 5)):
        layer = Image.new("L", (width, height))
        x, y = random.uniform(0, width), random.uniform(0, height)
        radius = shorter * random.uniform(0.08, 0.3)
        points = []
        for angle in np.linspace(0, 2 * math.pi, 24, endpoint=False):
            own = radius * random.uniform(0.8, 1.2)
            points.append((x + own * math.cos(angle), y + own * math.sin(angle)))
        ImageDraw.Draw(layer).polygon(points, fill=255)
        inside = _blurred(layer, shorter * 0.012)
        rim = np.clip(inside - _blurred(layer, shorter * 0.05), 0, 1)
        share = random.uniform(0.15, 0.45) * inside + random.uniform(0.3, 0.8) * rim
        colour = _TEA[:, None, None] if len(image) == 3 else np.float32(_TEA @ _LUMA)
        image = image * (1 - share) + image * colour * share
    return image.astype(np.float32)


def scratched(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The same with three to fourteen thin lines, most of them light, some dark, and specks of dust."""
    _, height, width = image.shape
    shorter = min(width, height)
    for _ in range(random.integers(3, 15)):
        layer = Image.new("L", (width * _FINER, height * _FINER))
        x, y = random.uniform(0, width), random.uniform(0, height)
        heading = random.choice((random.normal(math.pi / 2, 0.15), random.uniform(0, 2 * math.pi)))
        points = [(x, y)]
        for _ in range(random.integers(2, 9)):
            step = shorter * random.uniform(0.04, 0.2)
            heading += random.normal(0, 0.12)
            x, y = x + step * math.cos(heading), y + step * math.sin(heading)
            points.append((x, y))
        broad = max(1, round(_FINER * shorter * random.uniform(0.002, 0.009)))
        ImageDraw.Draw(layer).line([(_FINER * a, _FINER * b) for a, b in points], fill=255, width=broad, joint="curve")
        image = _covered(image, layer, random)
    dust = Image.new("L", (width * _FINER, height * _FINER))
    for _ in range(random.integers(0, 25)):
        x, y = _FINER * random.uniform(0, width), _FINER * random.uniform(0, height)
        radius = max(1.0, _FINER * shorter * random.uniform(0.001, 0.006))
        ImageDraw.Draw(dust).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return _covered(image, dust, random).astype(np.float32)


def _covered(image: np.ndarray, layer: Image.Image, random: np.random.Generator) -> np.ndarray:
    """With a colour, white four times in five, where a finer layer is white."""
    share = np.asarray(layer.reduce(_FINER), dtype=np.float32) / 255 * random.uniform(0.5, 1.0)
    colour = random.uniform(0.85, 1.0) if random.random() < 0.8 else random.uniform(0.0, 0.2)
    return image * (1 - share) + np.float32(colour) * share


def _blurred(layer: Image.Image, radius: float) -> np.ndarray:
    return np.asarray(layer.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255


AGEING: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "fading": faded,
    "stains": stained,
    "scratches": scratched,
}
"""In the order in which they come over a photograph."""
