"""How long one 256² image takes on this CPU, against the original code's eager forward of the same weights.

    python -m benchmarks.translate_latency
    python -m benchmarks.translate_latency --data data/facades/test

unet_256 and resnet_9 at the published width, as ONNX Runtime or OpenVINO (whichever is quicker here) run them in
float32, and as OpenVINO runs them in bfloat16 (where the processor computes in it) and in int8. Before anything is
timed, all have the same input and the outputs of float32 are compared. Beside the original's eager forward stand two
peers: the original's plain ONNX file in OpenVINO, and what the machine can do at best, measured in the same turns by
large products and convolutions: no direct convolution in float32 is faster than that. The quality of bfloat16 and int8
is measured on the shipped model, whose weights are trained.
"""

import argparse
import copy
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.harness import Case, compare, cores, report, seconds, summary
from img2img_hub import Network, Translator
from img2img_hub.evaluation.calibration import calibration_batches
from img2img_hub.images.formats import IMAGE_EXTENSIONS
from img2img_hub.images.picture import to_tensor
from img2img_hub.images.read import read_image
from img2img_hub.networks.blocks import initialise, set_norm_statistics
from img2img_hub.official.convert import convert_official
from img2img_hub.runtimes.backends import Backend, knows_bfloat16, make_forward
from img2img_hub.runtimes.by_openvino import open_openvino
from img2img_hub.runtimes.export import OPSET, export_model, psnr, write_onnx
from img2img_hub.runtimes.quantise import quantise
from img2img_hub.translation.engine import Dtype
from tests.originals import original_resnet, original_unet

SHIPPED = Path("model_cards/facades-label2photo")
SIZE = 256
PEER_TARGET, PEAK_TARGET = 1.0, 0.9
PSNR_TARGETS = {"bfloat16": 40.0, "int8": 30.0}
TOLERANCE = 1e-4  # of values in [-1, 1]
BACKENDS: tuple[Backend, ...] = ("onnx", "openvino")
# What is left of an int8 file's network is computed in it where it can be.
BESIDE_INT8: Dtype = "bfloat16" if knows_bfloat16() else "float32"


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Of the original's time; float32 None: judged by the machine's peak in its place."""

    float32: float | None
    bfloat16: float
    int8: float


TARGETS = {
    "unet_256": Targets(float32=0.6, bfloat16=0.3, int8=0.21),
    "resnet_9": Targets(float32=None, bfloat16=0.43, int8=0.27),
}


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
            cases += latency(name, original, images, TARGETS[name], folder=Path(folder), turns=arguments.turns)
        cases += quality(Path(folder))
    return report("translate_latency", cases)


def latency(
    name: str, original: nn.Module, images: list[Tensor], targets: Targets, *, folder: Path, turns: int
) -> list[Case]:
    """All cases of one network, with random weights: time does not depend on them."""
    network = same_weights(original, folder / f"{name}.pth")
    plain, quantised, official = (folder / f"{name}{suffix}.onnx" for suffix in ("", "_int8", "_official"))
    write_onnx(network, plain, size=(SIZE, SIZE))
    quantised.write_bytes(quantise(plain, images[:4]))
    # As the original's test.py runs it: batch norm in training mode, so by the image's own statistics.
    original.train()
    image = images[0]

    def eager() -> Tensor:
        with torch.no_grad():
            return original(image)

    expected = eager()
    export_plainly(original, official, image)
    floats = {backend: run_by(network, backend, plain) for backend in BACKENDS}
    peer = open_openvino(official, "float32", (SIZE, SIZE))
    for runner, run in [*floats.items(), ("the original's file", peer)]:
        difference = float((run(image) - expected).abs().max())
        print(f"{name}: {runner} differs by at most {difference:.2g}", file=sys.stderr)
        assert difference <= TOLERANCE, f"{name} by {runner} differs by {difference:.2g} from the original"
    best = min(floats, key=lambda backend: statistics.median(seconds(lambda: floats[backend](image)) for _ in range(5)))

    def against(plain: Callable[[], object], run: Callable[[Tensor], Tensor], case: str, target: float) -> Case:
        return compare(case, plain=plain, ours=lambda: run(image), target=target, at_most=True, turns=turns)

    cases = []
    if targets.float32 is None:
        operations = 2 * multiplications(original, image)
        cases.append(of_the_peak(f"{name} float32 by {best}", operations, lambda: floats[best](image), turns=turns))
    else:
        cases.append(against(eager, floats[best], f"{name} float32 by {best}", targets.float32))
    title = f"{name} float32 by openvino, against the original's plain ONNX file by openvino"
    cases.append(against(lambda: peer(image), floats["openvino"], title, PEER_TARGET))
    if knows_bfloat16():
        write_onnx(network, plain, size=(SIZE, SIZE), phases=True)
        run = run_by(network, "openvino", plain, dtype="bfloat16")
        cases.append(against(eager, run, f"{name} bfloat16 by openvino", targets.bfloat16))
    else:
        print(f"{name}: this processor does not compute in bfloat16, which is left out", file=sys.stderr)
    int8 = run_by(network, "openvino", quantised, dtype=BESIDE_INT8)
    return [*cases, against(eager, int8, f"{name} int8 (and {BESIDE_INT8}) by openvino", targets.int8)]


def export_plainly(original: nn.Module, path: Path, image: Tensor) -> None:
    """The original's network as torch.onnx writes it. Batch norm by the image's own statistics, which such a file
    cannot have, is what it comes to for one image: instance norm."""
    plain = copy.deepcopy(original)
    for parent in list(plain.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm2d):
                norm = nn.InstanceNorm2d(layer.num_features, eps=layer.eps, affine=True)
                norm.weight, norm.bias = layer.weight, layer.bias
                setattr(parent, name, norm)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = (image,)
        torch.onnx.export(plain.eval(), example, path, opset_version=OPSET, external_data=False, verbose=False)


def multiplications(network: nn.Module, image: Tensor) -> int:
    """Of one forward's convolutions, as the papers write them; the rest is next to nothing."""
    counted = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        weight: Tensor = layer.weight  # type: ignore[assignment]
        places = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        counted += weight.numel() * places[0, 0].numel()

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return counted


def of_the_peak(case: str, operations: int, ours: Callable[[], object], *, turns: int) -> Case:
    """The share of the operations a second that the machine does at best, in a large product or convolution."""
    matrix, layer, maps = torch.rand(2048, 2048), nn.Conv2d(256, 256, 3, bias=False), torch.rand(1, 256, 66, 66)
    best_cases = [(2 * 2048**3, lambda: matrix @ matrix), (2 * 64 * 64 * 9 * 256 * 256, lambda: layer(maps))]
    ratios = []
    with torch.no_grad():
        for turn in range(-2, turns):  # two to warm up
            peak = max(work / min(seconds(function) for _ in range(3)) for work, function in best_cases)
            ratio = operations / seconds(ours) / peak
            print(f"{case}: turn {turn + 1}/{turns}, {ratio:.3f} of {peak / 1e9:.0f} GFLOP/s", file=sys.stderr)
            ratios += [ratio] if turn >= 0 else []
    return summary(f"{case}, share of the machine's measured peak", ratios, target=PEAK_TARGET)


def same_weights(original: nn.Module, path: Path) -> Network:
    """The original's weights, drawn as the papers do, in this library's network: by way of a checkpoint file."""
    torch.manual_seed(0)
    initialise(original.modules())
    torch.save(original.state_dict(), path)
    network = convert_official(path).network
    set_norm_statistics(network, "image")
    return network


def run_by(network: Network, backend: Backend, file: Path, *, dtype: Dtype = "float32") -> Callable[[Tensor], Tensor]:
    run = make_forward(network, backend, onnx_file=file, dtype=dtype)
    assert run is not None
    return run


def quality(folder: Path) -> list[Case]:
    """The worst PSNR in dB of bfloat16 and of int8, by what runs it fast, over all examples of the shipped model."""
    translator = Translator.from_pretrained(SHIPPED, device="cpu")
    network, side = translator.network, translator.settings.working_size
    batches = calibration_batches(translator)
    runs = {}
    if knows_bfloat16():
        write_onnx(network, folder / "shipped.onnx", size=(side, side), phases=True)
        runs["bfloat16"] = run_by(network, "openvino", folder / "shipped.onnx", dtype="bfloat16")
    export_model(network, folder / "shipped_int8.onnx", working_size=side, about={}, calibration=batches)
    runs["int8"] = run_by(network, "openvino", folder / "shipped_int8.onnx", dtype=BESIDE_INT8)
    cases = []
    for precision, run in runs.items():
        decibels = sorted(round(psnr(run(batch), translator.translate_tensor(batch)), 2) for batch in batches)
        print(f"PSNR in dB of each example in {precision}: {decibels}", file=sys.stderr)
        cases.append(
            Case(
                case=f"worst PSNR in dB of {len(batches)} examples of the shipped model, {precision} by openvino",
                ratio=decibels[0],
                target=PSNR_TARGETS[precision],
                at_most=False,
                spread=(decibels[0], decibels[-1]),
            )
        )
    return cases


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
