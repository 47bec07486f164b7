"""What FD, KD, FID and KID of a translator are to be read against: a floor and a ceiling on the same real images.

    python -m img2img_hub evaluate --model model_cards/facades-label2photo --dataset facades --side_by_side \\
        --direction BtoA --split test --perceptual_features lite0

The floor is the distance of real images of training to the real ones that are measured: what other images get that are
as real as can be. The ceiling is that of the inputs themselves: what doing nothing gets.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from torch import Tensor
from tqdm import tqdm

from img2img_hub.data.find.sources import ImageData, PairedData
from img2img_hub.evaluation.measure import Share
from img2img_hub.evaluation.measured_images import prepared, shown, shown_sources, unit, unit_of_picture
from img2img_hub.evaluation.perceptual import Perceptual
from img2img_hub.images.raster import AnyImage
from img2img_hub.images.resize import resized
from img2img_hub.translation.translator import Translator

Side = Literal["source", "target"]
_OF_DISTANCES = ("floor", "ceiling")
REFERENCES = (*_OF_DISTANCES, "bicubic")
"""What stands beside a number, under its name and this."""


def reference_distances(
    translator: Translator,
    data: ImageData,
    *,
    training: ImageData | None,
    image_size: int | None,
    perceptual: Perceptual,
    cycles: bool = False,
    limit: int | None = None,
    share: Share | None = None,
    progress: bool = False,
) -> dict[str, float]:
    """{"fd_lite0_target_floor", "fd_lite0_target_ceiling" …}, of each distance of sets that `perceptual` measures.

    For the floor as many images as a translator would make are taken, spread evenly over those of training, or all
    there are; what is measured itself is no part of them. Inputs are measured as a sample sheet shows them, label maps
    in colours, at the outputs' size. Where fewer than two images are left, or several make one input, there is none.

    Args:
        translator: from "source" to "target".
        data: what is measured, as for `evaluate_paired` and `evaluate_unpaired`.
        training: the data of training, None for no floor.
        cycles: sources are made, too.
        image_size, limit, share, progress: as there; {} for all processes but the first.

    Raises:
        ValueError: an image cannot be read.
    """
    share = share or Share()
    sides: tuple[Side, ...] = ("target", "source") if cycles else ("target",)
    own: dict[Side, dict[str, dict[int, dict[str, Tensor]]]] = {}
    for side in sides if perceptual.wants_features else ():
        other: Side = "source" if side == "target" else "target"
        real = partial(_real, translator=translator, side=side, image_size=image_size)
        as_shown = partial(_as_shown, translator=translator, side=other, image_size=image_size)
        num_real, num_made = _count(data, side, limit), _count(data, other, limit)
        rows = [] if training is None else _not_measured(training, data, side, num_real)
        sets: dict[str, tuple[ImageData | None, Side, Sequence[int], Callable[[AnyImage], Tensor | None]]] = {
            "real": (data, side, range(num_real), real),
            "floor": (training, side, _spread(rows, num_made), real),
            "ceiling": (data, other, range(num_made), as_shown),
        }
        own[side] = {}
        for name, (images, which, indices, tensor) in sets.items():
            found = own[side][name] = {}
            for place in tqdm(share.places(len(indices)), desc=f"{side}, {name}", disable=not progress):
                if (image := tensor(getattr(images, which)(indices[place]))) is not None:
                    found[place] = perceptual.features(image)
    parts = share.gather(own)
    if share.index:
        return {}
    results: dict[str, float] = {}
    for side in own:
        whole = {name: {k: v for part in parts for k, v in part[side][name].items()} for name in own[side]}
        for name in _OF_DISTANCES:
            if len(whole[name]) > 1:
                distances = perceptual.distances(whole[name], whole["real"])
                results |= {f"{kind}_{side}_{name}": value for kind, value in distances.items()}
    return results


def _count(data: ImageData, side: Side, limit: int | None) -> int:
    available = len(data) if isinstance(data, PairedData) else getattr(data, f"num_{side}")
    return available if limit is None else min(limit, available)


def _not_measured(training: ImageData, data: ImageData, side: Side, count: int) -> list[int]:
    """Which images of training are none of the first `count` of the data."""
    ours, theirs = training.sides[side], data.sides[side]
    measured = {theirs.images.where(row) for row in theirs.rows[:count].tolist()}
    return [index for index, row in enumerate(ours.rows.tolist()) if ours.images.where(row) not in measured]


def _spread(indices: list[int], count: int) -> list[int]:
    """At most `count` of them, evenly."""
    if len(indices) <= count:
        return indices
    return [indices[place] for place in np.linspace(0, len(indices) - 1, count).round().astype(int)]


def _real(image: AnyImage, *, translator: Translator, side: Side, image_size: int | None) -> Tensor:
    return unit(prepared(image, translator, side, image_size), translator, side)


def _as_shown(image: AnyImage, *, translator: Translator, side: Side, image_size: int | None) -> Tensor | None:
    """An input as a picture of the output's size, (1, 3, H, W) in [0, 1]; None where it is several."""
    image = prepared(image, translator, side, image_size)
    scale = translator.network.scale if side == "source" else 1
    size = image.width * scale, image.height * scale
    parts = list(shown_sources(image, translator).values() if side == "source" else [shown(image, translator, side)])
    return unit_of_picture(resized(parts[0].convert("RGB"), size)) if len(parts) == 1 else None
