"""3×3 convolutions of many channels in training on CPUs, by Winograd's F(4×4, 3×3) (Lavin and Gray 2016, arXiv
1509.09308): a quarter of the multiplications, forwards and backwards.

    python -c "import torch; from img2img_hub.networks.winograd import BorderedConvolution as B; \
    print(B.apply(torch.rand(1, 8, 32, 32), torch.rand(8, 8, 3, 3), None, 'reflect').shape)"

Each tile of 6×6 pixels gives 4×4 of the output. Tile and kernel are transformed to 36 values, at each of which the
convolution is a product of matrices over the channels, and its result is transformed back:

    output = A (G kernel · B tile)

The gradients are the same three steps transposed. Every transform is linear, so it stands here as one matrix for both
axes. The border, of reflected pixels or of zeros, is made inside: only the image in front of it is kept for the
backward pass, which the ReLU before it keeps anyway. So it takes less memory than a border and PyTorch's convolution,
tiles notwithstanding.
"""

import threading
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

# Below, transforms cost about what multiplications gain (64 channels: 0.9 to 1.1 ×, one thread of an AVX2 CPU).
CHANNELS = 128
PIXELS = 32 * 32

Border = Literal["reflect", "constant"]
"""As F.pad calls them; constant: of zeros."""


def _both_axes(rows: Sequence[Sequence[float]]) -> Tensor:
    axis = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(axis, axis).float()


# Interpolation at 0, ±1, ±2 and infinity; names as in the paper. A tile's and a kernel's way to 36 values: (36, 36) and
# (36, 9), then that of 36 values to the output: (16, 36).
_B = _both_axes(
    [
        *([4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0]),
        *([0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]),
    ]
)
_G = _both_axes(
    [
        *([1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6]),
        *([1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]),
    ]
)
_A = _both_axes([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])


def is_faster(x: Tensor, kernel: Tensor) -> bool:
    """In eager training on a CPU in float32, with enough channels and pixels. Inference and whatever rewrites, traces
    or compiles the layers gets PyTorch's convolution, and so the same numbers as ever."""
    return (
        type(x) is Tensor
        and torch.is_grad_enabled()
        and (x.requires_grad or kernel.requires_grad)
        and x.device.type == kernel.device.type == "cpu"
        and x.dtype == kernel.dtype == torch.float32
        and x.dim() == 4
        and min(kernel.shape[:2]) >= CHANNELS
        and x.shape[-2:].numel() >= PIXELS
        and min(x.shape[-2:]) > 1
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch._C._len_torch_dispatch_stack()  # make_fx, counters of operations
        and torch._C._functorch.peek_interpreter_stack() is None  # vmap, jvp
    )


class BorderedConvolution(torch.autograd.Function):
    """A 3×3 convolution behind a border of one pixel, "reflect" or "constant": zero.

    (N, C, H, W), (K, C, 3, 3), (K) or None, border -> (N, K, H, W), all float32 on the CPU; H and W at least 2.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None, border: Border) -> Tensor:
        ctx.save_for_backward(x, kernel, bias)
        ctx.border = border
        (count, _, height, width), made = x.shape, len(kernel)
        down, right = -(-height // 4), -(-width // 4)
        tiles = count * down * right
        image = _transformed_tiles(x, border=border, places=(0, 1))  # (36, C, T)
        products = torch.bmm(_transformed_kernel(kernel, place=2), image, out=_room(0, 36, made, tiles))
        blocks = torch.bmm(_A.expand(made, 16, 36), products.transpose(0, 1), out=_room(1, made, 16, tiles))
        blocks = blocks.view(made, 4, 4, count, down, right).permute(3, 0, 4, 1, 5, 2)
        output = x.new_empty(count, made, 4 * down, 4 * right)
        tiled = output.view(count, made, down, 4, right, 4)
        if bias is None:
            tiled.copy_(blocks)
        else:
            torch.add(blocks, bias.view(made, 1, 1, 1, 1), out=tiled)
        if output.shape[-2:] != x.shape[-2:]:
            output = output[..., :height, :width].clone(memory_format=torch.contiguous_format)
        return output  # no view of anything, or nobody might write over it

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel, bias = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates twice
            wanted = ctx.needs_input_grad[:3]
            return *_differentiable_gradients(x, kernel, bias, gradient, border=ctx.border, wanted=wanted), None
        (count, channels, height, width), made = x.shape, len(kernel)
        down, right = -(-height // 4), -(-width // 4)
        tiles = count * down * right
        of_x = of_kernel = of_bias = None
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))

        if (4 * down, 4 * right) != (height, width):
            gradient = F.pad(gradient, (0, 4 * right - width, 0, 4 * down - height))
        blocks = gradient.reshape(count, made, down, 4, right, 4).permute(1, 3, 5, 0, 2, 4)
        blocks = _room(0, *blocks.shape).copy_(blocks).view(made, 16, tiles)
        products = torch.bmm(_A.t().expand(made, 36, 16), blocks, out=_room(1, made, 36, tiles)).transpose(0, 1)
        if ctx.needs_input_grad[1]:
            image = _transformed_tiles(x, border=ctx.border, places=(0, 2))
            transformed = torch.bmm(products, image.transpose(1, 2), out=_room(0, 36, made, channels))
            of_kernel = (_G.t() @ transformed.view(36, -1)).t().reshape(kernel.shape)
        if ctx.needs_input_grad[0]:
            transformed = _transformed_kernel(kernel, place=2).transpose(1, 2)
            image = torch.bmm(transformed, products, out=_room(0, 36, channels, tiles)).transpose(0, 1)
            parts = torch.bmm(_B.t().expand(channels, 36, 36), image, out=_room(1, channels, 36, tiles))
            parts = parts.view(channels, 6, 6, count, down, right).permute(3, 0, 4, 1, 5, 2)
            of_x = _sum_of_tiles(parts, place=0)[..., : height + 2, : width + 2]
            if ctx.border == "reflect":
                for axis in (-1, -2):  # what fell on the border goes back to the pixels that it reflects
                    of_x.select(axis, 2).add_(of_x.select(axis, 0))
                    of_x.select(axis, -3).add_(of_x.select(axis, -1))
            of_x = of_x[..., 1:-1, 1:-1].clone(memory_format=torch.contiguous_format)
        return of_x, of_kernel, of_bias, None


def _transformed_tiles(x: Tensor, *, border: Border, places: tuple[int, int]) -> Tensor:
    """(N, C, H, W) -> (36, C, T), in places[1]."""
    count, channels, height, width = x.shape
    down, right = -(-height // 4), -(-width // 4)
    image = F.pad(x, (1, 1, 1, 1), mode=border)
    if (4 * down, 4 * right) != (height, width):
        image = F.pad(image, (0, 4 * right - width, 0, 4 * down - height))
    pixels = _room(places[0], channels, 6, 6, count, down, right)
    pixels.copy_(image.unfold(2, 6, 4).unfold(3, 6, 4).permute(1, 4, 5, 0, 2, 3))
    pixels = pixels.view(channels, 36, -1)
    # One product a channel: what it reads is still in the cache, of which one large product would make no use.
    return torch.bmm(_B.expand(channels, 36, 36), pixels, out=_room(places[1], *pixels.shape)).transpose(0, 1)


def _transformed_kernel(kernel: Tensor, *, place: int) -> Tensor:  # (K, C, 3, 3) -> (36, K, C)
    made, channels = kernel.shape[:2]
    return torch.mm(_G, kernel.reshape(-1, 9).t(), out=_room(place, 36, made * channels)).view(36, made, channels)


def _sum_of_tiles(parts: Tensor, *, place: int) -> Tensor:
    """(N, C, down, 6, right, 6) -> (N, C, 4·down + 4, 4·right + 4): tiles of 6×6, 4 apart, laid over each other."""
    count, channels, down, _, right, _ = parts.shape
    total = _room(place, count, channels, down + 1, 4, right + 1, 4).zero_()
    total[:, :, :-1, :, :-1] = parts[:, :, :, :4, :, :4]
    total[:, :, 1:, :2, :-1] += parts[:, :, :, 4:, :, :4]
    total[:, :, :-1, :, 1:, :2] += parts[:, :, :, :4, :, 4:]
    total[:, :, 1:, :2, 1:, :2] += parts[:, :, :, 4:, :, 4:]
    return total.view(count, channels, 4 * down + 4, 4 * right + 4)


def _differentiable_gradients(
    x: Tensor, kernel: Tensor, bias: Tensor | None, gradient: Tensor, *, border: Border, wanted: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """The same gradients, with a graph of their own."""
    output = F.conv2d(F.pad(x, (1, 1, 1, 1), mode=border), kernel, bias)
    inputs = [each for each, want in zip((x, kernel, bias), wanted, strict=True) if want and each is not None]
    found = iter(torch.autograd.grad(output, inputs, gradient, create_graph=True))
    return tuple(next(found) if want else None for want in wanted)


class _Rooms(threading.local):
    """Memory for what no result keeps, used again by the next convolution: fresh memory would cost a quarter of the
    time, for the system hands it out page by page."""

    def __init__(self) -> None:
        self.rooms = [torch.empty(0)] * 3


_rooms = _Rooms()


def _room(place: int, *shape: int) -> Tensor:
    """The memory of that place, whatever is in it, in this shape: what it held before is lost."""
    size = torch.Size(shape).numel()
    if _rooms.rooms[place].numel() < size:
        _rooms.rooms[place] = torch.empty(size)
    return _rooms.rooms[place][:size].view(shape)
