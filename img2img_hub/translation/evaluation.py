"""The numbers of a translator on a data set, computed on 8-bit images as a user would get them.

    python -m img2img_hub evaluate --model model_cards/facades-label2photo --dataset facades --side_by_side \\
        --direction BtoA --split test

Paired: L1, PSNR, SSIM against the target. Unpaired: L1 after the round trip, and the sliced Wasserstein distance
between translated and real images.
"""

from statistics import fmean

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from img2img_hub import metrics
from img2img_hub.data.sources import ImageData, PairedData, UnpairedData
from img2img_hub.data.transforms import evaluation_image
from img2img_hub.images import read_image, to_image, to_tensor
from img2img_hub.translation.sheets import sample_sheet
from img2img_hub.translation.translator import Translator

MAX_PSNR = 100.0  # dB, what an output equal to its target counts in the mean, where it would be infinite


def evaluate_paired(
    translator: Translator, data: ImageData, *, image_size: int, limit: int | None = None, progress: bool = False
) -> dict[str, float]:
    """{"l1", "psnr", "ssim"}: means over the images of outputs against targets, in 0–1.

    Both images are resized to image_size × image_size (bicubic), the output is rounded to 8 bits.

    Args:
        image_size: pixels, 11 or more.
        limit: take only the first so many pairs.
        progress: show a progress bar on stderr.

    Raises:
        ValueError: the data are not pairs, or one of them cannot be read.
    """
    if not isinstance(data, PairedData):
        raise ValueError("L1, PSNR and SSIM need pairs of images, and these data are unpaired")
    count = _count(len(data), limit)
    values: dict[str, list[float]] = {"l1": [], "psnr": [], "ssim": []}
    for index in tqdm(range(count), desc="evaluating", unit="image", disable=not progress):
        source, target = data.pair(index)
        output = _unit(_translated(translator, _prepared(source, translator.network.in_channels, image_size)))
        wanted = _unit(_prepared(target, translator.network.out_channels, image_size))
        values["l1"].append(metrics.l1(output, wanted).item())
        values["psnr"].append(min(metrics.psnr(output, wanted).item(), MAX_PSNR))
        values["ssim"].append(metrics.ssim(output, wanted).item())
    return {name: fmean(each) for name, each in values.items()}


def evaluate_unpaired(
    source2target: Translator,
    target2source: Translator | None,
    data: ImageData,
    *,
    image_size: int,
    limit: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, float]:
    """{"cycle_l1_source", "cycle_l1_target", "swd_source", "swd_target"}; without the reverse only "swd_target".

    cycle_l1_source: mean |target2source(source2target(x)) - x| in 0–1, the image in between rounded to 8 bits, so that
    what a network hides below that does not count. swd_target: sliced Wasserstein distance (`metrics.PatchSample`)
    between translated sources and real targets. The other two: the same the other way round.

    Args:
        image_size: pixels, 7 or more; all images are resized to image_size × image_size (bicubic).
        limit: take only the first so many images of each side.
        seed: of the patches and directions of the sliced Wasserstein distance.
        progress: show a progress bar on stderr.

    Raises:
        ValueError: the data are pairs, or one of the images cannot be read.
    """
    if not isinstance(data, UnpairedData):
        raise ValueError("cycle and distance numbers take unpaired data, and these are pairs")
    num_source, num_target = _count(data.num_source, limit), _count(data.num_target, limit)
    real = {"source": metrics.PatchSample(num_source, seed=seed), "target": metrics.PatchSample(num_target, seed=seed)}
    # Translated sources are target images, and as many as there are sources.
    made = {"target": metrics.PatchSample(num_source, seed=seed), "source": metrics.PatchSample(num_target, seed=seed)}
    cycle: dict[str, list[float]] = {"source": [], "target": []}
    generator = source2target.network
    both = (
        ("source", "target", num_source, data.source, generator.in_channels, source2target, target2source),
        ("target", "source", num_target, data.target, generator.out_channels, target2source, source2target),
    )
    with tqdm(total=num_source + num_target, desc="evaluating", unit="image", disable=not progress) as bar:
        for side, other, count, read, bands, forth, back in both:
            for index in range(count):
                image = _prepared(read(index), bands, image_size)
                real[side].add(_unit(image)[0])
                if forth is not None:
                    output = _translated(forth, image)
                    made[other].add(_unit(output)[0])
                    if back is not None:
                        cycle[side].append(metrics.l1(_unit(_translated(back, output)), _unit(image)).item())
                bar.update()
    results = {f"cycle_l1_{side}": fmean(values) for side, values in cycle.items() if values}
    results["swd_target"] = made["target"].distance(real["target"])
    if target2source is not None:
        results["swd_source"] = made["source"].distance(real["source"])
    return results


def draw_samples(
    translator: Translator, data: ImageData, *, image_size: int, reverse: Translator | None = None, count: int = 6
) -> Image.Image:
    """A sheet of `count` images spread over the data: source | output | target for pairs, else source | output and,
    where there is a reverse, back again."""
    available = len(data) if isinstance(data, PairedData) else data.num_source
    count = min(count, _count(available, None))
    rows = []
    for position in range(count):
        index = position * (available - 1) // max(count - 1, 1)
        source = _prepared(data.source(index), translator.network.in_channels, image_size)
        row = [source, _translated(translator, source)]
        if isinstance(data, PairedData):
            row.append(_prepared(data.target(index), translator.network.out_channels, image_size))
        elif reverse is not None:
            row.append(_translated(reverse, row[1]))
        rows.append(row)
    titles = ["source", "output", "target" if isinstance(data, PairedData) else "back again"]
    return sample_sheet(rows, titles=titles[: len(rows[0])])


def _count(available: int, limit: int | None) -> int:
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be 1 or more, got {limit}")
    if available < 1:
        raise ValueError("there are no images to evaluate on")
    return available if limit is None else min(limit, available)


def _prepared(image: Image.Image, channels: int, image_size: int) -> Image.Image:
    return evaluation_image(read_image(image, channels=channels), image_size=image_size)


def _translated(translator: Translator, image: Image.Image) -> Image.Image:
    return to_image(translator.translate_tensor(to_tensor(image)[None]))


def _unit(image: Image.Image) -> Tensor:
    """(1, C, H, W) float64 in [0, 1]."""
    return torch.round(to_tensor(image).double()[None] * 127.5 + 127.5) / 255
