"""Sources made of their targets for methods that fill holes: the picture, and a mask of where it is not to be seen.

    python train_accelerate.py inpaint --dataset photos --output_dir runs/inpainting
    python -m img2img_hub check-data --dataset photos --method inpaint --sheet preview.png

In training a hole is drawn anew for every crop, as large as its kind says of the crop's sides; for validation and
evaluation it is always the same for a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from img2img_hub.data.find.config import Hole
from img2img_hub.data.samples.kinds import values_of
from img2img_hub.data.samples.masks import SHARES, mask_of
from img2img_hub.images.raster import AnyImage, Raster, RasterKind
from img2img_hub.images.slots import Slot, by_nearest, common_type
from img2img_hub.images.values import BandValues, covered

_FIXED_STREAM = 8  # the first number of the seed; transforms.py, masks.py, smaller.py, … have the others


@dataclass(frozen=True)
class HoleMaker:
    """Makes sources of targets, in the place of a `Corrupter`: the target, a hole, and what is seen whole.

    Args:
        kinds: how holes are drawn, one of these for each picture.
        inputs: what the method reads: the image with the hole, the hole, and perhaps the image as it is.
    """

    kinds: tuple[Hole, ...]
    inputs: tuple[Slot, ...]

    flag = "--holes"

    @property
    def as_source(self) -> str:
        """What is said of each picture."""
        return f"with {' or '.join(SHARES[kind] for kind in self.kinds)} to be filled in"

    def channels(self, channels: int) -> int:
        """Bands of the source of a target with so many."""
        return sum(1 if slot.kind == "hole" else channels for slot in self.inputs)

    def kind(self, bands: int, kind: RasterKind | None) -> RasterKind:
        """What a source is, of a target of so many bands of that kind."""
        dtype = common_type(self.slots(bands, kind))
        return RasterKind(bands=self.channels(bands), dtype=dtype, masked=kind is not None and kind.masked)

    def slots(self, bands: int, kind: RasterKind | None) -> tuple[Slot, ...]:
        """What a source is, of a target of so many bands; of rasters that is told by their kind."""
        dtype = "uint8" if kind is None else kind.dtype
        return tuple(
            Slot(name=slot.name, kind="hole", bands=1)
            if slot.kind == "hole"
            else Slot(name=slot.name, bands=bands, dtype=dtype)
            for slot in self.inputs
        )

    def values(self, bands: int, target: BandValues | None, kind: RasterKind | None) -> BandValues:
        """Of the source, by those of the target."""
        pictures = BandValues(dtype="uint8", low=(0.0,) * bands, high=(255.0,) * bands)
        return values_of(self.slots(bands, kind), lambda slot: target or pictures)

    def of_sample(self, target: Tensor, random: np.random.Generator) -> Tensor:
        """The source of a training sample (C, H, W) in [-1, 1], drawn from ``random``."""
        hole = np.array(self._hole(target.shape[-1], target.shape[-2], random))
        mask = torch.from_numpy(hole)[None].to(target.dtype)
        parts = [mask if slot.kind == "hole" else target for slot in self.inputs]
        return covered(torch.cat(parts), hole=target.shape[0])

    def of_image(self, target: AnyImage, row: int) -> Raster:
        """The source of an image that is validated or evaluated on: always the same for a row. What is under the hole
        is in it, and no network sees that."""
        array = target.array if isinstance(target, Raster) else np.atleast_3d(np.asarray(target))
        hole = self._hole(*target.size, np.random.default_rng([_FIXED_STREAM, row]))
        bands, kind = array.shape[2], None
        if isinstance(target, Raster):
            kind = RasterKind(bands=bands, dtype=array.dtype.name, masked=False)
        slots = self.slots(bands, kind)
        mask = (np.array(hole)[:, :, None] * np.uint8(255)).astype(np.uint8)
        parts = [mask if slot.kind == "hole" else array for slot in self.inputs]
        dtype = common_type(slots)
        return Raster(
            array=np.concatenate([part.astype(dtype, copy=False) for part in parts], axis=2),
            valid=target.valid if isinstance(target, Raster) else None,
            by_nearest=by_nearest(slots),
            name=target.name if isinstance(target, Raster) else f"picture {row + 1}",
        )

    def whole(self, target: AnyImage) -> AnyImage:
        """What of an image has a source: all of it."""
        return target

    def _hole(self, width: int, height: int, random: np.random.Generator) -> Image.Image:
        """A picture of mode "1", white in the hole."""
        kind = self.kinds[int(random.integers(len(self.kinds)))]
        return mask_of([kind], width, height, random)
