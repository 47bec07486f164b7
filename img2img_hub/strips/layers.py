"""The layers of a generator, of any of which any rows can be computed from the rows that they see.

    python -c "from img2img_hub import ResNetGenerator as R; from img2img_hub.strips.recording import record; \
    print(len(record(R(width=8), height=4096, width=4096)), 'layers')"

`recording` makes them from a network. Rows are whole rows: what happens at the left and the right border is the
operation's own, and what happens at the upper and the lower border happens at the image's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

Rows = tuple[int, int]
"""From the first row up to, not including, the second."""


@dataclass(eq=False, kw_only=True)
class Layer:
    """One operation: (N, channels, height, width) out of the layers before it. The base is pointwise.

    Attributes:
        effort: multiplications for one value of the output.
    """

    inputs: tuple[Layer, ...]
    channels: int
    height: int
    width: int
    effort: float = 0.0
    readers: list[Layer] = field(default_factory=list)
    kept: bool = False  # its whole output is stored, for others to read

    def __post_init__(self) -> None:
        for layer in self.inputs:
            layer.readers.append(self)

    @property
    def values(self) -> int:
        """Of the whole output."""
        return self.channels * self.height * self.width

    @property
    def overwrites(self) -> bool:
        """Whether it computes in the memory of its input, which nobody else reads."""
        return False

    def needs(self, rows: Rows) -> Rows:
        """The rows of the inputs that these rows of the output are made of; all of them exist."""
        return rows

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        """(N, channels, number of rows, width) from the inputs' rows `needs(rows)`."""
        raise NotImplementedError


@dataclass(eq=False, kw_only=True)
class Source(Layer):
    """The image; or what is no function of it: `content`, (1, channels, height, width), or with `empty` the zeros of a
    noise that is not drawn."""

    empty: bool = False
    content: Tensor | None = None

    def held(self, rows: Rows, *, images: int, device: torch.device) -> Tensor:
        """Rows of what is not the image, (images, channels, rows, width)."""
        if self.content is None:
            return torch.zeros(images, self.channels, rows[1] - rows[0], self.width, device=device)
        return self.content[:, :, slice(*rows)].expand(images, -1, -1, -1)

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        raise AssertionError("an image is given, not computed")


@dataclass(eq=False, kw_only=True)
class Pointwise(Layer):
    """A function of each value, or of the inputs' values at the same place."""

    function: Callable[..., Tensor]
    in_place: Callable[[Tensor], Tensor] | None = None

    @property
    def overwrites(self) -> bool:
        return self.in_place is not None and _read_once(self.inputs[0])

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        if self.in_place and self.overwrites:
            return self.in_place(inputs[0])
        return self.function(*inputs)


@dataclass(eq=False, kw_only=True)
class Normalise(Layer):
    """(x − mean) / √(variance + eps) · gain + bias, a channel at a time.

    Attributes:
        statistics: mean and variance, (channels,) each; None: those of the first rows that it gets.
        trained: whether they are training's and not the image's.
    """

    eps: float
    gain: Tensor | None = None
    bias: Tensor | None = None
    statistics: tuple[Tensor, Tensor] | None = None
    trained: bool = False

    @property
    def overwrites(self) -> bool:
        return _read_once(self.inputs[0])

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        (x,) = inputs
        if self.statistics is None:
            variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
            self.statistics = mean, variance
        mean, variance = (value.to(x)[:, None, None] for value in self.statistics)
        factor = (variance + self.eps).rsqrt()
        if self.gain is not None:
            factor = factor * self.gain[:, None, None]
        x = x.sub_(mean) if self.overwrites else x - mean
        x.mul_(factor)
        return x if self.bias is None else x.add_(self.bias[:, None, None])


@dataclass(eq=False, kw_only=True)
class PixelShuffle(Layer):
    """Channels unfolded into blocks of ``factor`` × ``factor`` pixels (Shi et al. 2016, arXiv 1609.05158)."""

    factor: int

    def needs(self, rows: Rows) -> Rows:
        return rows[0] // self.factor, -(-rows[1] // self.factor)

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        first = rows[0] % self.factor
        return F.pixel_shuffle(inputs[0], self.factor)[:, :, first : first + rows[1] - rows[0]]


@dataclass(eq=False, kw_only=True)
class PixelUnshuffle(Layer):
    """The way back: blocks of ``factor`` × ``factor`` pixels become channels."""

    factor: int

    def needs(self, rows: Rows) -> Rows:
        return rows[0] * self.factor, rows[1] * self.factor

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        return F.pixel_unshuffle(inputs[0], self.factor)


@dataclass(eq=False, kw_only=True)
class Bilinear(Layer):
    """A whole number of times larger, each pixel between the two rows and columns that its middle lies between."""

    def needs(self, rows: Rows) -> Rows:
        upper, _ = self._between(rows)
        last = self.inputs[0].height - 1
        return int(upper.clamp(0, last)[0]), int((upper + 1).clamp(0, last)[-1]) + 1

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        (x,) = inputs
        x = F.interpolate(x, size=(x.shape[-2], self.width), mode="bilinear", align_corners=False)
        upper, share = self._between(rows)
        first, last = self.needs(rows)[0], self.inputs[0].height - 1
        above, below = (x.index_select(2, (each.clamp(0, last) - first).to(x.device)) for each in (upper, upper + 1))
        return torch.lerp(above, below, share.to(x)[:, None])

    def _between(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """For each row the one above its middle, which may lie outside, and the share of the one below."""
        middle = (torch.arange(*rows) + 0.5) * (self.inputs[0].height / self.height) - 0.5
        return middle.floor().long(), middle - middle.floor()


@dataclass(eq=False, kw_only=True)
class Nearest(Layer):
    """A whole number of times smaller or larger, by leaving out or repeating pixels."""

    def needs(self, rows: Rows) -> Rows:
        before = self.inputs[0].height
        return rows[0] * before // self.height, (rows[1] - 1) * before // self.height + 1

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        before = self.inputs[0]
        down = torch.arange(*rows) * before.height // self.height - self.needs(rows)[0]
        across = torch.arange(self.width) * before.width // self.width
        (x,) = inputs
        return x.index_select(2, down.to(x.device)).index_select(3, across.to(x.device))


@dataclass(eq=False, kw_only=True)
class Border(Layer):
    """A border of `sides` (left, right, above, below) pixels, "reflect" or "replicate"."""

    sides: tuple[int, int, int, int]
    mode: str

    def needs(self, rows: Rows) -> Rows:
        positions = self._positions(rows)
        return int(positions.min()), int(positions.max()) + 1

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        (x,) = inputs
        left, right, _, _ = self.sides
        positions = self._positions(rows)
        if int(positions[-1] - positions[0]) != len(positions) - 1 or len(positions) != x.shape[-2]:
            x = x.index_select(-2, (positions - positions.min()).to(x.device))
        return F.pad(x, (left, right, 0, 0), mode=self.mode)

    def _positions(self, rows: Rows) -> Tensor:
        """The row of the input that each row of the output repeats."""
        last = self.inputs[0].height - 1
        positions = torch.arange(*rows) - self.sides[2]
        if self.mode == "reflect":
            positions = last - (last - positions.abs()).abs()
        return positions.clamp(0, last)


@dataclass(eq=False, kw_only=True)
class Zeros(Layer):
    """A border of `sides` (left, right, above, below) zeros, as convolutions have it whose padding is not the same on
    both sides."""

    sides: tuple[int, int, int, int]

    def needs(self, rows: Rows) -> Rows:
        first, last = (row - self.sides[2] for row in rows)
        height = self.inputs[0].height
        first = min(max(first, 0), height - 1)  # one of them, where all that is wanted are zeros
        return first, max(min(last, height), first + 1)

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        left, right, above, _ = self.sides
        first, last = self.needs(rows)
        return F.pad(inputs[0], (left, right, first - (rows[0] - above), rows[1] - above - last))


@dataclass(eq=False, kw_only=True)
class Convolution(Layer):
    """Zeros around the image, then a convolution."""

    weight: Tensor
    bias: Tensor | None
    stride: int
    padding: int
    groups: int = 1
    dilation: int = 1

    def needs(self, rows: Rows) -> Rows:
        first, last = self._window(rows)
        return max(first, 0), min(last, self.inputs[0].height)

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        first, last = self._window(rows)
        above, below = max(-first, 0), max(last - self.inputs[0].height, 0)
        x = F.pad(inputs[0], (0, 0, above, below)) if above or below else inputs[0]
        border = (0, self.padding)
        return F.conv2d(x, self.weight, self.bias, self.stride, border, self.dilation, self.groups)

    def _window(self, rows: Rows) -> Rows:
        """The rows under the kernel, beyond the image too."""
        first, last = (row * self.stride - self.padding for row in (rows[0], rows[1] - 1))
        return first, last + self.dilation * (self.weight.shape[2] - 1) + 1


@dataclass(eq=False, kw_only=True)
class Transposed(Convolution):
    """A transposed convolution."""

    output_padding: int

    def needs(self, rows: Rows) -> Rows:
        reach = self.weight.shape[2] - 1 - self.padding
        first, last = -((reach - rows[0]) // self.stride), (rows[1] - 1 + self.padding) // self.stride
        return max(first, 0), min(last + 1, self.inputs[0].height)

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        first = self.needs(rows)[0] * self.stride - self.padding  # the output's row where this computation begins
        made = F.conv_transpose2d(
            inputs[0],
            self.weight,
            self.bias,
            stride=self.stride,
            padding=(0, self.padding),
            output_padding=(0, self.output_padding),
            groups=self.groups,
        )
        return made[:, :, rows[0] - first : rows[1] - first]


@dataclass(eq=False, kw_only=True)
class Largest(Layer):
    """The largest value of each window; what lies outside the image does not count."""

    kernel: int
    stride: int
    padding: int

    def needs(self, rows: Rows) -> Rows:
        first, last = self._window(rows)
        return max(first, 0), min(last, self.inputs[0].height)

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        first, last = self._window(rows)
        sides = (self.padding, self.padding, max(-first, 0), max(last - self.inputs[0].height, 0))
        x = F.pad(inputs[0], sides, value=-torch.inf) if any(sides) else inputs[0]
        return F.max_pool2d(x, self.kernel, stride=self.stride)

    def _window(self, rows: Rows) -> Rows:
        first, last = (row * self.stride - self.padding for row in (rows[0], rows[1] - 1))
        return first, last + self.kernel


@dataclass(eq=False, kw_only=True)
class Average(Layer):
    """Means over 3×3 at a stride of 2, in which what lies outside the image does not count (blocks.halve)."""

    def needs(self, rows: Rows) -> Rows:
        return max(2 * rows[0] - 1, 0), min(2 * rows[1], self.inputs[0].height)

    def compute(self, inputs: Sequence[Tensor], rows: Rows) -> Tensor:
        height = self.inputs[0].height
        x = F.pad(inputs[0], (0, 0, int(rows[0] == 0), int(2 * rows[1] > height)))
        means = F.avg_pool2d(x, 3, stride=2, padding=(0, 1), count_include_pad=False)
        middle = 2 * torch.arange(*rows)
        counted = (middle + 2).clamp(max=height) - (middle - 1).clamp(min=0)  # of the three rows
        return means.mul_((3 / counted).to(means)[:, None])


def _read_once(layer: Layer) -> bool:
    return len(layer.readers) == 1 and not layer.kept and not isinstance(layer, Source)
