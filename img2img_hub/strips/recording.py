"""A generator written down as a list of layers.

    python -c "from img2img_hub import UNetGenerator as U; from img2img_hub.strips.recording import record; \
    print([type(layer).__name__ for layer in record(U(levels=3), height=64, width=64)])"

The network itself is run, once, on a stand-in that holds no pixels and notes what is done to it. So every network that
consists of the operations below is covered, without a second description that could differ from the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import add, mul, sub, truediv
from typing import Any

import torch
from torch import Tensor

from img2img_hub.networks import Network
from img2img_hub.strips.layers import Layer, Pointwise, Source
from img2img_hub.strips.operations import NOTED, NotByRows, relu, tanh


def record(network: Network, *, height: int, width: int) -> list[Layer]:
    """The layers of a generator in eval mode for one image, in the order of computation; the first is the image.

    Raises:
        NotByRows: some layer cannot be computed from neighbouring rows.
    """
    layers: list[Layer] = [Source(inputs=(), channels=network.in_channels, height=height, width=width)]
    with torch.no_grad():
        network(StandIn(layers[0], layers))
    return layers


class StandIn:
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

    def to(self, *_: object) -> StandIn:
        return self

    def new_zeros(self, shape: Sequence[int]) -> StandIn:
        return self.then(Source, inputs=(), channels=shape[1], height=shape[2], width=shape[3], empty=True)

    def __add__(self, other: StandIn | Tensor | float) -> StandIn:
        return self._with(other, torch.add)

    def __mul__(self, other: StandIn | Tensor | float) -> StandIn:
        return self._with(other, torch.mul)

    def __sub__(self, other: StandIn | Tensor | float) -> StandIn:
        return self._with(other, torch.sub)

    def __truediv__(self, other: StandIn | Tensor | float) -> StandIn:
        return self._with(other, torch.div)

    def __neg__(self) -> StandIn:
        return self.then(Pointwise, function=torch.neg)

    # Of a number before it alone: PyTorch's tensors call `__torch_function__`.
    __radd__, __rmul__ = __add__, __mul__

    def _with(self, other: StandIn | Tensor | float, function: Callable[..., Tensor]) -> StandIn:
        """Of this and a number, or another of its shape; a tensor is what no image changes, such as a style's start."""
        if isinstance(other, int | float):
            return self.then(Pointwise, function=lambda tensor: function(tensor, other))
        if isinstance(other, Tensor) and other.shape == self.shape:
            shape = {"channels": other.shape[1], "height": other.shape[2], "width": other.shape[3]}
            other = self.then(Source, inputs=(), content=other, **shape)
        if not isinstance(other, StandIn):
            raise NotByRows(self.layers, function.__name__)
        return self.then(Pointwise, inputs=(self.layer, other.layer), function=function)

    def add_(self, other: StandIn | Tensor | float) -> StandIn:
        return self + other

    def contiguous(self) -> StandIn:
        return self

    def tanh(self) -> StandIn:
        return tanh(self)

    def relu(self) -> StandIn:
        return relu(self)

    def __getattr__(self, name: str) -> Any:  # flatten, mean …
        raise NotByRows(self.layers, name)

    def then(self, kind: type[Layer], **values: Any) -> StandIn:
        """The stand-in for another layer's output, by default of this one's shape and made from it."""
        shape = {"channels": self.layer.channels, "height": self.layer.height, "width": self.layer.width}
        layer = kind(**({"inputs": (self.layer,)} | shape | values))
        self.layers.append(layer)
        return StandIn(layer, self.layers)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: object, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> StandIn:
        """PyTorch calls this in place of any of its functions that is given a stand-in."""
        name = getattr(function, "__name__", str(function))
        if function not in NOTED:
            each = (part for value in args for part in (value if isinstance(value, list | tuple) else [value]))
            raise NotByRows(next(part.layers for part in each if isinstance(part, StandIn)), name)
        try:
            return NOTED[function](*args, **(kwargs or {}))
        except NotByRows as error:  # known, but not as it is called here
            error.operation = error.operation or name
            raise


def _method(operation: Callable[[Any, Any], StandIn], name: str) -> Callable[..., StandIn]:
    def called(self: StandIn, other: StandIn | Tensor | float, **options: object) -> StandIn:
        if options:  # alpha, rounding_mode …
            raise NotByRows(self.layers, name)
        return operation(self, other)

    return called


def _refuse(name: str) -> Callable[..., StandIn]:
    def refused(self: StandIn, *_: object) -> StandIn:
        raise NotByRows(self.layers, name)

    return refused


for _name, _operation in (("add", add), ("sub", sub), ("mul", mul), ("div", truediv)):
    setattr(StandIn, _name, _method(_operation, _name))
for _name in ("rsub", "rtruediv", "pow", "getitem"):
    setattr(StandIn, f"__{_name}__", _refuse(_name))  # Python looks for operators in the class alone
