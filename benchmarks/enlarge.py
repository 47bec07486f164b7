"""How long a 512² picture takes to become 2048² on this CPU by the best backend, against eager PyTorch.

    python -m benchmarks.enlarge

The compact network of four times the size (Real-ESRGAN's), by `Translator` on both sides: picture in, picture out. The
best of OpenVINO and ONNX Runtime in float32 is a case, and where the processor computes in bfloat16
OpenVINO in that is another; what they make is compared with PyTorch's before anything is timed.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.harness import Case, compare, cores, report, seconds
from benchmarks.translate_large import synthetic
from img2img_hub import Translator
from img2img_hub.networks import CompactGenerator
from img2img_hub.runtimes.backends import Backend, knows_bfloat16, make_forward
from img2img_hub.translation.engine import Dtype
from img2img_hub.translation.settings import TranslationSettings

TARGET = 0.75
SIDE = 512
LEVELS = {"float32": 1, "bfloat16": 12}  # of 255, the most that a backend may differ by


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a folder of a model that enlarges (default: random weights)")
    parser.add_argument("--turns", type=int, default=9, help="how often both backends take turns")
    parser.add_argument("--threads", type=int, default=cores(), help="of both")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    picture = synthetic().resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    with tempfile.TemporaryDirectory() as name:
        return report("enlarge", latency(model(arguments.model), picture, folder=Path(name), turns=arguments.turns))


def model(folder: Path | None) -> Translator:
    if folder is not None:
        return Translator.from_pretrained(folder, device="cpu")
    torch.manual_seed(0)
    settings = TranslationSettings(family="srgan", working_size=64, crop="native")
    return Translator(CompactGenerator(scale=4).eval(), settings, device="cpu")


def latency(eager: Translator, picture: Image.Image, *, folder: Path, turns: int) -> list[Case]:
    eager.network.save_weights(folder)
    eager.settings.save(folder)
    wanted = np.asarray(eager(picture)).astype(int)

    def by(backend: Backend, dtype: Dtype) -> Translator:
        forward = make_forward(
            eager.network, backend, where=str(folder), working_size=eager.settings.working_size, dtype=dtype
        )
        made = Translator(eager.network, eager.settings, device="cpu", forward=forward)
        difference = np.abs(np.asarray(made(picture)).astype(int) - wanted).max()
        assert difference <= LEVELS[dtype], f"{backend} in {dtype} differs by {difference} levels"
        return made

    exact = {backend: by(backend, "float32") for backend in ("openvino", "onnx")}
    times = {backend: seconds(partial(each, picture)) for backend, each in exact.items()}
    best = min(times, key=times.__getitem__)
    others = {f"{best}, float32": exact[best]}
    if knows_bfloat16():
        others["openvino, bfloat16"] = by("openvino", "bfloat16")
    return [
        compare(
            f"compact x4 of {picture.width}², {name} / eager PyTorch",
            plain=partial(eager, picture),
            ours=partial(other, picture),
            target=TARGET,
            at_most=True,
            turns=turns,
            warm_up=1,
        )
        for name, other in others.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
