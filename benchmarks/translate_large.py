"""Images that do not fit into memory at once: resident memory and time from 2048² to 8192² pixels.

    python -m benchmarks.translate_large
    python -m benchmarks.translate_large --tiles exact --memory 1
    python -m benchmarks.translate_large --scale 4          # 8192² made of 2048² by a compact network
    python -m benchmarks.translate_large --quality          # what fast costs in fidelity, on 1024×768
    python -m benchmarks.translate_large --quality --data a.jpg --model model_cards/facades-label2photo --sheet s.png

Each size is translated by a process of its own, through the one door that everybody uses (Translator: an array of
8 bits in, a picture out); its peak is what the system says it had resident in all, program and images included. The
small image is translated before and after the large one, so that a machine that slows down slows both.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.harness import Case, cores, report
from img2img_hub import Network, ResNetGenerator, Translator
from img2img_hub.images.picture import to_image, to_tensor
from img2img_hub.images.read import read_image
from img2img_hub.networks import CompactGenerator
from img2img_hub.networks.blocks import set_norm_statistics
from img2img_hub.translation.engine import Engine

MOST_RESIDENT = 3.0  # GB
LINEAR = 1.3  # seconds a pixel of the large image against those of the small one


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="an image, enlarged to each size (default: synthetic)")
    parser.add_argument("--small", type=int, default=2048, help="side of the small image")
    parser.add_argument("--large", type=int, default=8192, help="side of the large image")
    parser.add_argument("--scale", type=int, default=1, help="sides are the output's, of a network that enlarges")
    parser.add_argument("--tiles", choices=["fast", "exact"], default="fast")
    parser.add_argument("--memory", type=float, default=1.25, help="GiB that the translation may take")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--quality", action="store_true", help="measure the differences, not the time")
    parser.add_argument("--model", type=Path, help="of --quality, a folder (default: a width-16 resnet_9)")
    parser.add_argument("--sheet", type=Path, help="of --quality: at once, exact and fast by a quarter, tiles")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.child:
        translate(arguments.child, arguments)
        return 0
    if arguments.quality:
        compare_modes(arguments)
        return 0
    small, large = arguments.small, arguments.large
    turns = [child(side) for side in (small, large, small)]
    seconds = sorted(turn["seconds"] for turn in (turns[0], turns[2]))
    ratios = [turns[1]["seconds"] / (large / small) ** 2 / one for one in seconds]
    linear = 2 / (1 / ratios[0] + 1 / ratios[1])  # against the mean of both
    gigabytes = turns[1]["resident"] / 1e9
    how = arguments.tiles + (f", x{arguments.scale}" if arguments.scale > 1 else "")
    return report(
        "translate_large",
        [
            Case(
                case=f"resident GB, {large}², {how}",
                ratio=round(gigabytes, 3),
                target=MOST_RESIDENT,
                at_most=True,
                spread=(round(gigabytes, 3), round(gigabytes, 3)),
            ),
            Case(
                case=f"seconds a pixel, {large}² / {small}², {how}",
                ratio=round(linear, 4),
                target=LINEAR,
                at_most=True,
                spread=(round(ratios[1], 4), round(ratios[0], 4)),
            ),
        ],
    )


def child(side: int) -> dict[str, float]:
    """Translate one image in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.translate_large", *sys.argv[1:], "--child", str(side)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ)
    result = json.loads(answer.stdout.splitlines()[-1])
    print(f"{side}²: {result['seconds']:.1f} s, {result['resident'] / 1e9:.2f} GB resident", file=sys.stderr)
    return result


def translate(side: int, arguments: argparse.Namespace) -> None:
    translator = Translator(model(arguments.scale), tiles=arguments.tiles, memory=arguments.memory)
    image = picture(side // arguments.scale, side // arguments.scale, arguments.data)
    began = time.perf_counter()
    made = translator(image)
    seconds = time.perf_counter() - began
    assert made.size == (side // arguments.scale * arguments.scale,) * 2
    # Kibibytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps({"seconds": seconds, "resident": resident}))


def model(scale: int = 1) -> Network:
    torch.manual_seed(0)
    return (ResNetGenerator(width=16) if scale == 1 else CompactGenerator(scale=scale)).eval()


def picture(width: int, height: int, data: Path | None) -> np.ndarray:
    """(height, width, 3) uint8: the image, or a seeded one with a bright sky, dark ground and detail of all sizes."""
    image = synthetic() if data is None else read_image(data)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def synthetic() -> Image.Image:
    """1024×768."""
    generator = np.random.default_rng(0)
    made = np.linspace(200, 80, 768)[:, None, None] + np.zeros((768, 1024, 3))
    for size, strength in ((4, 60), (16, 30), (64, 20), (512, 15)):  # fewer details of that kind in the sky
        noise = Image.fromarray(generator.integers(0, 256, (size, size, 3), dtype=np.uint8))
        grown = np.asarray(noise.resize((1024, 768), Image.Resampling.BICUBIC), dtype=np.float64) / 127.5 - 1
        made += strength * grown * np.linspace(0.3, 1, 768)[:, None, None]
    return Image.fromarray(made.clip(0, 255).astype(np.uint8))


# --- what the modes differ by -------------------------------------------------------------------------------------


def compare_modes(arguments: argparse.Namespace) -> None:
    """Print how far each mode, and normalising each tile by itself, is from the image at once, at 1024×768."""
    network = model() if arguments.model is None else Network.from_pretrained(arguments.model)
    set_norm_statistics(network, "image")
    batch = to_tensor(Image.fromarray(picture(1024, 768, arguments.data)))[None]
    whole = Engine(network, memory=100)
    at_once = whole(batch)
    sheet = {"at once": at_once}
    print(f"{'1024×768':>12} {'memory':>10} {'largest':>9} {'mean':>9}   (of outputs in -1..1)")
    for share in (1 / 2, 1 / 4, 1 / 8):
        for tiles in ("exact", "fast"):
            memory = share * whole.bytes_a_pixel * batch[0, 0].numel() / 2**30
            made = Engine(network, tiles=tiles, memory=memory)(batch)
            print_row(tiles, f"{memory * 1024:.0f} MiB", made - at_once)
            if share == 1 / 4:
                sheet[tiles] = made
    sheet["by itself"] = tile_by_tile(whole, batch)
    print_row("by itself", "256² tiles", sheet["by itself"] - at_once)
    if arguments.sheet:
        pictures = [to_image(made[0]).resize((512, 384), Image.Resampling.LANCZOS) for made in sheet.values()]
        Image.fromarray(np.concatenate([np.asarray(picture) for picture in pictures], axis=1)).save(arguments.sheet)


def print_row(name: str, memory: str, difference: Tensor) -> None:
    print(f"{name:>12} {memory:>10} {float(difference.abs().max()):9.2g} {float(difference.abs().mean()):9.2g}")


def tile_by_tile(engine: Engine, batch: Tensor, *, side: int = 256, halo: int = 64) -> Tensor:
    """What this product does not do: each tile normalised with its own statistics."""
    made = torch.empty_like(batch)
    for top in range(0, batch.shape[2], side):
        for left in range(0, batch.shape[3], side):
            above, before = max(top - halo, 0), max(left - halo, 0)
            tile = engine(batch[:, :, above : top + side + halo, before : left + side + halo])
            inner = tile[:, :, top - above : top - above + side, left - before : left - before + side]
            made[:, :, top : top + side, left : left + side] = inner
    return made


if __name__ == "__main__":
    sys.exit(main())
