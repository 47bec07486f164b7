"""The memory that GauGAN and pix2pixHD take at the papers' full width on a CPU: a translation, and a step of training.

    python -m benchmarks.full_width
    python -m benchmarks.full_width --only pix2pixhd --turns 3

Label maps of Cityscapes' 35 classes: a translation of 1024×512 pixels by `Translator`, at once; a step on one image, of
256² (GauGAN) or 1024×512 (pix2pixHD), without a perceptual loss. Each in a process of its own; its peak is what the
system says it had resident in all, program and weights included.
"""

import argparse
import json
import sys
from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from benchmarks.apart import Child, serve
from benchmarks.harness import Case, cores, report, summary
from benchmarks.train_step import Built, our_step
from benchmarks.translate_labels import of_label_maps
from img2img_hub import Architecture, Pix2PixHD, Spade, Translator
from img2img_hub.families import Family

CLASSES = 35
LARGE, SMALL = (512, 1024), (256, 256)
MOST = {  # GiB, as the README has them
    "spade": {"translation": 2.6, "step": 3.4, "step with styles": 3.8},
    "pix2pixhd": {"translation": 1.6, "step": 6.2, "step with an enhancer": 5.7},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(MOST), help="one family (default: both)")
    parser.add_argument("--turns", type=int, default=2, help="steps or translations after the first")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        settings = json.loads(arguments.child)
        serve(translation(settings) if settings["work"] == "translation" else step(settings), settings)
        return 0
    cases: list[Case] = []
    for family in [arguments.only] if arguments.only else MOST:
        for work, most in MOST[family].items():
            settings = {"family": family, "work": work, "threads": arguments.threads}
            child = Child("benchmarks.full_width", settings)
            for _ in range(arguments.turns):
                child.turn()
            peak = child.finish() / 2**30
            print(f"{family}, {work}: {peak:.2f} GiB, the first after {child.first:.1f} s", file=sys.stderr)
            cases.append(summary(f"{family}, {work}: resident GiB", [peak] * 2, target=most, at_most=True))
    return report("full_width", cases)


def build(settings: dict[str, Any]) -> Built:
    """The family's networks as the papers have them, and one batch without end."""
    torch.manual_seed(0)
    work, large = settings["work"], settings["family"] == "pix2pixhd"
    styles, enhancers = 256 if work == "step with styles" else 0, 1 if work == "step with an enhancer" else None
    family: Family = Pix2PixHD(perceptual="none") if large else Spade(perceptual="none", latent=styles)
    height, width = LARGE if large else SMALL
    networks: dict[str, Any] = family.build(
        Architecture(enhancers=enhancers), in_channels=CLASSES, out_channels=3, image_size=width
    )
    target = F.interpolate(torch.rand(1, 3, height // 16, width // 16) * 2 - 1, (height, width), mode="bilinear")
    numbers = torch.from_numpy(blocks(height, width)).long()
    source = F.one_hot(numbers, CLASSES).movedim(-1, 0)[None].float().contiguous()
    return family, networks, cycle([{"source": source, "target": target}])


def blocks(height: int, width: int) -> np.ndarray:
    """(height, width) uint8, squares of 16 pixels of one class each."""
    coarse = np.random.default_rng(0).integers(0, CLASSES, (height // 16, width // 16), dtype=np.uint8)
    return coarse.repeat(16, 0).repeat(16, 1)


def step(settings: dict[str, Any]) -> Callable[[], None]:
    return our_step(
        {"gpu": False} | settings, build, image_size=SMALL[1] if settings["family"] == "spade" else LARGE[1]
    )


def translation(settings: dict[str, Any]) -> Callable[[], object]:
    torch.set_num_threads(settings["threads"])
    family, networks, _ = build(settings)
    generator: Any = networks.pop("generator").eval()
    networks.clear()
    settings_of_maps = of_label_maps(CLASSES, family.norm_statistics or "image")
    translator, numbers = Translator(generator, settings_of_maps, device="cpu"), Image.fromarray(blocks(*LARGE))
    return lambda: translator(numbers)


if __name__ == "__main__":
    sys.exit(main())
