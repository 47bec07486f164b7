"""What strips know of PyTorch's functions: the layer that each is, called with PyTorch's own parameters.

python -c "from img2img_hub.strips.operations import NOTED; print(len(NOTED), 'functions')"
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from img2img_hub.strips.layers import (
    Average,
    Bilinear,
    Border,
    Convolution,
    Largest,
    Layer,
    Nearest,
    Normalise,
    PixelShuffle,
    PixelUnshuffle,
    Pointwise,
    Transposed,
    Zeros,
)

if TYPE_CHECKING:
    from img2img_hub.strips.recording import StandIn


class NotByRows(Exception):
    """The network has an operation that is no function of neighbouring rows, such as self-attention, or none that is
    known here, such as an interpolation."""

    def __init__(self, layers: list[Layer], operation: str = "") -> None:
        super().__init__(f"strips do not know the operation {operation}")
        self.layers = layers  # those before it
        self.operation = operation  # its name in PyTorch


def relu(x: StandIn, inplace: bool = False) -> StandIn:
    return x.then(Pointwise, function=torch.relu, in_place=torch.relu_)


def _relu6(x: StandIn, inplace: bool = False) -> StandIn:
    return x.then(Pointwise, function=F.relu6, in_place=lambda tensor: tensor.clamp_(0, 6))


def _leaky_relu(x: StandIn, negative_slope: float = 0.01, inplace: bool = False) -> StandIn:
    return x.then(
        Pointwise,
        function=lambda tensor: F.leaky_relu(tensor, negative_slope),
        in_place=lambda tensor: F.leaky_relu_(tensor, negative_slope),
    )


def _prelu(x: StandIn, weight: Tensor) -> StandIn:
    return x.then(Pointwise, function=lambda tensor: F.prelu(tensor, weight))


def tanh(x: StandIn) -> StandIn:
    return x.then(Pointwise, function=torch.tanh, in_place=torch.tanh_)


def _dropout(x: StandIn, p: float = 0.5, training: bool = True, inplace: bool = False) -> StandIn:
    _only(x, training, False)  # rows that are computed twice would be drawn twice
    return x


def _concatenate(parts: Sequence[StandIn], dim: int = 0) -> StandIn:
    layers = tuple(part.layer for part in parts)
    _only(parts[0], dim, 1)
    channels = sum(layer.channels for layer in layers)
    return parts[0].then(Pointwise, inputs=layers, channels=channels, function=lambda *tensors: torch.cat(tensors, 1))


def _pad(x: StandIn, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> StandIn:
    zeros = mode == "constant" and not value
    if not zeros and mode not in ("reflect", "replicate"):
        raise NotByRows(x.layers)
    left, right, above, below = pad
    height, width = x.layer.height + above + below, x.layer.width + left + right
    if zeros:
        return x.then(Zeros, height=height, width=width, sides=(left, right, above, below))
    return x.then(Border, height=height, width=width, sides=(left, right, above, below), mode=mode)


def _instance_norm(
    x: StandIn,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> StandIn:
    _only(x, use_input_stats, True)
    return x.then(Normalise, eps=eps, gain=weight, bias=bias)


def _batch_norm(
    x: StandIn,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> StandIn:
    _only(x, training, False)
    return x.then(Normalise, eps=eps, gain=weight, bias=bias, statistics=(running_mean, running_var), trained=True)


def _convolution(
    x: StandIn,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> StandIn:
    return _with_kernel(x, weight, bias, stride, padding, dilation, groups)


def _transposed(
    x: StandIn,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> StandIn:
    return _with_kernel(x, weight, bias, stride, padding, dilation, groups, output_padding=output_padding)


def _with_kernel(
    x: StandIn,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    *,
    output_padding: Any = None,
) -> StandIn:
    """A convolution; with `output_padding` a transposed one."""
    stride, padding, dilation, kernel = _only(x, stride), _only(x, padding), _only(x, dilation), weight.shape[2]
    sides = x.layer.height, x.layer.width
    own = {"weight": weight, "bias": bias, "stride": stride, "padding": padding, "groups": groups}
    if output_padding is None:
        channels, inner = weight.shape[:2]
        seen = dilation * (kernel - 1) + 1
        height, width = ((side + 2 * padding - seen) // stride + 1 for side in sides)
        shape = {"channels": channels, "height": height, "width": width, "effort": inner * kernel**2}
        return x.then(Convolution, **shape, **own, dilation=dilation)
    _only(x, dilation, 1)
    extra = _only(x, output_padding)
    if extra > padding:
        raise NotByRows(x.layers)
    inner, channels = weight.shape[0] // groups, weight.shape[1] * groups
    height, width = ((side - 1) * stride - 2 * padding + kernel + extra for side in sides)
    shape = {"channels": channels, "height": height, "width": width, "effort": inner * kernel**2 / stride**2}
    return x.then(Transposed, **shape, **own, output_padding=extra)


def _pixel_shuffle(x: StandIn, upscale_factor: int) -> StandIn:
    height, width = x.layer.height * upscale_factor, x.layer.width * upscale_factor
    channels = x.layer.channels // upscale_factor**2
    return x.then(PixelShuffle, channels=channels, height=height, width=width, factor=upscale_factor)


def _pixel_unshuffle(x: StandIn, downscale_factor: int) -> StandIn:
    height, width = x.layer.height // downscale_factor, x.layer.width // downscale_factor
    channels = x.layer.channels * downscale_factor**2
    return x.then(PixelUnshuffle, channels=channels, height=height, width=width, factor=downscale_factor)


def _interpolate(
    x: StandIn,
    size: Sequence[int] | None = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    antialias: bool = False,
    **_: Any,
) -> StandIn:
    if size is None and scale_factor is not None:
        factors = scale_factor if isinstance(scale_factor, tuple | list) else (scale_factor, scale_factor)
        sides = [side * factor for side, factor in zip((x.layer.height, x.layer.width), factors, strict=True)]
        size = [int(side) for side in sides] if all(side == int(side) for side in sides) else None
    if mode not in ("nearest", "bilinear") or size is None or align_corners or antialias:
        raise NotByRows(x.layers)
    height, width = size
    for before, after in ((x.layer.height, height), (x.layer.width, width)):
        if max(before, after) % min(before, after) or (mode == "bilinear" and after < before):
            raise NotByRows(x.layers)
    if mode == "bilinear":
        return x.then(Bilinear, height=height, width=width)
    return x.then(Nearest, height=height, width=width) if (height, width) != tuple(x.shape[-2:]) else x


def _average(
    x: StandIn, kernel_size: Any, stride: Any = None, padding: Any = 0, *, count_include_pad: bool = True
) -> StandIn:
    for value, expected in ((kernel_size, 3), (stride, 2), (padding, 1), (count_include_pad, False)):
        _only(x, value, expected)
    return x.then(Average, height=(x.layer.height + 1) // 2, width=(x.layer.width + 1) // 2)


def _largest(
    x: StandIn,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> StandIn:
    for value, expected in ((dilation, 1), (ceil_mode, False), (return_indices, False)):
        _only(x, value, expected)
    kernel, padding = _only(x, kernel_size), _only(x, padding)
    stride = _only(x, stride) if stride else kernel
    height, width = ((size + 2 * padding - kernel) // stride + 1 for size in (x.layer.height, x.layer.width))
    return x.then(Largest, height=height, width=width, kernel=kernel, stride=stride, padding=padding)


def _only(x: StandIn, value: Any, expected: Any = None) -> Any:
    """The one number of both axes, which must be the expected one."""
    values = set(value) if isinstance(value, tuple) else {value}
    if len(values) != 1 or (expected is not None and values != {expected}):
        raise NotByRows(x.layers)
    return values.pop()


NOTED: dict[Any, Callable[..., StandIn]] = {
    F.relu: relu,
    F.relu6: _relu6,
    F.prelu: _prelu,
    F.leaky_relu: _leaky_relu,
    torch.tanh: tanh,
    F.dropout: _dropout,
    torch.cat: _concatenate,
    F.pad: _pad,
    F.interpolate: _interpolate,
    F.instance_norm: _instance_norm,
    F.batch_norm: _batch_norm,
    F.conv2d: _convolution,
    F.conv_transpose2d: _transposed,
    F.avg_pool2d: _average,
    F.max_pool2d: _largest,
    F.pixel_shuffle: _pixel_shuffle,
    F.pixel_unshuffle: _pixel_unshuffle,
}
