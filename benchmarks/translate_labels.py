"""How long the label map of a 256² picture takes on this CPU by the fastest backend, against PyTorch.

    python -m benchmarks.translate_labels

A map of class numbers goes in and a picture comes out, by `Translator` on both sides, in float32: the GauGAN generator
(narrow by default, for a CPU) and the U-Net of the published width that reads such maps. OpenVINO or ONNX Runtime is
taken, whichever is quicker here; what their networks make of the map is compared with PyTorch's before anything is
timed. GauGAN in PyTorch is this library's and, in a case of its own, its layers written down plainly, see
`benchmarks.spade`.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from benchmarks.harness import Case, compare, cores, report, seconds
from benchmarks.spade import CLASSES, SIZE, enliven, plain_generator, read_batches
from img2img_hub import SpadeGenerator, Translator, UNetGenerator
from img2img_hub.images.slots import Slot
from img2img_hub.images.values import BandValues
from img2img_hub.networks.base import Generator
from img2img_hub.networks.blocks import NormStatistics
from img2img_hub.runtimes.backends import Backend, Forward, make_forward
from img2img_hub.runtimes.export import write_onnx
from img2img_hub.translation.settings import TranslationSettings

TARGET = 0.7
TOLERANCE = 1e-4  # of values in [-1, 1]
BACKENDS: tuple[Backend, ...] = ("openvino", "onnx")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16, help="of the GauGAN generator (paper: 64)")
    parser.add_argument("--hidden", type=int, default=32, help="channels in which its norms read the map (paper: 128)")
    parser.add_argument("--turns", type=int, default=15, help="how often both backends take turns")
    parser.add_argument("--threads", type=int, default=cores(), help="of both")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    spade = SpadeGenerator(in_channels=CLASSES, width=arguments.width, hidden=arguments.hidden)
    with tempfile.TemporaryDirectory() as name:
        folder, turns = Path(name), arguments.turns
        cases = [
            *latency(f"spade, width {arguments.width}", enliven(spade), "running", folder=folder, turns=turns),
            *latency("unet_256", UNetGenerator(in_channels=CLASSES), "image", folder=folder, turns=turns),
        ]
    return report("translate_labels", cases)


def latency(name: str, network: Generator, statistics: NormStatistics, *, folder: Path, turns: int) -> list[Case]:
    """Of a network with random weights: time does not depend on them."""
    channels = read_batches()[0]["source"]
    numbers = Image.fromarray(channels[0].argmax(0).numpy().astype(np.uint8))
    settings = of_label_maps(CLASSES, statistics)

    def translator(forward: Forward | None) -> Translator:
        return Translator(network, settings, device="cpu", forward=forward)

    peers = {"PyTorch": translator(None)}
    if isinstance(network, SpadeGenerator):
        peers["its layers written down plainly in PyTorch"] = translator(plain_generator(network).eval())
    file = folder / f"{type(network).__name__}.onnx"
    write_onnx(network, file, size=(SIZE, SIZE))
    backends = {each: translator(make_forward(network, each, onnx_file=file)) for each in BACKENDS}
    expected = peers["PyTorch"].translate_tensor(channels)
    for who, each in [*backends.items(), *peers.items()]:
        difference = float((each.translate_tensor(channels) - expected).abs().max())
        print(f"{name}: {who} differs by at most {difference:.2g} from PyTorch", file=sys.stderr)
        assert difference <= TOLERANCE, f"{name} by {who} differs by {difference:.2g} from PyTorch"
    best = min(BACKENDS, key=lambda each: median(seconds(lambda: backends[each](numbers)) for _ in range(5)))

    def against(who: str) -> Case:
        return compare(
            f"{name}: seconds of a label map by {best}, against {who}",
            plain=lambda: peers[who](numbers),
            ours=lambda: backends[best](numbers),
            target=TARGET,
            at_most=True,
            turns=turns,
        )

    return [against(who) for who in peers]


def of_label_maps(classes: int, statistics: NormStatistics) -> TranslationSettings:
    """How maps of class numbers are translated."""
    return TranslationSettings(
        source_channels=classes,
        inputs=(Slot(name="map", kind="labels", bands=1, classes=classes),),
        source_values=BandValues(dtype="uint8", low=(0.0,), high=(255.0,), classes=(classes,)),
        norm_statistics=statistics,
    )


if __name__ == "__main__":
    sys.exit(main())
