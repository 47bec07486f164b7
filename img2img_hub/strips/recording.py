"""A generator written down as a list of layers.

    python -c "from img2img_hub import UNetGenerator as U; from img2img_hub.strips.recording import record; \
    print([type(layer).__name__ for layer in record(U(levels=3), height=64, width=64)])"

The network itself is run, once, on a stand-in that holds no pixels and notes what is done to it. So every network that
consists of the operations below is covered, without a second description that could differ from the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from img2img_hub.networks import Network
from img2img_hub.strips.layers import (
    Average,
    Border,
    Convolution,
    Largest,
    Layer,
    Nearest,
    Normalise,
    PixelShuffle,
    Pointwise,
    Source,
    Transposed,
    Zeros,
)


class NotByRows(Exception):
    """The network has an operation that is no function of neighbouring rows, such as self-attention, or none that is
    known here, such as an interpolation."""

    def __init__(self, layers: list[Layer], operation: str = "") -> None:
        super().__init__(f"strips do not know the operation {operation}")
        self.layers = layers  # those before it
        self.operation = operation  # its name in PyTorch


def record(network: Network, *, height: int, width: int) -> list[Layer]:
    """The layers of a generator in eval mode for one image, in the order of computation; the first is the image.

    Raises:
        NotByRows: some layer cannot be computed from neighbouring rows.
    """
    layers: list[Layer] = [Source(inputs=(), channels=network.in_channels, height=height, width=width)]
    with torch.no_grad():
        network(_StandIn(layers[0], layers))
    return layers


class _StandIn:
    """What a network gets in place of a tensor (1, C, H, W)."""

    def __init__(self, layer: Layer, layers: list[Layer]) -> None:
        self.layer = layer
        self.layers = layers
        self.shape = torch.Size((1, layer.channels, layer.height, layer.width))
        self.device = torch.device("cpu")  # any: it holds nothing

    def __len__(self) -> int:
        return 1

    def dim(self) -> int:
        return 4

    def size(self, axis: int) -> int:
        return self.shape[axis]

    def to(self, *_: object) -> _StandIn:
        return self

    def new_zeros(self, shape: Sequence[int]) -> _StandIn:
        return self.then(Source, inputs=(), channels=shape[1], height=shape[2], width=shape[3], empty=True)

    def __add__(self, other: _StandIn | Tensor | float) -> _StandIn:
        return self._with(other, torch.add)

    def __mul__(self, other: _StandIn | Tensor | float) -> _StandIn:
        return self._with(other, torch.mul)

    def _with(self, other: _StandIn | Tensor | float, function: Callable[..., Tensor]) -> _StandIn:
        """Of this and a number, or another of its shape; a tensor is what no image changes, such as a style's start."""
        if isinstance(other, int | float):
            return self.then(Pointwise, function=lambda tensor: function(tensor, other))
        if isinstance(other, Tensor) and other.shape == self.shape:
            shape = {"channels": other.shape[1], "height": other.shape[2], "width": other.shape[3]}
            other = self.then(Source, inputs=(), content=other, **shape)
        if not isinstance(other, _StandIn):
            raise NotByRows(self.layers, function.__name__)
        return self.then(Pointwise, inputs=(self.layer, other.layer), function=function)

    def add_(self, other: _StandIn | Tensor | float) -> _StandIn:
        return self + other

    def contiguous(self) -> _StandIn:
        return self

    def tanh(self) -> _StandIn:
        return _tanh(self)

    def relu(self) -> _StandIn:
        return _relu(self)

    def __getattr__(self, name: str) -> Any:  # flatten, mean …
        raise NotByRows(self.layers, name)

    def then(self, kind: type[Layer], **values: Any) -> _StandIn:
        """The stand-in for another layer's output, by default of this one's shape and made from it."""
        shape = {"channels": self.layer.channels, "height": self.layer.height, "width": self.layer.width}
        layer = kind(**({"inputs": (self.layer,)} | shape | values))
        self.layers.append(layer)
        return _StandIn(layer, self.layers)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: object, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> _StandIn:
        """PyTorch calls this in place of any of its functions that is given a stand-in."""
        name = getattr(function, "__name__", str(function))
        if function not in _NOTED:
            each = (part for value in args for part in (value if isinstance(value, list | tuple) else [value]))
            raise NotByRows(next(part.layers for part in each if isinstance(part, _StandIn)), name)
        try:
            return _NOTED[function](*args, **(kwargs or {}))
        except NotByRows as error:  # known, but not as it is called here
            error.operation = error.operation or name
            raise


def _refuse(name: str) -> Callable[..., _StandIn]:
    def refused(self: _StandIn, *_: object) -> _StandIn:
        raise NotByRows(self.layers, name)

    return refused


for _name in ("radd", "sub", "rsub", "rmul", "truediv", "rtruediv", "neg", "pow", "getitem"):
    setattr(_StandIn, f"__{_name}__", _refuse(_name))  # Python looks for operators in the class alone


# --- the functions, with PyTorch's own parameters -----------------------------------------------------------------


def _relu(x: _StandIn, inplace: bool = False) -> _StandIn:
    return x.then(Pointwise, function=torch.relu, in_place=torch.relu_)


def _relu6(x: _StandIn, inplace: bool = False) -> _StandIn:
    return x.then(Pointwise, function=F.relu6, in_place=lambda tensor: tensor.clamp_(0, 6))


def _leaky_relu(x: _StandIn, negative_slope: float = 0.01, inplace: bool = False) -> _StandIn:
    return x.then(
        Pointwise,
        function=lambda tensor: F.leaky_relu(tensor, negative_slope),
        in_place=lambda tensor: F.leaky_relu_(tensor, negative_slope),
    )


def _tanh(x: _StandIn) -> _StandIn:
    return x.then(Pointwise, function=torch.tanh, in_place=torch.tanh_)


def _dropout(x: _StandIn, p: float = 0.5, training: bool = True, inplace: bool = False) -> _StandIn:
    _only(x, training, False)  # rows that are computed twice would be drawn twice
    return x


def _concatenate(parts: Sequence[_StandIn], dim: int = 0) -> _StandIn:
    layers = tuple(part.layer for part in parts)
    _only(parts[0], dim, 1)
    channels = sum(layer.channels for layer in layers)
    return parts[0].then(Pointwise, inputs=layers, channels=channels, function=lambda *tensors: torch.cat(tensors, 1))


def _pad(x: _StandIn, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> _StandIn:
    zeros = mode == "constant" and not value
    if not zeros and mode not in ("reflect", "replicate"):
        raise NotByRows(x.layers)
    left, right, above, below = pad
    height, width = x.layer.height + above + below, x.layer.width + left + right
    if zeros:
        return x.then(Zeros, height=height, width=width, sides=(left, right, above, below))
    return x.then(Border, height=height, width=width, sides=(left, right, above, below), mode=mode)


def _instance_norm(
    x: _StandIn,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> _StandIn:
    _only(x, use_input_stats, True)
    return x.then(Normalise, eps=eps, gain=weight, bias=bias)


def _batch_norm(
    x: _StandIn,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> _StandIn:
    _only(x, training, False)
    return x.then(Normalise, eps=eps, gain=weight, bias=bias, statistics=(running_mean, running_var), trained=True)


def _convolution(
    x: _StandIn,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> _StandIn:
    return _with_kernel(x, weight, bias, stride, padding, dilation, groups)


def _transposed(
    x: _StandIn,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> _StandIn:
    return _with_kernel(x, weight, bias, stride, padding, dilation, groups, output_padding=output_padding)


def _with_kernel(
    x: _StandIn,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    *,
    output_padding: Any = None,
) -> _StandIn:
    """A convolution; with `output_padding` a transposed one."""
    _only(x, dilation, 1)
    stride, padding, kernel = _only(x, stride), _only(x, padding), weight.shape[2]
    sides = x.layer.height, x.layer.width
    own = {"weight": weight, "bias": bias, "stride": stride, "padding": padding, "groups": groups}
    if output_padding is None:
        channels, inner = weight.shape[:2]
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in sides)
        shape = {"channels": channels, "height": height, "width": width, "effort": inner * kernel**2}
        return x.then(Convolution, **shape, **own)
    extra = _only(x, output_padding)
    if extra > padding:
        raise NotByRows(x.layers)
    inner, channels = weight.shape[0] // groups, weight.shape[1] * groups
    height, width = ((side - 1) * stride - 2 * padding + kernel + extra for side in sides)
    shape = {"channels": channels, "height": height, "width": width, "effort": inner * kernel**2 / stride**2}
    return x.then(Transposed, **shape, **own, output_padding=extra)


def _pixel_shuffle(x: _StandIn, upscale_factor: int) -> _StandIn:
    height, width = x.layer.height * upscale_factor, x.layer.width * upscale_factor
    channels = x.layer.channels // upscale_factor**2
    return x.then(PixelShuffle, channels=channels, height=height, width=width, factor=upscale_factor)


def _interpolate(
    x: _StandIn, size: Sequence[int] | None = None, scale_factor: Any = None, mode: str = "nearest", **_: Any
) -> _StandIn:
    if mode != "nearest" or size is None:
        raise NotByRows(x.layers)
    height, width = size
    for before, after in ((x.layer.height, height), (x.layer.width, width)):
        if max(before, after) % min(before, after):
            raise NotByRows(x.layers)
    return x.then(Nearest, height=height, width=width) if (height, width) != tuple(x.shape[-2:]) else x


def _average(
    x: _StandIn, kernel_size: Any, stride: Any = None, padding: Any = 0, *, count_include_pad: bool = True
) -> _StandIn:
    for value, expected in ((kernel_size, 3), (stride, 2), (padding, 1), (count_include_pad, False)):
        _only(x, value, expected)
    return x.then(Average, height=(x.layer.height + 1) // 2, width=(x.layer.width + 1) // 2)


def _largest(
    x: _StandIn,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> _StandIn:
    for value, expected in ((dilation, 1), (ceil_mode, False), (return_indices, False)):
        _only(x, value, expected)
    kernel, padding = _only(x, kernel_size), _only(x, padding)
    stride = _only(x, stride) if stride else kernel
    height, width = ((size + 2 * padding - kernel) // stride + 1 for size in (x.layer.height, x.layer.width))
    return x.then(Largest, height=height, width=width, kernel=kernel, stride=stride, padding=padding)


def _only(x: _StandIn, value: Any, expected: Any = None) -> Any:
    """The one number of both axes, which must be the expected one."""
    values = set(value) if isinstance(value, tuple) else {value}
    if len(values) != 1 or (expected is not None and values != {expected}):
        raise NotByRows(x.layers)
    return values.pop()


_NOTED: dict[Any, Callable[..., _StandIn]] = {
    F.relu: _relu,
    F.relu6: _relu6,
    F.leaky_relu: _leaky_relu,
    torch.tanh: _tanh,
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
}
