"""The images of one side of a translator, for whoever measures or draws them: prepared, translated, as numbers, shown.

    from img2img_hub.evaluation.measured_images import prepared, translated
    output = translated(translator, prepared(data.source(0), translator, "source", 256))

A side is "source" or "target", as the translator has them; its images are 8-bit pictures or rasters.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from img2img_hub.evaluation.metrics import confusion
from img2img_hub.families import FAMILIES, Family
from img2img_hub.images.formats import ImageError
from img2img_hub.images.picture import MODES, to_image, to_tensor
from img2img_hub.images.raster import AnyImage, Raster
from img2img_hub.images.read import Decoded, read_raster
from img2img_hub.images.resize import enlarged, held, resized
from img2img_hub.images.slots import Slot, shown_parts
from img2img_hub.images.values import BandValues
from img2img_hub.translation.translator import Translator

LEAST = 16  # pixels of a source a side: SSIM's window is of 11, beside a border of the scale of what is made


def prepared(image: AnyImage, translator: Translator, side: str, image_size: int | None) -> AnyImage:
    """An image of that side of the translator at that size, a target at so many times it as the translator makes, of
    the bands and type that the translator has there; None for the image's own size, or where that is too small to be
    measured the next of its shape that is not."""
    scale = translator.network.scale if side == "target" else 1
    size = held(image.size, least=(LEAST, LEAST), scale=scale) if image_size is None else (image_size * scale,) * 2
    values, decoded = _values(translator, side), Decoded.of(image)
    if values is None:
        bands = translator.network.in_channels if side == "source" else translator.network.out_channels
        return resized(decoded.picture(channels=bands), size)
    if side == "source" and isinstance(image, Image.Image):  # of class numbers, or a mask
        decoded = translator.pixels.joined(image)
    raster = decoded.raster(default_no_data=values.no_data)
    if raster.bands != values.bands:
        raise ImageError(f"{raster.name} has {raster.bands} bands, the {side}s of the model have {values.bands}")
    if raster.array.dtype.name != values.dtype:
        raise ImageError(f"{raster.name} holds {raster.array.dtype}, the {side}s of the model {values.dtype}")
    return resized(raster, size)


def translated(translator: Translator, image: AnyImage) -> AnyImage:
    """The translation of a prepared image, of the type that a user gets."""
    made = translator.translate_tensor(translator.pixels.tensor(image, size=image.size)[None])
    output = translator.pixels.finished(made[0].cpu(), original=image, source=image)
    if isinstance(output, Raster):
        return output
    if translator.settings.target_values is None:
        return output.convert(MODES[translator.network.out_channels])
    return read_raster(output)  # a picture's alpha says what is missing


def unit(image: AnyImage, translator: Translator, side: str) -> Tensor:
    """(1, C, H, W) float64 in [0, 1]."""
    values = _values(translator, side)
    if values is not None:
        raster = image if isinstance(image, Raster) else read_raster(image)
        return (values.to_network(raster.array.transpose(2, 0, 1), raster.valid)[None].double() + 1) / 2
    assert isinstance(image, Image.Image)
    return unit_of_picture(image)


def unit_of_picture(image: Image.Image) -> Tensor:
    """The same, of an 8-bit picture alone."""
    return torch.round(to_tensor(image).double()[None] * 127.5 + 127.5) / 255


def where_known(output: Tensor, wanted: Tensor, *images: AnyImage) -> tuple[Tensor, float]:
    """The output with the wanted values where one of the images has no data, and the share where all have: 0 for a
    pair that nothing can be said of."""
    known = _known(output.shape[-1], images)
    if known is None:
        return output, 1.0
    return torch.where(known, output, wanted), float(known.double().mean())


def class_counts(output: Tensor, wanted: Tensor, *images: AnyImage, slot: Slot) -> Tensor:
    """`metrics.confusion` of outputs and targets in the colours of their classes, (1, 3, H, W) in [0, 1], where none of
    the images is without data."""
    made, real = (torch.from_numpy(slot.numbers_of(to_image(each.float() * 2 - 1))) for each in (output, wanted))
    return confusion(made, real, classes=slot.classes, known=_known(output.shape[-1], images))


def _known(width: int, images: Sequence[AnyImage]) -> Tensor | None:
    """(H, W) bool, where all images have data, at the width of the largest; None where all have everywhere."""
    masks = [
        enlarged(image.valid, width // image.width)
        for image in images
        if isinstance(image, Raster) and image.valid is not None
    ]
    return torch.from_numpy(np.logical_and.reduce(masks)) if masks else None


def shown(image: AnyImage, translator: Translator, side: str) -> Image.Image:
    """For a sheet: a raster's first bands, its range from black to white."""
    values = _values(translator, side)
    if isinstance(image, Raster) and values is not None:
        return values.preview(image)
    assert isinstance(image, Image.Image)
    return image


def shown_sources(image: AnyImage, translator: Translator) -> dict[str, Image.Image]:
    """For a sheet: a source, or each of the images that make it, by what they are called; "" for one image."""
    values = translator.settings.source_values
    if not translator.settings.inputs or values is None or not isinstance(image, Raster):
        return {"": shown(image, translator, "source")}
    return shown_parts(image, translator.settings.inputs, values)


def shown_by_family(translator: Translator, source: AnyImage, made: AnyImage) -> dict[str, Image.Image]:
    """For a sheet: the columns that the family adds."""
    family = family_of(translator)
    if family.show is Family.show:
        return {}
    output, inputs = as_tensors(translator, source, made)
    return {title: to_image(column) for title, column in family.show(output, inputs).items()}


def family_of(translator: Translator) -> type[Family]:
    """Its family, for what that measures and shows by itself; where nobody knows it here, one that does nothing."""
    return FAMILIES.get(translator.settings.family, Family)


def as_tensors(translator: Translator, source: AnyImage, made: AnyImage) -> tuple[Tensor, dict[str, Tensor]]:
    """What a family's own measures and columns take: the output and the inputs by slot, in [-1, 1]."""
    inputs = translator.pixels.by_slot(translator.pixels.tensor(source, size=source.size)[None])
    return unit(made, translator, "target").float() * 2 - 1, inputs


def _values(translator: Translator, side: str) -> BandValues | None:
    return translator.settings.source_values if side == "source" else translator.settings.target_values
