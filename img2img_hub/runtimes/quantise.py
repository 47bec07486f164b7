"""An ONNX file of a generator in int8: convolutions on whole numbers, everything between them as it was.

    python -m img2img_hub export --model model_cards/facades-label2photo --output facades_int8.onnx --int8

Weights are quantised a band at a time, activations by the range they have on typical images. Norms stay in float: they
divide by what they measure, so that an error before them would be theirs too, and cost next to nothing. So do the
innermost convolutions of a U-Net, whose results are of a few pixels: a norm over four values makes noise of rounding
(on the shipped facades model the worst example has 41 dB with them in float, 30 dB without). And so do the fixed blurs
of antialiased networks, which calculate next to nothing: in int8 they would cost half a dB, and time.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

_CONVOLUTIONS = ["Conv", "ConvTranspose"]
FEW_PIXELS = 4


def quantise(plain: Path, batches: Sequence[Tensor]) -> bytes:
    """The file of `plain`, a float one of this library, in int8 (QDQ: runtimes see both, and choose).

    Args:
        plain: in a folder for what is made on the way.
        batches: padded (1, C, H, W) float32 in [-1, 1], typical of what will be translated.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches: Iterator[Tensor] = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self._batches, None)
            return None if batch is None else by_input(batch, inputs)

    made, inputs = plain.with_suffix(".int8.onnx"), inputs_of(onnx.load(plain))
    root, level = logging.getLogger(), logging.root.level
    root.setLevel(logging.ERROR)  # it advises, on the root logger, a preparation that changes nothing here
    try:
        quantize_static(
            plain,
            made,
            Reader(),
            op_types_to_quantize=_CONVOLUTIONS,
            nodes_to_exclude=_of_few_pixels(plain, batches[0]) + _of_one_channel(plain),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Only what goes into a convolution: a norm comes after most, and wants its result whole.
            extra_options={"OpTypesToExcludeOutputQuantization": _CONVOLUTIONS, "QuantizeBias": False},
        )
        model = onnx.load(made)
        _quantise_before_padding(model.graph)
        model.producer_name = "img2img_hub"
        onnx.helper.set_model_props(model, {entry.key: entry.value for entry in onnx.load(plain).metadata_props})
        onnx.checker.check_model(model)
        return model.SerializeToString()
    finally:
        root.setLevel(level)


def inputs_of(model: Any) -> dict[str, int]:
    """{name: channels} of what an ONNX model reads."""
    return {each.name: each.type.tensor_type.shape.dim[1].dim_value for each in model.graph.input}


def by_input(batch: Tensor, inputs: Mapping[str, int]) -> dict[str, np.ndarray]:
    """(N, C, H, W) as what the inputs of so many channels each are given, in their order."""
    parts = batch.split(list(inputs.values()), dim=1) if len(inputs) > 1 else [batch]
    return {name: part.contiguous().numpy() for name, part in zip(inputs, parts, strict=True)}


def _of_few_pixels(plain: Path, batch: Tensor) -> list[str]:
    """Names of the convolutions that make no more than a few pixels of such a batch."""
    import onnx
    import onnxruntime

    model = onnx.load(plain)
    names = {node.output[0]: node.name for node in model.graph.node if node.op_type in _CONVOLUTIONS}
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=output) for output in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    made = session.run(list(names), by_input(batch, inputs_of(model)))
    return [name for name, result in zip(names.values(), made, strict=True) if result[0, 0].size <= FEW_PIXELS]


def _of_one_channel(plain: Path) -> list[str]:
    """Names of the convolutions that calculate each channel by itself."""
    import onnx

    nodes = [node for node in onnx.load(plain).graph.node if node.op_type in _CONVOLUTIONS]
    return [node.name for node in nodes if any(entry.name == "group" and entry.i > 1 for entry in node.attribute)]


def _quantise_before_padding(graph: Any) -> None:
    """Round to the same grid before a border is reflected as after it: the same values, and runtimes move bytes."""
    from onnx import helper

    padded = {node.output[0]: node for node in graph.node if node.op_type == "Pad"}
    nodes = list(graph.node)
    for quantised in [node for node in nodes if node.op_type == "QuantizeLinear" and node.input[0] in padded]:
        pad = padded[quantised.input[0]]
        grid, name = list(quantised.input[1:]), pad.output[0]
        pair = [
            helper.make_node("QuantizeLinear", [pad.input[0], *grid], [f"{name}_before_q"], f"{name}_before_q"),
            helper.make_node("DequantizeLinear", [f"{name}_before_q", *grid], [f"{name}_before"], f"{name}_before"),
        ]
        pad.input[0] = f"{name}_before"
        place = nodes.index(pad)
        nodes[place:place] = pair
    del graph.node[:]
    graph.node.extend(nodes)
