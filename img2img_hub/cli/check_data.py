"""The command that looks at a data set as training would.

python -m img2img_hub check-data --dataset facades --side_by_side --sheet preview.png
"""

import sys
from pathlib import Path

from img2img_hub.data.find.config import DataConfig


def check_data(
    data: DataConfig,
    *,
    unpaired: bool = False,
    split: str | None = None,
    sheet: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Open a data set as training would, say what was found, read every image and name those that cannot be used, what
    was left out, what may be meant as something else than it is read as, and how many pixels each class of label maps
    has.

    Args:
        unpaired: Two sets of images with no correspondence (CycleGAN) rather than pairs (Pix2Pix).
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

    if split is not None:
        parts = {split: open_data(data, paired=not unpaired, split=split)}
    else:
        train, validation = open_train_and_validation(data, paired=not unpaired, seed=0)
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
