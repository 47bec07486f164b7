"""The command that translates images and folders of images.

python -m img2img_hub translate photos/ --model model_cards/facades-label2photo --output translated/
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tqdm import tqdm

from img2img_hub.cli.shared import load, one_line


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
    translator = load(model, device=device, revision=revision)
    make_folder(output)
    failures = []
    for source, destination in tqdm(jobs, desc="translating", unit="image"):
        try:
            save_output(translator(source, resize=resize, seed=seed), destination)
        except (ValueError, OSError) as error:
            failures.append(one_line(error) if str(source) in str(error) else f"{source}: {one_line(error)}")
    print(f"{len(jobs) - len(failures)} of {len(jobs)} images translated into {output}")
    if failures:
        print("\n".join([f"img2img_hub: {len(failures)} failed:", *failures]), file=sys.stderr)
    return 0 if not failures else 1 if len(failures) < len(jobs) else 2
