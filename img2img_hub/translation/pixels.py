"""From images to what a network sees and back: 8-bit pictures, or rasters in their own units, types and places.

    python -c "from img2img_hub.translation.pixels import Pixels; from img2img_hub.translation.settings import \\
        TranslationSettings as S; print(Pixels(S()).read('photo.jpg').size)"

The translator puts its network between the two halves of this.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from img2img_hub.errors import counted
from img2img_hub.images.formats import ImageError
from img2img_hub.images.georeference import enlarged_georeference
from img2img_hub.images.picture import mask_image, to_image, to_tensor
from img2img_hub.images.raster import AnyImage, Raster
from img2img_hub.images.read import Decoded, ImageLike
from img2img_hub.images.remarks import look_at, spoken
from img2img_hub.images.resize import enlarged, resized, resized_bands
from img2img_hub.images.slots import Slot, by_nearest, stacked
from img2img_hub.images.values import BandValues, raster_of
from img2img_hub.translation.canvas import Canvas
from img2img_hub.translation.holes import (
    WithHole,
    alpha_after,
    hole_in,
    joined_with_hole,
    known_picture,
    paste,
    shrunk,
)
from img2img_hub.translation.settings import TranslationSettings
from img2img_hub.translation.windows import windows

Finish = Callable[[Tensor, dict[str, Tensor]], Tensor]
"""See `Family.finish`."""
_ROWS = 512  # that are finished at once
_MOST_OUTSIDE = 0.05  # share of a band's pixels beyond the range of training that goes without a word


class Pixels:
    """How the images of one translator are read, and made of what it computes.

    Args:
        scale: what it makes has so many times the size.
        finish: what its family does to an output (`Family.finish`); None for nothing.
    """

    def __init__(self, settings: TranslationSettings, *, scale: int = 1, finish: Finish | None = None) -> None:
        self.settings = settings
        self.scale = scale
        self._finish = finish

    def joined(self, image: ImageLike | Mapping[str, ImageLike], mask: ImageLike | None = None) -> Decoded:
        """One image, of which nothing is decoded yet; or several by name, decoded and put together.

        Args:
            mask: for a model that fills holes, see `holes.with_hole`.

        Raises:
            ImageError: the model takes several and one came, or the other way round; see also `slots.stacked`.
        """
        slots = self.settings.inputs
        if self.settings.hole is not None:
            with spoken():
                return joined_with_hole(image, mask, slots, values=self.settings.target_values)
        if mask is not None:
            raise ImageError("the model fills no holes, and a mask came: leave it out, or take a model that does")
        if len(slots) == 1 and not isinstance(image, Mapping):
            decoded = Decoded.of(image)
            if isinstance(decoded.content, Raster) and slots[0].kind != "labels":  # numbers are checked once more
                return decoded
            return Decoded.of(self._stacked({slots[0].name: decoded}), name=decoded.name)
        if isinstance(image, Mapping):
            if not slots:
                raise ImageError(
                    f"the model takes one image, and {', '.join(map(str, image)) or 'none'} came: give one"
                )
            return Decoded.of(self._stacked(image))
        decoded = Decoded.of(image)
        if slots and not isinstance(decoded.content, Raster):  # a raster may be what was put together before
            stacked({decoded.name: image}, slots)  # says what is needed
        return decoded

    def _stacked(self, images: Mapping[str, ImageLike]) -> Raster:
        with spoken():
            return stacked(images, self.settings.inputs)

    def read(self, image: ImageLike) -> AnyImage:
        """What the network wants of an image: an upright 8-bit picture, or a raster of its bands.

        Raises:
            ImageError: it cannot be read, has other bands, or holds no data.
        """
        decoded = Decoded.of(image)
        with spoken():
            read = self._read(decoded)
            look_at(read, name=decoded.name)
        return read

    def _read(self, image: Decoded) -> AnyImage:
        values = self.settings.source_values
        if values is None:
            return image.picture(channels=self.settings.source_channels)
        if isinstance(image.content, Tensor):
            return raster_of(image.content, values, name=image.name)
        raster = image.raster(bands=values.bands, default_no_data=values.no_data)
        if self.settings.inputs:
            raster = replace(raster, by_nearest=by_nearest(self.settings.inputs))
        if raster.bands != values.bands:
            had = counted(raster.bands, "band")
            raise ImageError(f"{image.name} has {had}, the model takes {values.bands}: give it an image of these bands")
        _warn(raster, values, name=image.name)
        return raster

    def tensor(self, image: AnyImage, *, size: tuple[int, int]) -> Tensor:
        """(C, H, W) float32 in [-1, 1] of what `read` gave, at `size` (width, height); 0 where there is no data, and
        of what lies under a hole."""
        if (place := self.settings.hole) is not None and isinstance(image, Raster):
            image = shrunk(image, size, place)
        image = resized(image, size)
        if not isinstance(image, Raster):
            return to_tensor(image)
        values = self.settings.source_values
        assert values is not None
        return values.to_network(image.array.transpose(2, 0, 1), image.valid)

    def things(self, images: Sequence[AnyImage], *, size: tuple[int, int]) -> Tensor | None:
        """The instances in what `read` gave, whole numbers (N, 1, H, W), at `size` (width, height); None where the
        model reads no map of them."""
        values = self.settings.source_values
        if values is None or not values.edges:
            return None
        rasters = [cast(Raster, resized(image, size)) for image in images]
        return torch.stack(
            [torch.from_numpy(each.array[:, :, values.edges[0]].astype(np.int64))[None] for each in rasters]
        )

    def rows(self, image: AnyImage, first: int, last: int) -> Tensor:
        """(C, last - first, W) of what `tensor` gives at the image's own size."""
        if not isinstance(image, Raster):
            part: AnyImage = image.crop((0, first, image.width, last))
            return self.tensor(part, size=part.size)
        values = self.settings.source_values
        border = 1 if values is not None and values.edges else 0  # an instance's edge is seen from the next row
        above, below = max(first - border, 0), min(last + border, image.height)
        valid = None if image.valid is None else image.valid[above:below]
        part = replace(image, array=image.array[above:below], valid=valid)
        return self.tensor(part, size=part.size)[:, first - above : last - above]

    def canvas(self, width: int, height: int) -> Canvas:
        """What takes a translation of that size row by row, for `finished`."""
        values = self.settings.target_values
        bands, scale = self.settings.target_channels, self.scale
        return Canvas(bands, width * scale, height * scale, picture=values is None or values.is_picture)

    def finished(self, made: Tensor | Image.Image, *, original: ImageLike, source: AnyImage) -> AnyImage:
        """The translation (C, H, W) in [-1, 1] as an image of the source's size times the scale: "L" or "RGB", with the
        original's alpha and colour profile, or a raster in units, with its pixels without data and its georeference.

        A picture of a georeferenced image has that in its `info["georeference"]`. Of a model that makes label maps it
        is an image with a palette ("P"): its numbers are the classes, 255 where the original is transparent.
        """
        values, decoded = self.settings.target_values, Decoded.of(original)
        if self.settings.output is not None:
            return self._classes(made, self.settings.output, source=source, original=decoded)
        if not isinstance(made, Image.Image) and values is not None and not values.is_picture:
            return self._raster(made, values, source=source, original=decoded)
        output = resized(made if isinstance(made, Image.Image) else to_image(made), self._size(source))
        if self._finish is not None:
            output = self._finished_rows(output, source)
        if (place := self.settings.hole) is not None:
            assert isinstance(source, Raster)
            output = Image.composite(output, known_picture(source, place), mask_image(hole_in(source, place)))
        return self._dressed(output, original=decoded, source=source)

    def filled(
        self, source: AnyImage, *, original: ImageLike, make: Callable[[Raster], Tensor | Image.Image], square: bool
    ) -> AnyImage:
        """The image of what `read` gave with its holes filled, as `finished` gives it, window by window.

        Args:
            make: the network's output, (C, H, W) in [-1, 1] or an image, of a part of the source.
            square: whether that makes a square of each part.
        """
        place, values, decoded = self.settings.hole, self.settings.target_values, Decoded.of(original)
        assert place is not None
        assert isinstance(source, Raster)
        raster = values is not None and not values.is_picture
        known = source.array[:, :, :place].astype(values.dtype) if values is not None and raster else None
        made: AnyImage = known_picture(source, place) if known is None else Raster(array=known)
        for box in windows(hole_in(source, place), least=self.settings.working_size, square=square):
            part = source.crop(box)
            paste(made, self.finished(make(part), original=part, source=part), box)
        if isinstance(made, Raster):
            assert values is not None
            return self._placed(made.array, values, source=source, original=decoded)
        return self._dressed(made, original=decoded, source=source)

    def _dressed(self, output: Image.Image, *, original: Decoded, source: AnyImage) -> Image.Image:
        """With the original's alpha, colour profile and georeference."""
        decoded = original
        if isinstance(decoded, WithHole):
            alpha = alpha_after(decoded)
            picture = decoded.photo.picture(channels=self.settings.target_channels)
            profile = picture.info.get("icc_profile")
        elif isinstance(source, Raster):
            alpha = None if source.valid is None else mask_image(enlarged(source.valid, self.scale))
            profile = None
        else:
            alpha = decoded.alpha
            if alpha is not None and decoded.georeference and not any(alpha.histogram()[1:255]):
                # Of a map it says where there is data, and no pixel has half of it; a picture's edges go up smoothly.
                alpha = mask_image(enlarged(np.asarray(alpha) > 0, self.scale))
            profile = source.info.get("icc_profile") if output.mode == source.mode else None
        if alpha is not None:
            output.putalpha(resized(alpha, output.size))  # RGB becomes RGBA, L becomes LA
        if profile:
            output.info["icc_profile"] = profile
        if decoded.georeference:
            output.info["georeference"] = enlarged_georeference(decoded.georeference, self.scale)
        return output

    def _size(self, source: AnyImage) -> tuple[int, int]:
        return source.width * self.scale, source.height * self.scale

    def _finished_rows(self, output: Image.Image, source: AnyImage) -> Image.Image:
        """What the family makes of a picture at its own size, some rows at a time, for the memory's sake."""
        assert self._finish is not None
        done = Image.new(output.mode, output.size)
        for first in range(0, source.height, _ROWS):
            last = min(first + _ROWS, source.height)
            part = output.crop((0, first * self.scale, output.width, last * self.scale))
            made = self._finish(to_tensor(part)[None], self.by_slot(self.rows(source, first, last)[None]))
            done.paste(to_image(made), (0, first * self.scale))
        return done

    def by_slot(self, batch: Tensor) -> dict[str, Tensor]:
        """What the network reads, by the names of its inputs; "source" for one image."""
        slots = self.settings.inputs
        if not slots:
            return {"source": batch}
        parts = batch.split([slot.channels for slot in slots], dim=1)
        return {slot.name: part for slot, part in zip(slots, parts, strict=True)}

    def _classes(self, made: Tensor | Image.Image, slot: Slot, *, source: AnyImage, original: Decoded) -> Image.Image:
        """The class map that the colours of an output are nearest to. Between classes there is no third: the map is
        resized, not its colours."""
        colours = made if isinstance(made, Image.Image) else to_image(made)
        output = slot.indexed(colours).resize(self._size(source), Image.Resampling.NEAREST)
        if self._finish is not None:
            output = slot.indexed(self._finished_rows(output.convert("RGB"), source))
        valid = source.valid if isinstance(source, Raster) else None
        if not isinstance(source, Raster) and original.alpha is not None:
            valid = np.asarray(original.alpha) > 0
        if valid is not None:
            output.paste(slot.none, mask=mask_image(~enlarged(valid, self.scale)))
        if original.georeference:
            output.info["georeference"] = enlarged_georeference(original.georeference, self.scale)
        return output

    def _raster(self, made: Tensor, values: BandValues, *, source: AnyImage, original: Decoded) -> Raster:
        if not bool(torch.isfinite(made).all()):
            raise ImageError("the output holds NaN or infinity: the network that made it has diverged")
        bands, _ = resized_bands(made.float().numpy(), None, size=self._size(source))
        output = torch.from_numpy(bands).clamp(-1, 1)
        if self._finish is not None:
            output = self._finish(output[None], self.by_slot(self.tensor(source, size=source.size)[None]))[0]
        array = values.to_units(output)
        if (place := self.settings.hole) is not None:
            assert isinstance(source, Raster)
            known = ~hole_in(source, place)
            array[known] = source.array[known][:, :place].astype(array.dtype)
        return self._placed(array, values, source=source, original=original)

    def _placed(self, array: np.ndarray, values: BandValues, *, source: AnyImage, original: Decoded) -> Raster:
        """With the original's georeference and pixels without data."""
        valid = source.valid if isinstance(source, Raster) else None
        if not isinstance(source, Raster) and original.alpha is not None:
            valid = np.asarray(original.alpha) > 0
        valid = None if valid is None else enlarged(valid, self.scale)
        no_data = values.no_data
        if isinstance(original, WithHole):  # whose pixels without data are known ones
            no_data = original.no_data if original.no_data is not None else no_data
        elif valid is not None and values.missing is not None:
            array[~valid] = values.missing
        return Raster(
            array=array,
            valid=valid if values.missing is not None or isinstance(original, WithHole) else None,
            no_data=no_data if valid is not None else None,
            georeference=enlarged_georeference(original.georeference, self.scale),
            name=original.name,
        )


def _warn(raster: Raster, values: BandValues, *, name: str) -> None:
    """Say what the network never saw in training: another type, or values beyond its range."""
    now, then = raster.array.dtype, np.dtype(values.dtype)
    if now != then and not (now.kind == then.kind == "f"):
        warnings.warn(f"{name} holds {now}, the model was trained on {then}: are these the same units?", stacklevel=5)
    shares = values.outside(raster)
    worst = max(range(len(shares)), key=shares.__getitem__)
    if shares[worst] > _MOST_OUTSIDE:
        warnings.warn(
            f"{name}: {shares[worst]:.0%} of band {worst + 1} lies beyond the range of training "
            f"({values.low[worst]:.6g} … {values.high[worst]:.6g}), and the network sees only the range's ends there",
            stacklevel=5,
        )


def finish_of(name: str) -> Finish | None:
    """What the family of that name does to outputs; None where it does nothing, or nobody knows it here."""
    if not name:
        return None
    from img2img_hub.families import FAMILIES, Family  # brings the losses, which most of a translator's callers lack

    family = FAMILIES.get(name)
    return None if family is None or family.finish is Family.finish else family.finish
