"""What a small hole in a large photograph costs, against the whole photograph through the same network.

    python -m benchmarks.fill_hole

A 4000×3000 picture with a hole of 200×200 pixels, by `Translator`: what lies around the hole is all that the network
has to see. On the other side the same network sees all of the picture, and the known pixels are put back.
"""

import argparse
import sys

import numpy as np
import torch
from PIL import Image

from benchmarks.harness import compare, cores, report
from benchmarks.translate_large import synthetic
from img2img_hub import Translator
from img2img_hub.images.raster import Raster
from img2img_hub.images.slots import Slot
from img2img_hub.images.values import MASK, BandValues
from img2img_hub.networks import DilatedResNetGenerator
from img2img_hub.translation.settings import TranslationSettings

TARGET = 0.25
SLOTS = (Slot(name="source", bands=3), Slot(name="mask", kind="hole", bands=1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=4000)
    parser.add_argument("--height", type=int, default=3000)
    parser.add_argument("--hole", type=int, default=200, help="pixels a side")
    parser.add_argument("--turns", type=int, default=3, help="how often both take turns")
    parser.add_argument("--threads", type=int, default=cores(), help="of both")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size = arguments.width, arguments.height
    picture = synthetic().resize(size, Image.Resampling.BICUBIC)
    mask = Image.new("L", size)
    left, top = (side // 3 for side in size)
    mask.paste(255, (left, top, left + arguments.hole, top + arguments.hole))
    model = filler()
    whole = Raster(array=np.dstack([np.asarray(picture), np.asarray(mask)]), by_nearest=(3,))

    def at_once() -> Image.Image:
        source = model.pixels.read(whole)
        made = model.translate_tensor(model.pixels.tensor(source, size=source.size)[None])[0]
        finished = model.pixels.finished(made, original=whole, source=source)
        assert isinstance(finished, Image.Image)
        return finished

    kept = np.asarray(mask) == 0
    for filled in (model(picture, mask=mask), at_once()):
        assert np.array_equal(np.asarray(filled)[kept], np.asarray(picture)[kept])
    case = compare(
        f"{size[0]}×{size[1]} with a hole of {arguments.hole}² / all of it",
        plain=at_once,
        ours=lambda: model(picture, mask=mask),
        target=TARGET,
        at_most=True,
        turns=arguments.turns,
        warm_up=0,
    )
    return report("fill_hole", [case])


def filler() -> Translator:
    torch.manual_seed(0)
    values = BandValues(dtype="uint8", low=(0.0, 0.0, 0.0, MASK[0]), high=(255.0, 255.0, 255.0, MASK[1]), hole=3)
    settings = TranslationSettings(
        family="inpaint", source_channels=4, inputs=SLOTS, source_values=values, working_size=256, crop="native"
    )
    return Translator(DilatedResNetGenerator(width=16).eval(), settings, device="cpu", memory=4)


if __name__ == "__main__":
    sys.exit(main())
