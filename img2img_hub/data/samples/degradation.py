"""Pictures made smaller, as super-resolution learns from: by a plain bicubic, or as photographs of the world go bad.

    python -c "import numpy as np; from PIL import Image; from img2img_hub.data.samples.degradation import *; \\
        large = Image.open('photo.png').convert('RGB').resize((512, 384)); \\
        Degradation(kind='real', scale=4).of_image(large, random=np.random.default_rng(0)).save('small.png')"

"real" is the second-order degradation of Real-ESRGAN (Wang et al. 2021, arXiv 2107.10833): twice blur, resize, noise
and JPEG, and a sinc filter, whose rings imitate those of sharpening and compression. Section 3 says what is done,
section 4.1 the numbers; what the paper leaves open is as its authors train. All that is chosen is a `Recipe`, drawn
before anything is done, so that what was drawn can be read and counted.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from img2img_hub.data.find.config import Smaller
from img2img_hub.images.picture import image_of
from img2img_hub.images.resize import resized

Range = tuple[float, float]
Shape = Literal["gaussian", "generalised", "plateau", "sinc"]
Resampling = Literal["area", "bilinear", "bicubic"]
RESAMPLINGS: tuple[Resampling, ...] = get_args(Resampling)  # no nearest: it moves pixels (section 3.1)

_SIZES = range(7, 22, 2)  # of a kernel's side, in pixels
_SINC = 0.1  # the chance of a sinc filter in the place of another blur
_SHAPES: tuple[tuple[Shape, bool, float], ...] = (  # of a blur: shape, whether round, chance
    ("gaussian", True, 0.45),
    ("gaussian", False, 0.25),
    ("generalised", True, 0.12),
    ("generalised", False, 0.03),
    ("plateau", True, 0.12),
    ("plateau", False, 0.03),
)
_POWERS: dict[Shape, Range] = {"generalised": (0.5, 4.0), "plateau": (1.0, 2.0)}
_GREY_NOISE = 0.4  # the chance of the same noise in all bands
_GAUSSIAN_NOISE = 0.5  # and Poisson's otherwise
_QUALITY = (30, 95)  # of JPEG, both included
_LAST_SINC = 0.8
_JPEG_IS_LAST = 0.5
_LUMA = np.array((0.299, 0.587, 0.114), dtype=np.float32)  # ITU-R BT.601, as Pillow's "L" has it


@dataclass(frozen=True)
class Ranges:
    """What one of the two rounds draws from."""

    blurred: float
    """The chance of a blur."""
    sigma: Range
    """Pixels."""
    resizes: tuple[float, float, float]
    """The chances of larger, smaller, as it is."""
    factors: Range
    """The smallest and the largest."""
    gaussian: Range
    """σ of Gaussian noise, of 255."""
    poisson: Range
    """How many times the noise of counted photons."""


FIRST = Ranges(1.0, (0.2, 3.0), (0.2, 0.7, 0.1), (0.15, 1.5), (1.0, 30.0), (0.05, 3.0))
SECOND = Ranges(0.8, (0.2, 1.5), (0.3, 0.4, 0.3), (0.3, 1.2), (1.0, 25.0), (0.05, 2.5))


@dataclass(frozen=True)
class Degradation:
    """Makes a picture ``scale`` times smaller, a side.

    Raises:
        ValueError: an unknown kind, or a scale that is no whole number from 1 on.
    """

    kind: Smaller
    scale: int

    def __post_init__(self) -> None:
        if self.kind not in get_args(Smaller):
            raise ValueError(f"a picture is made smaller by {' or '.join(get_args(Smaller))}, got {self.kind!r}")
        if not isinstance(self.scale, int) or self.scale < 1:
            raise ValueError(f"a picture is made a whole number of times smaller, got {self.scale!r}")

    @property
    def description(self) -> str:
        """ "made 4 times smaller (bicubic)"."""
        how = " (bicubic)" if self.kind == "bicubic" else " by Real-ESRGAN's degradation"
        return f"made {self.scale} times smaller{how}"

    def of_image(self, picture: Image.Image, *, random: np.random.Generator) -> Image.Image:
        """The small picture of an "L" or "RGB" one, in the same mode; of equal generators equal bytes.

        Raises:
            ValueError: another mode, or sides that are no multiples of the scale.
        """
        if picture.mode not in ("L", "RGB"):
            raise ValueError(f"a picture of mode L or RGB is needed, got {picture.mode}: call read_image first")
        if 0 in picture.size or any(side % self.scale for side in picture.size):
            raise ValueError(
                f"a picture of {picture.width}×{picture.height} pixels cannot be made {self.scale} times smaller "
                f"without a rest: crop it to multiples of {self.scale}"
            )
        size = picture.width // self.scale, picture.height // self.scale
        if self.kind == "bicubic":
            return resized(picture, size).copy()
        return Recipe.drawn(random).applied(picture, size, random=random)


# --- what is drawn ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Blur:
    """A kernel, before it is computed."""

    shape: Shape
    size: int
    sigma: Range = (0.0, 0.0)
    """Of its two axes, in pixels; a sinc filter has none."""
    angle: float = 0.0
    """Of the first axis, in radians."""
    power: float = 1.0
    """β of a generalised Gaussian, exp(−d^β / 2), and of a plateau, 1 / (1 + d^β), d = xᵀΣ⁻¹x (section 3.1)."""
    cutoff: float = 0.0
    """Of a sinc filter, in radians a pixel."""

    @classmethod
    def drawn(cls, random: np.random.Generator, sigma: Range) -> Blur:
        size = int(random.choice(_SIZES))
        if random.random() < _SINC:
            # A small filter cannot have a low cutoff: it would be cut off itself.
            return cls("sinc", size, cutoff=random.uniform(math.pi / (3 if size < 13 else 5), math.pi))
        shape, is_round, _ = _SHAPES[random.choice(len(_SHAPES), p=[chance for _, _, chance in _SHAPES])]
        first, second, angle = random.uniform(*sigma), random.uniform(*sigma), random.uniform(-math.pi, math.pi)
        power = 1.0
        if shape in _POWERS:  # below 1 as often as above
            low, high = _POWERS[shape]
            power = random.uniform(low, 1) if random.random() < 0.5 else random.uniform(1, high)
        return cls(shape, size, (first, first if is_round else second), 0.0 if is_round else angle, power)

    @classmethod
    def last(cls, random: np.random.Generator) -> Blur | None:
        """The sinc filter at the end; None for none (section 3.3)."""
        size, cutoff = int(random.choice(_SIZES)), random.uniform(math.pi / 3, math.pi)
        return cls("sinc", size, cutoff=cutoff) if random.random() < _LAST_SINC else None

    @property
    def kernel(self) -> np.ndarray:
        """(size, size) float32, of sum 1."""
        places = np.arange(self.size) - self.size // 2
        x, y = places[None, :], places[:, None]
        weights = self._sinc(np.hypot(x, y)) if self.shape == "sinc" else self._bell(x, y)
        return (weights / weights.sum()).astype(np.float32)

    def _sinc(self, radius: np.ndarray) -> np.ndarray:
        """ω J₁(ω r) / (2π r), an ideal lowpass of the plane (section 3.3); ω² / 4π in the middle."""
        away = np.where(radius == 0, 1.0, radius)
        values = (
            self.cutoff * torch.special.bessel_j1(torch.from_numpy(self.cutoff * away)).numpy() / (2 * np.pi * away)
        )
        return np.where(radius == 0, self.cutoff**2 / (4 * np.pi), values)

    def _bell(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        along = math.cos(self.angle) * x + math.sin(self.angle) * y
        across = math.cos(self.angle) * y - math.sin(self.angle) * x
        distance = (along / self.sigma[0]) ** 2 + (across / self.sigma[1]) ** 2
        power = distance**self.power
        return 1 / (1 + power) if self.shape == "plateau" else np.exp(-power / 2)


@dataclass(frozen=True)
class Round:
    """Blur, resize, noise and JPEG, once."""

    blur: Blur | None
    factor: float
    resampling: Resampling
    gaussian: float | None
    """σ of 255; None for Poisson's noise."""
    poisson: float | None
    grey: bool
    quality: int

    @classmethod
    def drawn(cls, random: np.random.Generator, ranges: Ranges) -> Round:
        blur = Blur.drawn(random, ranges.sigma) if random.random() < ranges.blurred else None
        low, high = ranges.factors
        factor = [random.uniform(1, high), random.uniform(low, 1), 1.0][random.choice(3, p=ranges.resizes)]
        resampling, grey = RESAMPLINGS[random.integers(len(RESAMPLINGS))], bool(random.random() < _GREY_NOISE)
        is_gaussian = random.random() < _GAUSSIAN_NOISE
        return cls(
            blur=blur,
            factor=factor,
            resampling=resampling,
            gaussian=random.uniform(*ranges.gaussian) if is_gaussian else None,
            poisson=None if is_gaussian else random.uniform(*ranges.poisson),
            grey=grey,
            quality=int(random.integers(_QUALITY[0], _QUALITY[1] + 1)),
        )

    def before_jpeg(self, values: np.ndarray, size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
        """(C, H, W) blurred, at ``factor`` times a size (width, height), and noisy."""
        width, height = (max(1, int(side * self.factor)) for side in size)
        values = enlarged_or_reduced(blurred(values, self.blur), (width, height), self.resampling)
        of = np.tensordot(_LUMA, values, axes=1)[None] if self.grey and len(values) == 3 else values
        if self.gaussian is not None:
            noise = random.standard_normal(of.shape, dtype=np.float32) * np.float32(self.gaussian / 255)
        else:
            assert self.poisson is not None
            noise = shot_noise(of, random) * np.float32(self.poisson)
        return np.clip(values + noise, 0, 1)


@dataclass(frozen=True)
class Recipe:
    """All that is drawn for a picture but the noise of its pixels."""

    first: Round
    second: Round
    last: Blur | None
    """The sinc filter, after the last resize."""
    resampling: Resampling
    """Of the last resize, to the size that is wanted."""
    jpeg_is_last: bool
    """Whether the second JPEG comes after the last resize and the sinc filter, or before both."""

    @classmethod
    def drawn(cls, random: np.random.Generator) -> Recipe:
        return cls(
            first=Round.drawn(random, FIRST),
            second=Round.drawn(random, SECOND),
            last=Blur.last(random),
            resampling=RESAMPLINGS[random.integers(len(RESAMPLINGS))],
            jpeg_is_last=bool(random.random() < _JPEG_IS_LAST),
        )

    def applied(self, picture: Image.Image, size: tuple[int, int], *, random: np.random.Generator) -> Image.Image:
        """The picture at a size (width, height), in its mode."""
        values = by_jpeg(self.first.before_jpeg(values_of(picture), picture.size, random), self.first.quality)
        # The second round's factor is of the size that is wanted, not of what the first one left.
        values = self.second.before_jpeg(values, size, random)
        if not self.jpeg_is_last:
            values = by_jpeg(values, self.second.quality)
        values = blurred(enlarged_or_reduced(values, size, self.resampling), self.last)
        return picture_of(by_jpeg(values, self.second.quality) if self.jpeg_is_last else values)


# --- what is done, on (C, H, W) float32 in [0, 1] ---------------------------------------------------------------------


def values_of(picture: Image.Image) -> np.ndarray:
    array = np.asarray(picture, dtype=np.float32) / np.float32(255)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def picture_of(values: np.ndarray) -> Image.Image:
    """Cut off at 0 and 1 and rounded to 8 bits."""
    return image_of(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))


def blurred(values: np.ndarray, blur: Blur | None) -> np.ndarray:
    """Mirrored at the edges; through the frequencies, which of the largest kernels takes an eighth of the time."""
    if blur is None:
        return values
    reach, (height, width) = blur.size // 2, values.shape[1:]
    padded = np.pad(values, ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    sides = [_fast_length(side) for side in padded.shape[1:]]
    axes = (1, 2)
    product = np.fft.rfft2(padded, s=sides, axes=axes) * np.fft.rfft2(blur.kernel[None], s=sides, axes=axes)
    made = np.fft.irfft2(product, s=sides, axes=axes)[:, 2 * reach :, 2 * reach :]
    return np.ascontiguousarray(made[:, :height, :width], dtype=np.float32)


def enlarged_or_reduced(values: np.ndarray, size: tuple[int, int], how: Resampling) -> np.ndarray:
    """At a size (width, height). "bilinear" and "bicubic" read four and sixteen pixels however much smaller the picture
    becomes, and so alias, which "area" does not: that is a part of what goes wrong with pictures, and images.resize,
    which averages, would leave it out."""
    width, height = size
    if values.shape[1:] == (height, width):
        return values
    corners = None if how == "area" else False
    made = F.interpolate(torch.from_numpy(values)[None], size=(height, width), mode=how, align_corners=corners)
    return made[0].numpy()


def shot_noise(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What counting photons adds to a picture of 8 bits, whose brightest pixels would be of as many photons as it has
    different values, rounded up to a power of two."""
    grey = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    different = np.count_nonzero(np.bincount(grey.ravel(), minlength=256))
    photons = 2 ** math.ceil(math.log2(different))
    expected = grey * (photons / 255)
    return ((random.poisson(expected) - expected) / photons).astype(np.float32)


def by_jpeg(values: np.ndarray, quality: int) -> np.ndarray:
    """As a JPEG file of Pillow keeps them, colours at half the resolution."""
    file = io.BytesIO()
    picture_of(values).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(file, formats=("JPEG",)) as kept:
        return values_of(kept)


def _fast_length(length: int) -> int:
    """The next one without a prime factor above 5, for which a Fourier transform is fast."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1
