"""A translator as an ONNX file for other programs and runtimes, checked against PyTorch, described by a JSON beside it.

    python -m img2img_hub export --model model_cards/facades-label2photo --output facades.onnx --dynamic

The graph is the network: (N, C, H, W) float32 in [-1, 1] to the same, of several inputs by their names. Padding to its
multiple, and values before and after it, are the caller's; the JSON says what they are.
"""

import hashlib
import json
import logging
import math
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.files import write_bytes
from img2img_hub.images.resize import reflected
from img2img_hub.images.values import BandValues
from img2img_hub.networks import Generator, Network
from img2img_hub.networks.blocks import BatchNorm2d
from img2img_hub.runtimes.portable import portable
from img2img_hub.runtimes.quantise import by_input, quantise

OPSET = 20
"""The newest that today's runtimes read: ONNX Runtime from 1.17, OpenVINO from 2024.1."""
FORMAT_VERSION = 1
EXPORT_VERSION = 1
"""Of the graph that is made of a network: raised where that changes, so that files kept by others are made anew."""
_LIMIT = 2**31 - 2**24  # bytes of a protobuf file, with room for the graph itself
_THINGS = 24  # in an example with instances
_NUMBERED = (
    ". A band of classes is a channel for each of them, 1 where a pixel is of it and 0 elsewhere, 0 in all for none; "
    "one of edges is 1 at both sides of each border between two instances, else 0"
)


def need(*packages: str, extra: str, what: str) -> None:
    """Refuse, with what to type, where a package is not installed."""
    if missing := [package for package in packages if find_spec(package) is None]:
        raise ValueError(f"{what} needs {' and '.join(missing)}: pip install 'img2img_hub[{extra}]'")


def fingerprint(network: Network) -> str:
    """SHA-256 of what decides the outputs: the config, the weights, what batch norm normalises with."""
    digest = hashlib.sha256(json.dumps(network.config, sort_keys=True).encode())
    for layer in network.modules():
        if isinstance(layer, BatchNorm2d):
            digest.update(layer.statistics.encode())
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def working_shape(network: Network, working_size: int) -> tuple[int, int]:
    """The size that an image of the working size has after padding."""
    multiple, smallest = int(network.multiple), int(network.min_size)  # type: ignore[arg-type]
    side = max(math.ceil(working_size / multiple) * multiple, math.ceil(smallest / multiple) * multiple)
    return side, side


def write_onnx(
    network: Network,
    path: Path,
    *,
    size: tuple[int, int],
    dynamic: bool = True,
    half: bool = False,
    phases: bool = False,
    inputs: Mapping[str, int] | None = None,
    instead: str = "name another place",
) -> None:
    """Write the graph, whole or not at all: input "source", output "target", both float32 (N, C, H, W) in [-1, 1].

    Args:
        inputs: {name: channels} of what the network reads, band behind band, as inputs of their own; None: "source".
        network: its batch norm's statistics are baked in as they are set.
        size: (height, width), fitting the network. Without `dynamic` the only one, at N = 1.
        half: weights and arithmetic in float16; input and output stay float32.
        phases: the graph that is the faster one in bfloat16, see `portable`.
        instead: what to do where `path` cannot be written, for the message.

    Raises:
        ValueError: onnx or onnxscript is missing, the weights do not fit into one file, or it cannot be written.
    """
    need("onnx", "onnxscript", extra="onnx", what="writing an ONNX file")
    import onnx

    if network.parameter_count * (2 if half else 4) > _LIMIT:
        raise ValueError(
            f"{network.parameter_count:,} parameters do not fit into an ONNX file, which ends at 2 GB"
            + ("" if half else ": try --half")
        )
    module: nn.Module = portable(network, phases=phases)
    module = _Half(module) if half else module
    height, width = size
    # A traced size of 1, or two equal ones, would be taken for a constant.
    batch, *sides = (2, 2 * height, 3 * width) if dynamic else (1, height, width)
    inputs = inputs or {"source": network.in_channels}
    module = _Joined(module) if len(inputs) > 1 else module
    examples = tuple(torch.zeros(batch, channels, *sides) for channels in inputs.values())
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")  # tells of torchvision's absence
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(),
                examples,
                input_names=list(inputs),
                output_names=["target"],
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=_moving(len(inputs)) if dynamic else None,
                verbose=False,
            )
    finally:
        registration.setLevel(level)
    assert program is not None
    model = program.model_proto
    _strip(model)
    model.producer_name, model.producer_version = "img2img_hub", version("torch")
    onnx.helper.set_model_props(model, {"img2img_hub": fingerprint(network)})
    onnx.checker.check_model(model)
    save_whole(model.SerializeToString(), path, instead=instead)


def export_model(
    network: Generator,
    output: Path,
    *,
    working_size: int,
    about: dict[str, Any],
    inputs: Mapping[str, int] | None = None,
    values: BandValues | None = None,
    dynamic: bool = False,
    half: bool = False,
    calibration: Sequence[Tensor] | None = None,
) -> dict[str, Any]:
    """Write `output` and the JSON beside it; run ONNX Runtime on it and compare. Returns the JSON's content.

    Args:
        network: a generator, with its batch norm's statistics set.
        working_size: side of the images it was trained on; without `dynamic` the only size.
        about: what else the JSON should say (the model's name, its translation settings).
        inputs: as of `write_onnx`.
        values: of its source's bands; None: a picture's.
        calibration: padded batches (1, C, H, W) of typical images: quantise to int8 by them. One in four is kept out,
            to measure by, where that makes four or more; else all are for both. Without `dynamic` the middle of each.

    Raises:
        ValueError: a missing package, weights that do not fit into one file, or no image to quantise by.
    """
    if calibration is not None and not calibration:
        raise ValueError("there is no image to quantise by: name a folder of source images by --calibration photos/")
    need("onnx", "onnxscript", "onnxruntime", extra="onnx", what="export")
    size = working_shape(network, working_size)
    reference = network.eval()
    if calibration and not dynamic:  # a model of crops sees images as they are, of any size
        calibration = [_middle(batch, size) for batch in calibration]
    if calibration:
        kept = len(calibration) // 4 if len(calibration) >= 16 else 0  # a few say little of all
        learnt, judged = calibration[: len(calibration) - kept], calibration[-kept:] if kept else calibration
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder, "float.onnx")
            write_onnx(network, plain, size=size, dynamic=dynamic, inputs=inputs)
            save_whole(quantise(plain, learnt), output)
    else:
        write_onnx(network, output, size=size, dynamic=dynamic, half=half, inputs=inputs)

    run = open_session(output)
    multiple = int(network.multiple)
    sizes = [size, (size[0] + multiple, size[1] + 2 * multiple)] if dynamic else [size]
    read = [
        {"name": name, "type": "float32", "shape": _shape(channels, size, dynamic)}
        for name, channels in (inputs or {"source": network.in_channels}).items()
    ]
    checks, made = [], (size[0] * network.scale, size[1] * network.scale)
    for height, width in sizes:
        source = _example(network.in_channels, height, width, values=values)
        with torch.no_grad():
            difference = float((run(source) - reference(source)).abs().max())
        checks.append({"height": height, "width": width, "max_abs_difference": difference})
    facts: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        **about,
        "network": network.config,
        "fingerprint": fingerprint(network),
        "opset": OPSET,
        "precision": "int8" if calibration else "float16" if half else "float32",
        **({"source": read[0]} if inputs is None else {"inputs": read}),
        "target": {"name": "target", "type": "float32", "shape": _shape(network.out_channels, made, dynamic)},
        "values": "-1 to 1, bands first. source_values and target_values of translation give each band's low, which "
        "is -1, and high, which is 1; null: 8-bit pictures, whose 0 is -1 and whose 255 is 1"
        + (_NUMBERED if values is not None and values.numbered else ""),
        "padding": {
            "multiple": multiple,
            "min_size": int(network.min_size),
            "note": "not in the graph: reflect the image's border until height and width are multiples, on both sides "
            "alike (the odd pixel at the bottom and on the right), and crop the result back",
        },
        "checks": checks,
        "versions": {name: version(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime")},
    }
    if calibration:
        with torch.no_grad():
            decibels = [psnr(run(source), reference(source)) for source in judged]
        facts["int8"] = {
            "calibration_images": len(learnt),
            "measured_on": len(judged),
            "measured_on_other_images": kept > 0,
            "psnr_mean": round(sum(decibels) / len(decibels), 2),
            "psnr_min": round(min(decibels), 2),
        }
    save_whole((json.dumps(facts, indent=2) + "\n").encode(), output.with_suffix(".json"))
    return facts


def open_session(path: Path) -> Callable[[Tensor], Tensor]:
    """The file as a function of a float32 batch on the CPU, by ONNX Runtime, with as many threads as PyTorch has."""
    need("onnxruntime", extra="onnx", what="running an ONNX file")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    inputs = {each.name: each.shape[1] for each in session.get_inputs()}

    def run(batch: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, by_input(batch, inputs))[0])

    return run


def save_whole(content: bytes, path: Path, *, instead: str = "name another place") -> None:
    """Written under another name, then renamed: an interrupted export leaves no half file behind."""
    try:
        write_bytes(path, content)
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror}): {instead}") from None


def _moving(inputs: int) -> tuple[Any, ...]:
    """Which axes may be of any size, for `torch.export`: several inputs are one argument to it, a tuple."""
    dim = torch.export.Dim.DYNAMIC
    each = ({0: dim, 2: dim, 3: dim},) * inputs
    return each if inputs == 1 else (each,)


class _Joined(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *parts: Tensor) -> Tensor:
        return self.inner(torch.cat(parts, dim=1))


class _Half(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner.half()

    def forward(self, source: Tensor) -> Tensor:
        return self.inner(source.half()).float()


def _strip(model: Any) -> None:
    """Leave out the exporter's notes on where in whose file each node came from."""
    graph = model.graph
    for part in [*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer, graph]:
        part.doc_string = ""
        del part.metadata_props[:]
    del model.metadata_props[:]


def _shape(bands: int, size: tuple[int, int], dynamic: bool) -> list[int | str]:
    return ["N", bands, "H", "W"] if dynamic else [1, bands, *size]


def _example(bands: int, height: int, width: int, *, values: BandValues | None) -> Tensor:
    """Something like a source, as the network sees it: of classes and instances large patches, else `_picture`."""
    if values is None or not values.numbered:
        return _picture(bands, height, width)
    counts = [_THINGS if band in values.edges else values.classes[band] for band in values.numbered]
    numbers = [_picture(count, height, width).argmax(dim=1, keepdim=True) for count in counts]
    others = values.bands - len(counts)
    return values.joined(_picture(others, height, width) if others else None, torch.cat(numbers, dim=1))


def _picture(bands: int, height: int, width: int) -> Tensor:
    """Large soft forms with a little grain, in [-1, 1]: nearer to a photo than noise is."""
    made = torch.Generator().manual_seed(0)
    forms = F.interpolate(
        torch.randn(1, bands, 9, 9, generator=made), size=(height, width), mode="bicubic", align_corners=True
    )
    return (0.5 * forms + 0.05 * torch.randn(1, bands, height, width, generator=made)).clamp(-1, 1)


def _middle(batch: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, H, W) at `size` (height, width): cut out of the middle, and reflected where it is smaller."""
    for axis, (now, wanted) in enumerate(zip(batch.shape[-2:], size, strict=True), start=2):
        if now < wanted:
            places, _ = reflected(now, wanted, batch.device)
        else:
            places = torch.arange(wanted, device=batch.device) + (now - wanted) // 2
        batch = batch.index_select(axis, places)
    return batch


def psnr(one: Tensor, other: Tensor) -> float:
    """In dB, of values in [-1, 1]."""
    error = float((one - other).square().mean())
    return 10 * math.log10(4 / error) if error else 99.0
