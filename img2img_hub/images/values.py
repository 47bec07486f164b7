"""What the values of a raster's bands are to a network: which become -1 and 1, and the way back to units.

    python -c "from img2img_hub.images.read import read_raster as r; from img2img_hub.images.values import measured;\\
        print(measured([r('a.tif'), r('b.tif')], dtype='uint16'))"

8-bit pictures need none of this: theirs are 0 and 255 always.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from img2img_hub.errors import counted, is_number, is_whole, listing
from img2img_hub.images.formats import ImageError
from img2img_hub.images.picture import check_unit_range, image_of
from img2img_hub.images.raster import DTYPES, MAX_BANDS, Raster

# A value is an outlier when it lies further beyond these percentiles than a tenth of the way between them.
PERCENTILES = (0.1, 99.9)
MARGIN = 0.1
_LARGEST, _CLOSEST = float(np.finfo(np.float32).max), 1e-38
MASK = (-255.0, 255.0)
"""Low and high of a mask of 0 and 255, which are 0 and 1 to the network."""
_MOST_VALUES = 10_000  # of an image, all bands together, drawn at random …
_LEAST_VALUES = 500  # … but so many of each band


@dataclass(frozen=True, kw_only=True)
class BandValues:
    """Type and value range of each band of one side, source or target.

    Raises:
        ValueError: what translation.json may not hold; the message names the key.
    """

    dtype: str
    """Of the images of training, and of outputs."""
    low: tuple[float, ...]
    """The value of each band that the network sees as -1, in the images' units."""
    high: tuple[float, ...]
    """The value of each band that it sees as 1."""
    no_data: float | None = None
    """The value of pixels without data; null: NaN for floats, none for whole numbers."""
    classes: tuple[int, ...] = ()
    """For each band how many classes its numbers stand for, of which each is a channel of 1 and 0 to the network; 0 for
    a band of values; empty where all are."""
    edges: tuple[int, ...] = ()
    """The places, from 0, of bands whose numbers tell instances apart, of which the network sees the edges."""
    hole: int | None = None
    """The place of a mask of what is to be filled in: the network sees the bands in front of it as 0 there."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r:.60}")
        for key in ("low", "high"):
            values = getattr(self, key)
            if (
                not isinstance(values, list | tuple)
                or not 1 <= len(values) <= MAX_BANDS
                or not all(is_number(value) for value in values)
            ):
                raise ValueError(f"{key} must be 1 to {MAX_BANDS} numbers, one for each band, got {values!r:.60}")
            object.__setattr__(self, key, tuple(float(value) for value in values))
        if len(self.low) != len(self.high):
            raise ValueError(f"low and high must be as many, got {len(self.low)} and {len(self.high)}")
        if wrong := [band for band, (low, high) in enumerate(zip(self.low, self.high, strict=True), 1) if low >= high]:
            raise ValueError(f"low must be below high, which it is not in band {wrong[0]}")
        for band, (low, high) in enumerate(zip(self.low, self.high, strict=True), 1):
            if max(-low, high) > _LARGEST or high - low < _CLOSEST:  # the network's numbers would be none
                raise ValueError(
                    f"low and high must be within ±{_LARGEST:.3g} and at least {_CLOSEST:g} apart, got {low:.6g} and "
                    f"{high:.6g} in band {band}: give images and ranges in other units"
                )
        if self.no_data is not None and not is_number(self.no_data):
            raise ValueError(f"no_data must be null or a number, got {self.no_data!r:.60}")
        classes = self.classes
        if not isinstance(classes, list | tuple) or not all(is_whole(n) and 0 <= n <= MAX_BANDS for n in classes):
            raise ValueError(f"classes must be whole numbers from 0 to {MAX_BANDS}, got {classes!r:.60}")
        object.__setattr__(self, "classes", tuple(classes) if any(classes) else ())
        if self.classes and len(self.classes) != len(self.low):
            raise ValueError(f"classes must be as many as low and high, got {len(self.classes)}")
        edges = self.edges
        if not isinstance(edges, list | tuple) or not all(is_whole(n) and 0 <= n < self.bands for n in edges):
            raise ValueError(f"edges must be places of bands, from 0 to {self.bands - 1}, got {edges!r:.60}")
        if any(self.classes and self.classes[band] for band in edges):
            raise ValueError("edges must be of bands that have no classes")
        object.__setattr__(self, "edges", tuple(edges))
        if self.hole is None:
            return
        if not is_whole(self.hole) or not 0 < self.hole < self.bands or any(n < self.hole for n in self.numbered):
            raise ValueError(f"hole must be the place of a band behind bands of values, got {self.hole!r:.60}")
        if (self.low[self.hole], self.high[self.hole]) != MASK:
            raise ValueError(f"hole must be of a mask, whose low and high are {MASK[0]:g} and {MASK[1]:g}")

    @property
    def bands(self) -> int:
        return len(self.low)

    @property
    def channels(self) -> int:
        """What the network sees of the bands."""
        return self.bands + sum(number - 1 for number in self.classes if number)

    @property
    def is_picture(self) -> bool:
        """Whether outputs are 8-bit grey or RGB, as other images are."""
        whole = set(self.low) == {0.0} and set(self.high) == {255.0}
        return self.dtype == "uint8" and self.bands in (1, 3) and whole and not self.numbered

    @property
    def numbered(self) -> tuple[int, ...]:
        """The places of the bands that hold numbers of classes or instances, not values."""
        return tuple(band for band in range(self.bands) if band in self.edges or (self.classes and self.classes[band]))

    def to_dict(self) -> dict[str, Any]:
        """What translation.json says."""
        later = {key for key in ("edges", "hole") if not getattr(self, key) and getattr(self, key) != 0}
        return {key: value for key, value in asdict(self).items() if key not in later}

    @classmethod
    def from_dict(cls, values: Any) -> BandValues:
        """Check what translation.json says. Raises ValueError."""
        if not isinstance(values, dict) or (unknown := sorted(set(values) - set(cls.__dataclass_fields__))):
            found = f"unknown key {', '.join(unknown)}" if isinstance(values, dict) else f"got {values!r:.60}"
            raise ValueError(f"an object with {', '.join(cls.__dataclass_fields__)} was expected, {found}")
        if missing := {"dtype", "low", "high"} - set(values):
            raise ValueError(f"{', '.join(sorted(missing))} is missing")
        return cls(**values)

    def describe(self) -> str:
        """ "2 bands of float32: -3.1 … 2.4, 0 … 950"."""
        ranges = [f"{low:.6g} … {high:.6g}" for low, high in zip(self.low, self.high, strict=True)]
        for band, number in enumerate(self.classes or (0,) * self.bands):
            mask = (self.low[band], self.high[band]) == MASK
            ranges[band] = f"{number} classes" if number else "a mask" if mask else ranges[band]
            ranges[band] = "instances" if band in self.edges else ranges[band]
        return f"{counted(self.bands, 'band')} of {self.dtype}: {listing(ranges, limit=4)}"

    def to_network(self, bands: np.ndarray, valid: np.ndarray | None = None) -> Tensor:
        """(C, H, W) in units to float32 in [-1, 1]: what lies beyond the range is seen as its end, and pixels that are
        not `valid`, (H, W), as its middle, as what lies under a hole; class numbers as a channel of 1 and 0 each,
        instances by their edges."""
        known = None if valid is None else torch.from_numpy(np.array(valid))[None]
        return self.joined(*self.parted(bands), valid=known)

    def parted(self, bands: np.ndarray) -> tuple[Tensor | None, Tensor | None]:
        """(C, H, W) in units as values, (V, H, W) float32 in [-1, 1], and numbers of classes and instances, (K, H, W)
        uint8 or int32, which are a byte where their channels are many floats; None for none of either."""
        numbered = list(self.numbered)
        numbers = None
        if numbered:
            array = bands[numbered].astype(np.uint8 if bands.dtype == np.uint8 else np.int32)
            numbers = torch.from_numpy(array)
        others = [band for band in range(self.bands) if band not in numbered]
        if not others:
            return None, numbers
        exact = np.float64 if bands.dtype.itemsize >= 4 else np.float32  # a small difference of large values counts
        seen = np.empty((len(others), *bands.shape[1:]), dtype=np.float32)
        for band, own in zip(others, seen, strict=True):
            low, high = self.low[band], self.high[band]
            np.clip((bands[band].astype(exact) - exact(low)) * exact(2 / (high - low)) - exact(1), -1, 1, out=own)
        return torch.from_numpy(seen), numbers

    def joined(self, seen: Tensor | None, numbers: Tensor | None, *, valid: Tensor | None = None) -> Tensor:
        """What the network sees of what `parted` gave, on its device: (…, channels, H, W) float32, in the bands' order.

        Args:
            valid: (…, 1, H, W) bool, False where there is no data: 0 in all channels.
        """
        if numbers is None:
            assert seen is not None
            whole = seen
        else:
            numbered = self.numbered
            parts = []
            for band in range(self.bands):
                if band not in numbered:
                    assert seen is not None
                    place = band - sum(each < band for each in numbered)
                    parts.append(seen[..., place : place + 1, :, :])
                    continue
                place = numbered.index(band)
                own = numbers[..., place : place + 1, :, :]
                parts.append(edges_of(own) if band in self.edges else one_hot(own, self.classes[band]))
            whole = torch.cat(parts, dim=-3)
        if self.hole is not None:
            whole = covered(whole, hole=self.hole)
        return whole if valid is None else whole.masked_fill(~valid, 0)

    def class_channels(self, numbers: Tensor) -> Tensor | None:
        """Of the numbers of `parted`, (N, K, H, W), the channel of `joined` that is 1 for the first band of classes,
        (N, 1, H, W) int64, -1 where none is; None without such a band."""
        band = next((band for band, count in enumerate(self.classes) if count), None)
        if band is None:
            return None
        place, count = self.numbered.index(band), self.classes[band]
        own = numbers[:, place : place + 1].long()
        return torch.where((own >= 0) & (own < count), own + band, -1)  # bands before it have one channel each

    def to_units(self, tensor: Tensor, *, valid: np.ndarray | None = None) -> np.ndarray:
        """The inverse: (C, H, W) in [-1, 1] to (H, W, C) in units, of the bands' type, with `no_data` where it is not
        `valid`. Whole numbers are rounded; where they have no value for that, such pixels keep what they have."""
        dtype = np.dtype(self.dtype)
        limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
        array = np.empty((*tensor.shape[1:], self.bands), dtype=dtype)
        for band, (seen, low, high) in enumerate(zip(tensor.detach().cpu(), self.low, self.high, strict=True)):
            values = (seen.double().numpy() + 1) * ((high - low) / 2) + low
            values = np.round(values) if dtype.kind in "iu" else values
            array[:, :, band] = values.clip(limits.min, limits.max)
        if valid is not None and self.missing is not None:
            array[~valid] = self.missing
        return array

    def preview(self, raster: Raster) -> Image.Image:
        """The first three bands, or the first one, for people to look at: the range from black to white, white where
        there is no data. Images of one side are comparable."""
        shown = raster.array[:, :, : 3 if self.bands >= 3 else 1].transpose(2, 0, 1)
        first = BandValues(dtype=self.dtype, low=self.low[: len(shown)], high=self.high[: len(shown)])
        array = ((first.to_network(shown, raster.valid) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        if raster.valid is not None:
            array[~raster.valid] = 255
        return image_of(array)

    @property
    def missing(self) -> float | None:
        """The value of pixels without data, None where this type has none."""
        if self.dtype.startswith("float"):
            return math.nan if self.no_data is None else self.no_data
        limits = np.iinfo(self.dtype)
        fits = self.no_data is not None and limits.min <= self.no_data <= limits.max
        return self.no_data if fits else None

    def outside(self, raster: Raster) -> list[float]:
        """The share of each band's pixels with data that lies beyond the range of training; 0 of class numbers."""
        valid = np.ones(raster.array.shape[:2], dtype=bool) if raster.valid is None else raster.valid
        known = raster.array[valid]
        beyond = (known < np.asarray(self.low)) | (known > np.asarray(self.high))
        beyond[:, list(self.numbered)] = False
        return beyond.mean(axis=0).tolist()


def raster_of(tensor: Tensor, values: BandValues, *, name: str) -> Raster:
    """A tensor holds what the network sees, not units, be it of pictures or of rasters."""
    tensor = tensor[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor
    if tensor.ndim != 3 or len(tensor) != values.bands or not tensor.is_floating_point() or not tensor.numel():
        wanted = f"floats ({values.bands}, H, W)"
        raise ImageError(f"{name} is a tensor of {tensor.dtype}, shape {tuple(tensor.shape)}: give {wanted} in [-1, 1]")
    cure = "scale them to [-1, 1], or give an array (H, W, C) of values in their own units"
    check_unit_range(tensor, name=name, cure=cure)
    return Raster(array=values.to_units(tensor.clamp(-1, 1)), name=name)


def covered(bands: Tensor, *, hole: int) -> Tensor:
    """(…, C, H, W) as networks see it, with 0 in the bands in front of the `hole`-th one where that is 1."""
    seen = bands[..., :hole, :, :].masked_fill(bands[..., hole : hole + 1, :, :] > 0.5, 0)
    return torch.cat([seen, bands[..., hole:, :, :]], dim=-3)


def one_hot(numbers: Tensor, classes: int) -> Tensor:
    """(…, 1, H, W) class numbers to (…, classes, H, W) float32, 1 where a pixel is of that class and 0 elsewhere;
    numbers beyond are of no class."""
    each = torch.arange(classes, dtype=numbers.dtype, device=numbers.device)[:, None, None]
    return (numbers == each).float()


def edges_of(instances: Tensor) -> Tensor:
    """(…, 1, H, W) instance numbers to float32: 1 where a neighbour above, below, left or right that lies in the image
    is of another one, on both sides of the border, and 0 elsewhere (pix2pixHD, section 3.3)."""
    found = torch.zeros_like(instances, dtype=torch.bool)
    below, beside = instances[..., 1:, :] != instances[..., :-1, :], instances[..., 1:] != instances[..., :-1]
    found[..., 1:, :] |= below
    found[..., :-1, :] |= below
    found[..., 1:] |= beside
    found[..., :-1] |= beside
    return found.float()


def measured(
    images: Iterable[Raster], *, dtype: str, no_data: float | None = None, limits: tuple[float, float] | None = None
) -> BandValues:
    """The range of these images' values, each band's own, without outliers; of 8 bits always 0 to 255.

    It reaches from the lowest to the highest value of any pixel with data, but no further beyond the PERCENTILES than
    MARGIN of the way between them: one spike must not press all else into a part of the range, and a generator that
    ends in tanh should reach whatever is not one.

    Args:
        limits: take this range instead, for every band.
    """
    smallest: list[np.ndarray] = []
    largest: list[np.ndarray] = []
    samples: list[np.ndarray] = []
    random = np.random.default_rng(0)  # the same range for the same images
    for raster in images:
        valid = np.ones(raster.array.shape[:2], dtype=bool) if raster.valid is None else raster.valid
        known = raster.array[valid]
        if no_data is None and raster.no_data is not None and math.isfinite(raster.no_data):
            no_data = raster.no_data
        smallest.append(known.min(axis=0).astype(np.float64))
        largest.append(known.max(axis=0).astype(np.float64))
        most = max(_LEAST_VALUES, _MOST_VALUES // raster.bands)
        samples.append(known if len(known) <= most else known[random.integers(len(known), size=most)])
        if dtype == "uint8" or limits is not None:
            break  # which tells the number of bands
    if not samples:
        raise ValueError("there are no images to measure the range of values of")
    bands = samples[0].shape[1]
    if limits is not None or dtype == "uint8":
        lowest, highest = limits or (0.0, 255.0)
        return BandValues(dtype=dtype, low=(lowest,) * bands, high=(highest,) * bands, no_data=no_data)
    drawn = ([few[:, band] for few in samples] for band in range(bands))  # one at a time, for the memory's sake
    first, last = np.array([np.percentile(np.concatenate(band).astype(np.float64), PERCENTILES) for band in drawn]).T
    lows, highs = np.min(smallest, axis=0), np.max(largest, axis=0)
    room = np.where(last > first, MARGIN * (last - first), np.inf)
    lows, highs = np.maximum(lows, first - room), np.minimum(highs, last + room)
    half = np.where(lows >= highs, np.maximum(0.5, np.abs(lows) * 1e-6), 0)  # a constant band, however large
    lows, highs = lows - half, highs + half
    return BandValues(dtype=dtype, low=tuple(lows.tolist()), high=tuple(highs.tolist()), no_data=no_data)


def spread(length: int, most: int) -> Sequence[int]:
    """At most so many places, spread evenly over a list."""
    return sorted({position * (length - 1) // max(most - 1, 1) for position in range(most)}) if length else []
