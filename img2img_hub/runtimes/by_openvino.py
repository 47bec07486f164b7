"""OpenVINO as a function of a batch, in float32 or, where the processor computes in it, in bfloat16.

    python -m img2img_hub translate photos/ --model user/model --output out/ --backend openvino --dtype bfloat16

In bfloat16 the innermost layers of a U-Net, whose results are of a few pixels, stay in float32, as in int8: a norm over
four values makes noise of their rounding (on the shipped facades model the worst example has 58 dB so, 31 dB without).
"""

import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from torch import Tensor

from img2img_hub.runtimes.quantise import FEW_PIXELS, by_input
from img2img_hub.translation.engine import Dtype

_one_at_a_time = threading.Lock()


@cache
def _core() -> Any:
    """OpenVINO's one Core in this process, never freed.

    A Core gives the thread that first opens a model by it a stack for signals. It takes that away with its last model,
    which is freed in any order and by any thread: a thread can be left with a stack that is gone, and the next signal
    that Python handles there (Ctrl-C, the end of a child) ends the process by a SIGSEGV.
    """
    import openvino

    return openvino.Core()


def _the_core() -> Any:
    with _one_at_a_time:  # or two threads would make a Core each
        return _core()


def knows_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this processor. On others it would take float32, and say nothing."""
    return "BF16" in _the_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def adds_int8_exactly() -> bool:
    """Whether the processor has VNNI, or AMX. OpenVINO computes int8 without them as well, by an instruction that clips
    the sum of two products at 16 bits: on the shipped facades model the worst example then has 30 dB, not 40."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older PyTorch has none
    if known.get("architecture") != "x86_64":
        return True
    return any(known.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def open_openvino(path: Path, dtype: Dtype, size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """The ONNX file as a function of a float32 batch on the CPU, with as many threads as PyTorch has.

    Args:
        dtype: float32 or bfloat16.
        size: (height, width) that the network was trained at; says which layers make a few pixels.
    """
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        # Without it, it takes bfloat16 where the processor has it, and says nothing.
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[dtype],
    }
    if not adds_int8_exactly():
        settings["LP_TRANSFORMS_MODE"] = "NO"  # an int8 file is computed in float then, slower and right
    core = _the_core()
    if dtype == "float32":
        compiled = core.compile_model(str(path), "CPU", settings)
    else:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            compiled = core.compile_model(_with_a_whole_inside(core, path, size, Path(folder)), "CPU", settings)
    request = compiled.create_infer_request()
    inputs = {each.get_any_name(): each.get_partial_shape()[1].get_length() for each in compiled.inputs}

    def run(batch: Tensor) -> Tensor:
        made = request.infer(by_input(batch, inputs), share_inputs=True)
        return torch.from_numpy(made[0].copy())  # the request's own memory is written again by the next call

    return run


def _with_a_whole_inside(core: Any, path: Path, size: tuple[int, int], folder: Path) -> Any:
    """The model, whose layers of a few pixels are marked to stay in float32.

    OpenVINO's Python interface has no such mark, its own files do: the model is written to `folder` and read from it.
    """
    import openvino

    model = core.read_model(str(path))
    names = _of_few_pixels(model, size)
    if not names:
        return model
    description, weights = folder / "model.xml", folder / "model.bin"
    openvino.serialize(model, str(description), str(weights))
    tree = ElementTree.parse(description)
    for layer in tree.iter("layer"):
        if layer.get("name") in names:
            marks = layer.find("rt_info")
            marks = ElementTree.SubElement(layer, "rt_info") if marks is None else marks
            ElementTree.SubElement(marks, "attribute", name="precise", version="0")
    tree.write(description)
    return core.read_model(str(description), str(weights))


def _of_few_pixels(model: Any, size: tuple[int, int]) -> set[str]:
    """Names of the layers that make no more than a few pixels of an image of that size."""
    shaped = model.clone()
    bands = [each.get_partial_shape()[1].get_length() for each in model.inputs]
    shaped.reshape({number: [1, each, *size] for number, each in enumerate(bands)})
    names = set()
    for layer in shaped.get_ordered_ops():
        shape = layer.output(0).get_partial_shape() if layer.get_output_size() else None
        if layer.get_type_name() not in ("Constant", "Parameter", "Result") and shape is not None and shape.is_static:
            sides = shape.to_shape()[2:]
            if len(sides) == 2 and sides[0] * sides[1] <= FEW_PIXELS:
                names.add(layer.get_friendly_name())
    return names
