"""Images a second of a folder of JPEGs, by the shipped facades model: `translate_folder` against a plain loop.

    python -m benchmarks.translate_folder
    python -m benchmarks.translate_folder --data /data/facades/test

The loop opens, translates and saves one image after the other, by the same model on the same device, to PNGs of the
same settings. Both go through the images in blocks and take turns with each block, 500 images in all.
"""

import argparse
import sys
import tempfile
from itertools import count
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import Case, compare, cores, report
from benchmarks.input_path import label_map
from img2img_hub import Translator
from img2img_hub.translation.folders import translate_folder

TARGET = 1.6
MODEL = Path(__file__).parents[1] / "model_cards/facades-label2photo"
IMAGES = 500


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of JPEGs (default: synthetic label maps, 256 x 256)")
    parser.add_argument("--images", type=int, default=IMAGES, help="how many in all")
    parser.add_argument("--block", type=int, default=50, help="how many a turn")
    parser.add_argument("--batch_size", type=int, default=4, help="of translate_folder, by default its own default")
    parser.add_argument("--threads", type=int, default=cores(), help="of torch")
    parser.add_argument("--device", help="cpu, cuda …")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = sorted((arguments.data or draw(folder / "images", arguments.images)).glob("*.jpg"))[: arguments.images]
        if not paths:
            parser.error(f"{arguments.data} has no .jpg directly in it")
        translator = Translator.from_pretrained(MODEL, device=arguments.device)
        case = measure(translator, paths, folder, block=arguments.block, batch_size=arguments.batch_size)
    return report("translate_folder", [case])


def measure(translator: Translator, paths: list[Path], folder: Path, *, block: int, batch_size: int) -> Case:
    blocks = [paths[first : first + block] for first in range(0, len(paths), block)]
    (folder / "plain").mkdir()
    plain_turns, our_turns = count(), count()

    def plain() -> None:
        for path in blocks[next(plain_turns) % len(blocks)]:
            translator(path).save(folder / "plain" / f"{path.stem}.png")

    def ours() -> None:
        inputs = blocks[next(our_turns) % len(blocks)]
        done = translate_folder(translator, inputs, output=folder / "ours", batch_size=batch_size, overwrite=True)
        assert not done.failures

    case = f"{len(paths)} JPEGs, batches of {batch_size}"
    return compare(case, plain=plain, ours=ours, target=TARGET, turns=max(2, len(blocks)), warm_up=1)


def draw(folder: Path, number: int) -> Path:
    folder.mkdir()
    for index in range(number):
        label_map(np.random.default_rng([3, index])).save(folder / f"{index:03}.jpg", quality=93)
    return folder


if __name__ == "__main__":
    sys.exit(main())
