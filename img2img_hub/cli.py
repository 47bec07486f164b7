"""The command line: translate images, evaluate a model, look at a data set, push a model.

    python -m img2img_hub translate photos/ --model model_cards/facades-label2photo --output translated/
    python -m img2img_hub evaluate --model runs/facades --dataset facades --side_by_side --direction BtoA --split test
    python -m img2img_hub check-data --dataset facades --side_by_side --sheet preview.png
    python -m img2img_hub push-model runs/facades --repo_id user/facades
    python -m img2img_hub convert latest_net_G.pth --output models/facades

Exit status: 0; 1 where some images could not be used and the others were; 2, with one line on stderr, for what the
user can mend, and where no image could be used. What is heavy (torch and what needs it) is imported inside the
commands, so that --help is quick.
"""

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
from tqdm import tqdm

from img2img_hub.cli_convert import convert
from img2img_hub.data.config import DataConfig

if TYPE_CHECKING:
    from img2img_hub.translation.translator import Translator

# The HTTP library's own base class, whichever the Hub client uses: a refused connection comes as that.
HTTPError: type[Exception] = HfHubHTTPError.__bases__[0]


def translate(
    inputs: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT…", help_behavior_hint="(one or more)")
    ],
    *,
    model: str,
    output: Path,
    format: Literal["png", "jpg", "webp"] = "png",
    resize: Literal["native", "fit"] | None = None,
    seed: int | None = None,
    device: str | None = None,
    revision: str | None = None,
    overwrite: bool = False,
) -> int:
    """Translate images and all images of folders; each becomes OUTPUT/STEM.png.

    Args:
        inputs: Image files and folders of images (not their subfolders).
        model: Hub id (user/model) or folder of a generator.
        output: Folder to write to; made if need be.
        format: File type of the outputs.
        resize: native keeps the resolution, fit works at the size of training and resizes back; default: the model's.
        seed: Draw a variation (dropout, noise), the same for the same number; default: none, one fixed output.
        device: cpu, cuda, cuda:1, mps …; default: cuda if there is one, else mps, else cpu.
        revision: Branch, tag or commit of the Hub model.
        overwrite: Replace outputs that are there already.
    """
    if seed is not None and seed < 0:
        raise ValueError(f"--seed is {seed}: type a whole number from 0 on")

    from img2img_hub.translation.files import make_folder, plan_outputs, save_output

    jobs = plan_outputs(inputs, folder=output, suffix=f".{format}", overwrite=overwrite)
    translator = _load(model, device=device, revision=revision)
    make_folder(output)
    failures = []
    for source, destination in tqdm(jobs, desc="translating", unit="image"):
        try:
            save_output(translator(source, resize=resize, seed=seed), destination)
        except (ValueError, OSError) as error:
            failures.append(_one_line(error) if str(source) in str(error) else f"{source}: {_one_line(error)}")
    print(f"{len(jobs) - len(failures)} of {len(jobs)} images translated into {output}")
    if failures:
        print("\n".join([f"img2img_hub: {len(failures)} failed:", *failures]), file=sys.stderr)
    return 0 if not failures else 1 if len(failures) < len(jobs) else 2


def evaluate(
    data: DataConfig,
    *,
    model: str,
    split: str = "test",
    image_size: int | None = None,
    limit: int | None = None,
    metrics: Literal["auto", "paired", "unpaired"] = "auto",
    extra_metrics: tuple[Literal["lpips", "fid", "kid"], ...] = (),
    reverse: str | None = None,
    device: str | None = None,
    revision: str | None = None,
    output: Path | None = None,
    sheet: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Measure a model on a data set: L1, PSNR, SSIM, MS-SSIM for pairs, cycle L1 without, sliced Wasserstein distance.

    Prints a table and, as the last line, the same as JSON.

    Args:
        model: Hub id (user/model) or folder of a generator.
        split: Split, or subfolder, of the data set.
        image_size: Pixels; all images are resized to image_size × image_size. Default: the size of training.
        limit: Measure only the first so many pairs, or images a side.
        metrics: Which numbers; auto: those of the family that the model was trained by.
        extra_metrics: Beside those: lpips (pairs only), fid, kid. They need pip install
            torchmetrics torch-fidelity torchvision, and downloads.
        reverse: Unpaired: model of the opposite direction, for the round trip. Default: the one that the model names;
            "none" goes without.
        device: cpu, cuda, cuda:1, mps …; default: cuda if there is one, else mps, else cpu.
        revision: Branch, tag or commit of the Hub model.
        output: JSON file to write the numbers to.
        sheet: Image file to draw a few samples into.
        overwrite: Replace files that are there already.
    """
    from img2img_hub.translation.files import check_free, check_sheet, make_folder, save_sheet

    check_free(output, overwrite=overwrite)
    check_sheet(sheet, overwrite=overwrite)
    if image_size is not None and not 11 <= image_size <= 8192:
        raise ValueError(f"--image_size is {image_size}: type 11 (the window of SSIM) to 8192 pixels")

    from img2img_hub.data.sources import UnpairedData, open_data
    from img2img_hub.families import FAMILIES
    from img2img_hub.metrics import METRICS, metric_names
    from img2img_hub.translation.evaluation import (
        draw_samples,
        evaluate_paired,
        evaluate_unpaired,
        num_images,
        smallest_set,
    )
    from img2img_hub.translation.origin import difference_from_training
    from img2img_hub.translation.perceptual import Perceptual

    translator = _load(model, device=device, revision=revision)
    family = FAMILIES.get(translator.settings.family)
    paired = metrics == "paired" if metrics != "auto" else family is None or family.paired
    metric_names(paired=paired, extra=extra_metrics)  # refuses what these data cannot give
    back = None if paired else _load_reverse(translator, reverse, device=device)
    size = image_size or translator.settings.working_size
    if difference := difference_from_training(translator, data, revision=revision):
        warnings.warn(difference, stacklevel=2)
    channels = {"in_channels": translator.settings.source_channels, "out_channels": translator.settings.target_channels}
    opened = open_data(data, paired=paired, split=split, **channels)
    print(f"{'data':18}{opened.description}")
    perceptual = Perceptual(extra_metrics, image_size=size, device=translator.device)
    for line in [*perceptual.problems, *perceptual.notes(smallest_set(opened, limit))]:
        warnings.warn(line, stacklevel=2)
    if isinstance(opened, UnpairedData):
        numbers = evaluate_unpaired(
            translator, back, opened, image_size=size, limit=limit, perceptual=perceptual, progress=True
        )
    else:
        numbers = evaluate_paired(
            translator, opened, image_size=size, limit=limit, perceptual=perceptual, progress=True
        )
    for key, value in numbers.items():
        metric = METRICS[key]
        print(f"{metric.title:18}{value:.{metric.digits}f}  ({metric.meaning})")
    report = {
        "model": model,
        "dataset": opened.id,
        "split": split,
        "image_size": size,
        "num_images": num_images(opened, limit),
        "norm_statistics": translator.settings.norm_statistics,
        **numbers,
    }
    if sheet is not None:
        save_sheet(draw_samples(translator, opened, image_size=size, reverse=back), sheet)
        print(f"{'sheet':18}{sheet}")
    if output is not None:
        make_folder(output.parent)
        output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report))
    return 0


def check_data(
    data: DataConfig,
    *,
    unpaired: bool = False,
    split: str | None = None,
    sheet: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Open a data set as training would, say what was found, read every image and name those that cannot be used.

    Args:
        unpaired: Two sets of images with no correspondence (CycleGAN) rather than pairs (Pix2Pix).
        split: Look at this split only; default: what would be trained and validated on.
        sheet: Image file to draw the first few sources and targets into.
        overwrite: Replace the sheet if it is there already.
    """
    from img2img_hub.translation.files import check_sheet, save_sheet

    check_sheet(sheet, overwrite=overwrite)

    from img2img_hub.data.sources import StreamedData, open_data, open_train_and_validation, problems
    from img2img_hub.translation.sheets import sample_sheet

    if split is not None:
        parts = {split: open_data(data, paired=not unpaired, split=split)}
    else:
        train, validation = open_train_and_validation(data, paired=not unpaired, seed=0)
        if isinstance(train, StreamedData):
            train = train.preview()
        parts = {"train": train} | ({"validation": validation} if validation is not None else {})
    found = 0
    for name, part in parts.items():
        print(f"{name}: {part.description}, split {part.split}")
        for problem in problems(part):
            print(f"  {problem}", file=sys.stderr)
            found += 1
    if found:
        things = "images or pairs" if found > 1 else "image or pair"
        print(f"img2img_hub: {found} {things} cannot be used", file=sys.stderr)
        return 1
    if sheet is not None:
        part = next(iter(parts.values()))
        rows = [[part.source(index), part.target(index)] for index in range(min(4, len(part)))]
        for row in rows:
            for image in row:
                image.thumbnail((256, 256))
        save_sheet(sample_sheet(rows, titles=["source", "target"]), sheet)
        print(f"{'sheet':18}{sheet}")
    print(
        "every image looked at can be read (of a stream: its first rows)"
        if data.streaming
        else "every image can be read"
    )
    return 0


def push_model(
    folder: Annotated[Path, tyro.conf.Positional],
    *,
    repo_id: str,
    reverse: str | None = None,
    private: bool = False,
    revision: str | None = None,
    commit_message: str = "Upload the generator",
) -> int:
    """Publish a finished generator (weights, settings, model card, sample sheet) on the Hugging Face Hub.

    Log in first: `hf auth login`, or set HF_TOKEN. What people wrote into the card on the Hub is kept.

    Args:
        folder: Folder of the generator: a run's output folder, or source2target or target2source in it.
        repo_id: user/name on the Hub; made if it is not there.
        reverse: Repo of the opposite direction, user/name; default: the folder beside this one, under the like name.
        private: Make a new repo private.
        revision: Branch to push to; default: main.
        commit_message: What the commit says.
    """
    from img2img_hub.hub.patience import Patience, one_try_a_request, patiently
    from img2img_hub.hub.publish import push_folder

    def push() -> str:
        return push_folder(
            folder, repo_id, reverse=reverse, private=private, revision=revision, commit_message=commit_message
        )

    patience = Patience()
    one_try_a_request(silence=patience.silence)
    url = patiently(
        push,
        patience=patience,
        on_failure=lambda reason, wait: print(f"{reason}; again in {wait:.0f} s", file=sys.stderr),
    )
    print(f"pushed to {url}")
    return 0


COMMANDS: dict[str, Callable[..., int]] = {
    "translate": translate,
    "evaluate": evaluate,
    "check-data": check_data,
    "push-model": push_model,
    "convert": convert,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. Raises SystemExit, as argparse does, where the flags themselves are wrong."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"img2img_hub: warning: {message}", file=sys.stderr)
        try:
            return tyro.extras.subcommand_cli_from_dict(
                COMMANDS,
                prog="img2img_hub",
                description="Image-to-image translation: use, measure and share what train_accelerate.py trains.",
                args=arguments,
                config=(tyro.conf.OmitArgPrefixes,),
                use_underscores=True,
            )
        except (ValueError, OSError, HTTPError) as error:
            print(f"img2img_hub: error: {_one_line(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("img2img_hub: stopped", file=sys.stderr)
            return 130


# --- what the commands share ----------------------------------------------------------------------------------------


def _load(model: str, *, device: str | None, revision: str | None = None) -> "Translator":
    from img2img_hub.translation.translator import Translator

    try:
        translator = Translator.from_pretrained(model, device=device, revision=revision)
    except LocalEntryNotFoundError:
        raise ValueError(
            f"model {model} is not in the cache, and the Hub cannot be reached: check the connection, or name a folder"
        ) from None
    print(f"{'model':18}{model}: {translator.describe()}")
    return translator


def _load_reverse(translator: "Translator", reverse: str | None, *, device: str | None) -> "Translator | None":
    named = reverse or translator.reverse
    if named is None:
        print(f"{'reverse':18}none is named, so there is no round trip: --reverse names one")
    if named is None or reverse == "none":
        return None
    try:
        return _load(named, device=device)
    except (ValueError, OSError, HTTPError) as error:
        raise ValueError(
            f"the reverse model {named} cannot be loaded ({_one_line(error)}): "
            "name another by --reverse, or type --reverse none to go without the round trip"
        ) from error


def _one_line(error: BaseException) -> str:
    """An error's message in one line; the Hub's "not found" in words."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, RepositoryNotFoundError):
        text = f"there is no such repo on the Hub, or you may not see it (log in: hf auth login). {text}"
    return text
