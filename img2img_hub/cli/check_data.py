"""The command that looks at a data set as training would.

python -m img2img_hub check-data --dataset facades --side_by_side --sheet preview.png
"""

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from img2img_hub.data.find.config import DataConfig

if TYPE_CHECKING:
    from img2img_hub.images.slots import Slot


def check_data(
    data: DataConfig,
    *,
    unpaired: bool = False,
    method: str | None = None,
    scale: int | None = None,
    split: str | None = None,
    sheet: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Open a data set as training would, say what was found, read every image and name those that cannot be used, what
    was left out, what may be meant as something else than it is read as, and how many pixels each class of label maps
    has.

    Args:
        unpaired: Two sets of images with no correspondence (CycleGAN) rather than pairs (Pix2Pix).
        method: Look at the data as this method reads them, such as srgan, inpaint or cyclegan.
        scale: With a method that enlarges: how many times; default: the method's.
        split: Look at this split only; default: what would be trained and validated on.
        sheet: Image file to draw the first few sources and targets into.
        overwrite: Replace the sheet if it is there already.
    """
    from img2img_hub.translation.outputs import check_sheet, save_sheet

    check_sheet(sheet, overwrite=overwrite)

    from img2img_hub.data.find.classes import count_classes
    from img2img_hub.data.find.findings import left_out
    from img2img_hub.data.find.sources import StreamedData, open_data, open_train_and_validation, problems
    from img2img_hub.evaluation.preview import draw_data
    from img2img_hub.images.remarks import noted, told

    paired, slots = (not unpaired, ()) if method is None and scale is None else _read_by(method, scale, unpaired)
    if split is not None:
        parts = {split: open_data(data, paired=paired, split=split, slots=slots)}
    else:
        train, validation = open_train_and_validation(data, paired=paired, seed=0, slots=slots)
        if isinstance(train, StreamedData):
            train = train.preview()
        parts = {"train": train} | ({"validation": validation} if validation is not None else {})
    found = 0
    said: set[str] = set()
    for name, part in parts.items():
        print(f"{name}: {part.description}, split {part.split}")
        with noted() as notes:
            for problem in problems(part):
                print(f"  {problem}", file=sys.stderr)
                found += 1
        for line in [*left_out(part), *told(notes)]:
            if line not in said:  # a held-out part is of the same folders
                print(f"  {line}")
            said.add(line)
        for count in count_classes(part):
            for line in count.describe():
                print(f"  {line}")
    if found:
        things = "images or pairs" if found > 1 else "image or pair"
        print(f"img2img_hub: {found} {things} cannot be used", file=sys.stderr)
        return 1
    for name, part in parts.items():
        for side, values in zip(("sources", "targets"), part.values, strict=True):
            if values is not None:
                print(f"{name}: the {side} have {values.describe()}")
    if sheet is not None:
        save_sheet(draw_data(next(iter(parts.values()))), sheet)
        print(f"{'sheet':18}{sheet}")
    print(
        "every image looked at can be read (of a stream: its first rows)"
        if data.streaming
        else "every image can be read"
    )
    return 0


def _read_by(method: str | None, scale: int | None, unpaired: bool) -> "tuple[bool, tuple[Slot, ...]]":
    """Whether a method learns from pairs, and what it reads. Raises ValueError."""
    from img2img_hub.families import FAMILIES

    if method is None:
        raise ValueError(f"--scale {scale} is of a method that enlarges: name it, as in --method srgan")
    if method not in FAMILIES:
        raise ValueError(f"there is no method {method}: type one of {', '.join(sorted(FAMILIES))}")
    if unpaired:
        raise ValueError(f"--method {method} says what it learns from: leave --unpaired out")
    known = {item.name for item in fields(FAMILIES[method])}
    if scale is not None and "scale" not in known:
        raise ValueError(f"--scale {scale} is of a method that enlarges, and {method} does not: leave it out")
    family = FAMILIES[method](**({} if scale is None else {"scale": scale}))
    return family.paired, family.slots
