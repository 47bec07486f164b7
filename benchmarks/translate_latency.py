"""How long one 256² image takes on this CPU, against the original code's eager forward of the same weights.

    python -m benchmarks.translate_latency
    python -m benchmarks.translate_latency --data data/facades/test

unet_256 and resnet_9 at the published width, as ONNX Runtime or OpenVINO (whichever is quicker here) run them in
float32, and as OpenVINO runs them in int8. Before anything is timed, both have the same input and their outputs are
compared. The quality of int8 is measured on the shipped model, whose weights are trained.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.harness import Case, compare, cores, report, seconds
from img2img_hub import Network, Translator
from img2img_hub.images import IMAGE_EXTENSIONS, read_image, to_tensor
from img2img_hub.networks.blocks import initialise, set_norm_statistics
from img2img_hub.translation.backends import Backend, make_forward
from img2img_hub.translation.calibration import calibration_batches
from img2img_hub.translation.export import export_model, psnr, write_onnx
from img2img_hub.translation.official import convert_official
from img2img_hub.translation.quantisation import quantise
from tests.originals import original_resnet, original_unet

SHIPPED = Path("model_cards/facades-label2photo")
SIZE = 256
FLOAT_TARGET, INT8_TARGET, PSNR_TARGET = 0.8, 0.4, 30.0
TOLERANCE = 1e-4  # of values in [-1, 1]
BACKENDS: tuple[Backend, ...] = ("onnx", "openvino")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="folder of images to translate (default: made up)")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=cores(), help="of both (default: the machine's cores)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = pictures(arguments.data)
    originals = {
        "unet_256": original_unet(8, 64, 3, 3, "batch", dropout=False),
        "resnet_9": original_resnet(9, 64, 3, 3, "instance", dropout=False),
    }
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for name, original in originals.items():
            cases += latency(name, original, images, folder=Path(folder), turns=arguments.turns)
        cases.append(quality(Path(folder, "shipped.onnx")))
    return report("translate_latency", cases)


def latency(name: str, original: nn.Module, images: list[Tensor], *, folder: Path, turns: int) -> list[Case]:
    """The float case and the int8 case of one network, with random weights: time does not depend on them."""
    network = same_weights(original, folder / f"{name}.pth")
    plain, quantised = folder / f"{name}.onnx", folder / f"{name}_int8.onnx"
    write_onnx(network, plain, size=(SIZE, SIZE))
    quantise(plain, quantised, images[:4])
    # As the original's test.py runs it: batch norm in training mode, so by the image's own statistics.
    original.train()
    image = images[0]

    def eager() -> Tensor:
        with torch.no_grad():
            return original(image)

    expected = eager()
    floats = {backend: run_by(network, backend, plain) for backend in BACKENDS}
    for backend, run in floats.items():
        difference = float((run(image) - expected).abs().max())
        print(f"{name}: {backend} differs by at most {difference:.2g}", file=sys.stderr)
        assert difference <= TOLERANCE, f"{name} by {backend} differs by {difference:.2g} from the original"
    best = min(floats, key=lambda backend: statistics.median(seconds(lambda: floats[backend](image)) for _ in range(5)))
    int8 = run_by(network, "openvino", quantised)
    return [
        compare(
            f"{name} float32 by {best}",
            plain=eager,
            ours=lambda: floats[best](image),
            target=FLOAT_TARGET,
            at_most=True,
            turns=turns,
        ),
        compare(
            f"{name} int8 by openvino",
            plain=eager,
            ours=lambda: int8(image),
            target=INT8_TARGET,
            at_most=True,
            turns=turns,
        ),
    ]


def same_weights(original: nn.Module, path: Path) -> Network:
    """The original's weights, drawn as the papers do, in this library's network: by way of a checkpoint file."""
    torch.manual_seed(0)
    initialise(original.modules())
    torch.save(original.state_dict(), path)
    network = convert_official(path).network
    set_norm_statistics(network, "image")
    return network


def run_by(network: Network, backend: Backend, file: Path) -> Callable[[Tensor], Tensor]:
    run = make_forward(network, backend, onnx_file=file)
    assert run is not None
    return run


def quality(path: Path) -> Case:
    """The worst PSNR in dB between int8, by what runs it fast, and float, over all examples of the shipped model."""
    translator = Translator.from_pretrained(SHIPPED, device="cpu")
    batches = calibration_batches(translator)
    export_model(translator.network, path, working_size=translator.settings.working_size, about={}, calibration=batches)
    int8 = run_by(translator.network, "openvino", path)
    decibels = sorted(round(psnr(int8(batch), translator.translate_tensor(batch)), 2) for batch in batches)
    print(f"PSNR in dB of each example in int8: {decibels}", file=sys.stderr)
    return Case(
        case=f"worst PSNR in dB of {len(batches)} examples of the shipped model, int8 by openvino",
        ratio=decibels[0],
        target=PSNR_TARGET,
        at_most=False,
        spread=(decibels[0], decibels[-1]),
    )


def pictures(folder: Path | None) -> list[Tensor]:
    """(1, 3, 256, 256) float32 in [-1, 1], four at most; without a folder soft forms by a seed."""
    if folder is not None:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_EXTENSIONS)[:4]
        if not files:
            sys.exit(f"{folder} has no images")
        return [to_tensor(read_image(file, channels=3).resize((SIZE, SIZE)))[None] for file in files]
    made = torch.Generator().manual_seed(0)
    small = torch.randn(4, 3, 9, 9, generator=made)
    return list(nn.functional.interpolate(small, size=(SIZE, SIZE), mode="bicubic").clamp(-1, 1).split(1))


if __name__ == "__main__":
    sys.exit(main())
