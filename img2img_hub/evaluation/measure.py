"""The numbers of a translator on a data set, computed on images as a user would get them, of 8 bits or of rasters.

    python -m img2img_hub evaluate --model model_cards/facades-label2photo --dataset facades --side_by_side \\
        --direction BtoA --split test

Paired: L1, PSNR, SSIM, MS-SSIM against the target. Unpaired: L1 after the round trip. Both: the sliced Wasserstein
distance between translated and real images, for L1 and its like prefer a blur to texture that is a little off.
Numbers by trained networks (FD, KD, PD, LPIPS, FID, KID) where perceptual.py could load these.
"""

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from PIL import Image
from torch import Tensor
from tqdm import tqdm

from img2img_hub.data.find.sources import ImageData, PairedData, UnpairedData
from img2img_hub.evaluation import metrics
from img2img_hub.evaluation.measured_images import (
    as_tensors,
    class_counts,
    family_of,
    prepared,
    shown,
    shown_by_family,
    shown_sources,
    translated,
    unit,
    where_known,
)
from img2img_hub.evaluation.perceptual import Perceptual
from img2img_hub.evaluation.sheets import alike, sample_sheet
from img2img_hub.images.raster import AnyImage, Raster
from img2img_hub.images.resize import resized
from img2img_hub.translation.translator import Translator

MAX_PSNR = 100.0  # dB, what an output equal to its target counts in the mean, where it would be infinite


@dataclass(frozen=True)
class Share:
    """One process's part of an evaluation: the images `index`, `index + of`, `index + 2 of` … of each set.

    All processes call the evaluation together. Process 0 has the numbers, the same to the last bit as if it had been
    alone; for the others the result is {}.
    """

    index: int = 0
    of: int = 1
    gather: Callable[[Any], list[Any]] = lambda own: [own]
    """Brings the parts of all processes, in the order of their `index`, to process 0 at least."""

    def places(self, count: int) -> range:
        return range(self.index, count, self.of)


def evaluate_paired(
    translator: Translator,
    data: ImageData,
    *,
    image_size: int | None,
    limit: int | None = None,
    seed: int = 0,
    perceptual: Perceptual | None = None,
    share: Share | None = None,
    progress: bool = False,
) -> dict[str, float]:
    """{"l1", "psnr", "ssim", "ms_ssim", "swd_target"}: outputs against targets, in 0–1.

    The first four are means over the images; swd_target is the sliced Wasserstein distance (`metrics.PatchSample`)
    between all outputs and all targets. `perceptual` adds "pd_lite0" and "lpips" (means, too), "fd_lite0_target",
    "fid_target" and their like. Both images are resized to image_size × image_size (bicubic), or keep their own size;
    the output is rounded to 8 bits.

    Of rasters 0 and 1 are the ends of each band's range in training, and outputs are rounded to their own type: l1
    times a band's range is the error in its units. Pixels without data, in source or target, are left out of l1 and
    psnr; the others, which compare neighbourhoods, take them as equal.

    Of a model that makes pictures larger "psnr_y" and "ssim_y" are beside them, as in tables of super-resolution
    (`metrics.luma`): of luminance, without as many pixels at each edge as the scale.

    Of a model that makes label maps these are of the classes' colours, and beside them are "pixel_accuracy",
    "class_accuracy" and "mean_iou" of the classes themselves (`metrics.of_classes`).

    Args:
        image_size: pixels of a source a side, 11 or more; None for each image's own size.
        limit: take only the first so many pairs.
        seed: of the patches and directions of the sliced Wasserstein distance.
        share: this process's part, where several measure together.
        progress: show a progress bar on stderr.

    Raises:
        ValueError: the data are not pairs, or one of them cannot be read.
    """
    if not isinstance(data, PairedData):
        raise ValueError("L1, PSNR and SSIM need pairs of images, and these data are unpaired")
    count, share, perceptual = _count(len(data), limit), share or Share(), perceptual or Perceptual()
    varied = image_size is None
    sets = _Sets(made=count, real=count, seed=seed, perceptual=perceptual, varied=varied)
    rows, family, slot = [], family_of(translator), translator.settings.output
    counts = []  # of the classes of label maps
    for index in tqdm(share.places(count), desc="evaluating", unit="image", disable=not progress):
        source, target = data.pair(index)
        image = prepared(source, translator, "source", image_size)
        made = translated(translator, image)
        real = prepared(target, translator, "target", image_size)
        output, wanted = unit(made, translator, "target"), unit(real, translator, "target")
        output, share_known = where_known(output, wanted, image, made, real)
        if not share_known:  # a map of few labelled pixels, of which none is left at this size
            _leave_out(target, index)
            continue
        whole, by_scales = metrics.ssim_and_ms_ssim(output, wanted)
        row = {
            "l1": metrics.l1(output, wanted).item() / share_known,
            "psnr": min(metrics.psnr(output, wanted).item() + 10 * math.log10(share_known), MAX_PSNR),
            "ssim": whole.item(),
            "ms_ssim": by_scales.item(),
            **perceptual.compare(output, wanted),
        }
        if enlarges_pictures(translator):
            border = translator.network.scale
            bicubic = unit(resized(prepared(image, translator, "target", None), real.size), translator, "target")
            for name, made_larger in (("", output), ("_bicubic", bicubic)):
                row[f"psnr_y{name}"] = min(metrics.psnr_y(made_larger, wanted, border=border).item(), MAX_PSNR)
                row[f"ssim_y{name}"] = metrics.ssim_y(made_larger, wanted, border=border).item()
        if family.metrics:
            row |= family.measure(*as_tensors(translator, image, made), wanted.float() * 2 - 1)
        rows.append(row)
        if slot is not None:
            counts.append(class_counts(output, wanted, image, made, real, slot=slot))
        sets.add("made", output, index=index)
        sets.add("real", wanted, index=index)
    parts = share.gather((rows, sets.own, counts))
    if share.index:
        return {}
    rows = [row for theirs, _, _ in parts for row in theirs]
    if not rows:
        raise ValueError("no pair has a pixel where source and target both have data: there is nothing to measure")
    for _, theirs, _ in parts:
        sets.merge(theirs)
    means = {name: fmean(row[name] for row in rows) for name in rows[0] if name not in family.metrics}
    own = {name: _mean_of_known(row[name] for row in rows) for name in family.metrics}
    found = means | sets.distances("target") | own
    counts = [each for _, _, theirs in parts for each in theirs]
    return found | (metrics.of_classes(counts) if counts else {})


def evaluate_unpaired(
    source2target: Translator,
    target2source: Translator | None,
    data: ImageData,
    *,
    image_size: int | None,
    limit: int | None = None,
    seed: int = 0,
    perceptual: Perceptual | None = None,
    share: Share | None = None,
    progress: bool = False,
) -> dict[str, float]:
    """{"cycle_l1_source", "cycle_l1_target", "swd_target", "swd_source"}; without the reverse only "swd_target".

    cycle_l1_source: mean |target2source(source2target(x)) - x| in 0–1, the image in between rounded to 8 bits, so that
    what a network hides below that does not count. swd_target: sliced Wasserstein distance (`metrics.PatchSample`)
    between translated sources and real targets. The other two: the same the other way round. `perceptual` adds
    "fd_lite0_target", "kd_lite0_target", "fid_target" … and the like of the sources.

    Args:
        image_size: pixels, 7 or more; all images are resized to image_size × image_size (bicubic). None: each at its
            own size.
        limit: take only the first so many images of each side.
        seed: of the patches and directions of the sliced Wasserstein distance.
        share: this process's part, where several measure together.
        progress: show a progress bar on stderr.

    Raises:
        ValueError: the data are pairs, or one of the images cannot be read.
    """
    if not isinstance(data, UnpairedData):
        raise ValueError("cycle and distance numbers take unpaired data, and these are pairs")
    share, perceptual = share or Share(), perceptual or Perceptual()
    num_source, num_target = _count(data.num_source, limit), _count(data.num_target, limit)
    # Translated sources are target images, and as many as there are sources.
    of_all: dict[str, Any] = {"seed": seed, "perceptual": perceptual, "varied": image_size is None}
    sets = {"target": _Sets(made=num_source, real=num_target, **of_all)}
    if target2source is not None:
        sets["source"] = _Sets(made=num_target, real=num_source, **of_all)
    cycle: dict[str, list[float]] = {"source": [], "target": []}
    both = (
        ("source", "target", num_source, data.source, source2target, target2source),
        ("target", "source", num_target, data.target, target2source, source2target),
    )
    total = len(share.places(num_source)) + len(share.places(num_target))
    with tqdm(total=total, desc="evaluating", unit="image", disable=not progress) as bar:
        for side, other, count, read, forth, back in both:
            for index in share.places(count):
                image = prepared(read(index), source2target, side, image_size)
                before = unit(image, source2target, side)
                if side in sets:
                    sets[side].add("real", before, index=index)
                if forth is not None:
                    output = translated(forth, image)
                    sets[other].add("made", unit(output, source2target, other), index=index)
                    if back is not None:
                        again = translated(back, output)
                        after, known = where_known(unit(again, source2target, side), before, again, image)
                        if known:
                            cycle[side].append(metrics.l1(after, before).item() / known)
                        else:
                            _leave_out(image, index)
                bar.update()
    parts = share.gather((cycle, {side: each.own for side, each in sets.items()}))
    if share.index:
        return {}
    for _, theirs in parts:
        for side, own in theirs.items():
            sets[side].merge(own)
    values = {side: [value for theirs, _ in parts for value in theirs[side]] for side in cycle}
    results = {f"cycle_l1_{side}": fmean(each) for side, each in values.items() if each}
    for side, each in sets.items():
        results |= each.distances(side)
    return results


def draw_samples(
    translator: Translator,
    data: ImageData,
    *,
    image_size: int | None,
    reverse: Translator | None = None,
    count: int = 6,
    backwards: bool = False,
    names: tuple[str, str] = ("source", "target"),
) -> Image.Image:
    """A sheet of `count` images spread over the data: source | output | target for pairs, else source | output and,
    where there is a reverse, back again.

    Args:
        backwards: `translator` makes sources of targets; unpaired data only.
        names: what sources and targets are, for the titles.
    """
    paired = isinstance(data, PairedData)
    read, available = data.source, data.num_source if isinstance(data, UnpairedData) else len(data)
    if backwards and isinstance(data, UnpairedData):
        read, available = data.target, data.num_target
    count = min(count, _count(available, None))
    rows = []
    for position in range(count):
        index = position * (available - 1) // max(count - 1, 1)
        source = prepared(read(index), translator, "source", image_size)
        row = [source, translated(translator, source)]
        if paired:
            row.append(prepared(data.target(index), translator, "target", image_size))
        elif reverse is not None:
            row.append(translated(reverse, row[1]))
        sources, own = shown_sources(source, translator), shown_by_family(translator, source, row[1])
        others = zip(row[1:], ("target", "target" if paired else "source"), strict=False)
        output, *rest = (shown(image, translator, side) for image, side in others)
        cells = [*sources.values(), *own.values(), output, *rest]
        rows.append(cells if image_size is not None else alike(cells, size=output.size))
    titles = [name or (names[1] if backwards else names[0]) for name in sources]
    if image_size is None and translator.network.scale > 1:
        titles = [f"{title}, enlarged" for title in titles]
    titles += [*own, "output", names[1] if paired else "back again"]
    return sample_sheet(rows, titles=titles[: len(rows[0])])


def enlarges_pictures(translator: Translator) -> bool:
    """Whether "psnr_y" and "ssim_y" are measured: rasters' bands are no red, green and blue."""
    settings = translator.settings
    return translator.network.scale > 1 and settings.source_values is None and settings.target_values is None


def num_images(data: ImageData, limit: int | None = None) -> int:
    """Pairs, or images of the larger side, that an evaluation with this limit measures."""
    return _count(len(data), limit)


def smallest_set(data: ImageData, limit: int | None = None) -> int:
    """Pairs, or images of the smaller side: what the distances between sets, FID above all, depend on."""
    sides = (data.num_source, data.num_target) if isinstance(data, UnpairedData) else (len(data),)
    return min(_count(side, limit) for side in sides)


# --- inside -----------------------------------------------------------------------------------------------------------

_Part = dict[str, tuple[dict[int, list[Tensor]], dict[int, dict[str, Tensor]]]]


class _Sets:
    """Made and real images of one kind, as samples for the distances between them."""

    def __init__(self, *, made: int, real: int, seed: int, perceptual: Perceptual, varied: bool) -> None:
        perceptual.notes(min(made, real))  # refuses sets that have no distance
        self.perceptual = perceptual
        self.samples = {
            kind: metrics.PatchSample(n, seed=seed, varied=varied) for kind, n in (("made", made), ("real", real))
        }
        self.features: dict[str, dict[int, dict[str, Tensor]]] = {"made": {}, "real": {}}

    def add(self, kind: str, image: Tensor, *, index: int) -> None:
        """Take note of one (1, C, H, W) image in [0, 1], "made" or "real"."""
        self.samples[kind].add(image[0], index=index)
        if self.perceptual.wants_features:
            self.features[kind][index] = self.perceptual.features(image)

    @property
    def own(self) -> _Part:
        """What other processes need of this one's images: tensors alone, they are pickled on the way."""
        return {kind: (sample.patches, self.features[kind]) for kind, sample in self.samples.items()}

    def merge(self, part: _Part) -> None:
        for kind, (patches, features) in part.items():
            self.samples[kind].patches.update(patches)
            self.features[kind].update(features)

    def distances(self, side: str) -> dict[str, float]:
        """{"swd_target", "fd_lite0_target" …}."""
        found = {"swd": self.samples["made"].distance(self.samples["real"])}
        if self.perceptual.wants_features:
            found |= self.perceptual.distances(self.features["made"], self.features["real"])
        return {f"{name}_{side}": value for name, value in found.items()}


def _mean_of_known(values: Iterable[float]) -> float:
    """Of those that are numbers: of an image of which nothing can be said a family gives nan."""
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan


def _leave_out(image: AnyImage, index: int) -> None:
    name = image.name if isinstance(image, Raster) and image.name else f"pair {index + 1}"
    warnings.warn(
        f"{name} has no pixel where source and target both have data, at the size of the evaluation: it is left out of "
        "the numbers",
        stacklevel=3,
    )


def _count(available: int, limit: int | None) -> int:
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be 1 or more, got {limit}")
    if available < 1:
        raise ValueError("there are no images to evaluate on")
    return available if limit is None else min(limit, available)
