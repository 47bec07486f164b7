"""Draw pairs to try a training with: outlines of shapes, and the shapes painted in the colour of their kind.

    python -m examples.draw_shapes --output data/shapes

OUTPUT holds {train,test}/N.png, outlines left and painted shapes right in one image: train with `--dataset OUTPUT
--side_by_side`; and outlines/N.png, the left halves of test, to translate. They are the same on every machine.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = 64
COLOURS = {"ellipse": "tomato", "rectangle": "royalblue"}
COUNTS = {"train": 200, "test": 12}


def pair(*, seed: int) -> Image.Image:
    """Three shapes at 64 × 64 pixels: their outlines, and beside them the same painted."""
    draw, image = random.Random(seed), Image.new("RGB", (2 * SIZE, SIZE), "white")
    pen = ImageDraw.Draw(image)
    for _ in range(3):
        kind, side = draw.choice(list(COLOURS)), draw.randrange(12, 24)
        x, y = draw.randrange(SIZE - 24), draw.randrange(SIZE - 24)
        for left in (x, x + SIZE):
            colour = COLOURS[kind] if left >= SIZE else "white"
            getattr(pen, kind)((left, y, left + side, y + side), fill=colour, outline="black", width=2)
    return image


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder to write to; made if need be")
    output = parser.parse_args(argv).output
    for split, count in COUNTS.items():
        (output / split).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pair(seed=1000 * len(split) + number).save(output / split / f"{number}.png")
    (output / "outlines").mkdir(exist_ok=True)
    for number in range(COUNTS["test"]):
        whole = Image.open(output / "test" / f"{number}.png")
        whole.crop((0, 0, SIZE, SIZE)).save(output / "outlines" / f"{number}.png")
    print(f"{output}: {COUNTS['train']} pairs to train with, {COUNTS['test']} to look at")


if __name__ == "__main__":
    main()
