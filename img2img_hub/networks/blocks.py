"""Choices that all networks share: norms, up- and down-sampling, initialisation, what normalises at test time.

python -c "from img2img_hub.networks.blocks import make_norm; print(make_norm('instance', 8))"
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization

from img2img_hub.networks.spectral_norm import SpectralNorm
from img2img_hub.networks.winograd import BorderedConvolution, is_faster

Norm = Literal["batch", "instance", "none"]
Upsample = Literal["transpose", "resize", "bilinear"]
NormStatistics = Literal["image", "running"]

FEW_PIXELS = 16


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose test-time statistics are a choice.

    "running": the averages gathered in training, as usual. "image": each image's own statistics, which is what
    pix2pix does at test time (arXiv 1611.07004, section 3.3: "batch normalization using the statistics of the test
    batch" at batch size 1). Computed per image, so that an output never depends on its batch-mates.
    """

    statistics: NormStatistics = "running"

    def forward(self, input: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, H, W)
        if self.training or self.statistics == "running":
            return super().forward(input)
        return F.instance_norm(input, None, None, self.weight, self.bias, use_input_stats=True, eps=self.eps)


class Dropout(nn.Dropout):
    """Dropout that can stay active in eval mode: it is pix2pix's only noise, so it is what makes variations."""

    vary: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, training=self.training or self.vary)


def set_norm_statistics(network: nn.Module, statistics: NormStatistics) -> None:
    """Choose what batch norm normalises with in eval mode: "image" or "running". Instance norm does not care."""
    if statistics not in get_args(NormStatistics):
        raise ValueError(f"norm statistics must be 'image' or 'running', got {statistics!r}")
    for layer in network.modules():
        if isinstance(layer, BatchNorm2d):
            layer.statistics = statistics


def set_variation(network: nn.Module, on: bool) -> None:
    """Switch the dropout layers on (or off) in eval mode, for test-time variations."""
    for layer in network.modules():
        if isinstance(layer, Dropout):
            layer.vary = on


def make_norm(norm: str, channels: int) -> nn.Module:
    """Batch norm is affine with running statistics; instance norm has neither; "none" passes through."""
    if norm == "batch":
        return BatchNorm2d(channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm must be 'batch', 'instance' or 'none', got {norm!r}")


def conv_has_bias(norm: str) -> bool:
    """Batch norm brings its own bias. Under instance norm the originals keep one (it does nothing, but stands in the
    published files)."""
    return norm != "batch"


def float32_of_few_pixels(forward: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    """A convolution's forward that stays in float32 under autocast where its input has no more than FEW_PIXELS.

    The norm after it divides by the spread of its results: of four that are nearly the same (those of `ResizeConv2d` at
    1×1 are the same) half precision leaves nothing but its rounding, blown up to full strength. Norms themselves are
    not what loses it: they calculate in float32 whatever they are given. So few pixels cost next to nothing.
    """

    @functools.wraps(forward)
    def wrapped(layer: Any, input: Tensor) -> Tensor:
        kind = input.device.type
        halved = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        if not halved or input.shape[-2:].numel() > FEW_PIXELS:
            return forward(layer, input)
        if next(layer.parameters()).dtype != torch.float32:  # another program's choice, which autocast follows
            return forward(layer, input)
        with torch.autocast(kind, enabled=False):
            return forward(layer, input.float())

    return wrapped


class Conv2d(nn.Conv2d):
    @float32_of_few_pixels
    def forward(self, input: Tensor) -> Tensor:
        # Not where its weight is computed anew for each call, by spectral norm: that is another class.
        if type(self) is Conv2d and self._is_plain and is_faster(input, self.weight):
            return BorderedConvolution.apply(input, self.weight, self.bias, "constant")
        return super().forward(input)

    @property
    def _is_plain(self) -> bool:
        """3×3 over a border of zeros, each pixel from all channels."""
        shape = (self.kernel_size, self.stride, self.padding, self.dilation, self.groups, self.padding_mode)
        return shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros")


def convolve_reflected(x: Tensor, border: nn.Module, convolution: nn.Module) -> Tensor:
    """What `convolution(border(x))` gives, for a reflected border of one pixel and a 3×3 convolution: by Winograd where
    that is faster and nothing looks at the two layers themselves."""
    if (
        type(convolution) is Conv2d
        and is_faster(x, convolution.weight)
        and not (convolution._forward_hooks or convolution._forward_pre_hooks)
        and not (convolution._backward_hooks or convolution._backward_pre_hooks)
    ):
        return BorderedConvolution.apply(x, convolution.weight, convolution.bias, "reflect")
    return convolution(border(x))


class ConvTranspose2d(nn.ConvTranspose2d):
    @float32_of_few_pixels
    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]  # no network asks for an output size
        return super().forward(input)


class ResizeConv2d(nn.Conv2d):
    """×2, then a 3×3 convolution over a repeated border: no checkerboard of overlapping kernels (Odena et al. 2016,
    distill.pub/2016/deconv-checkerboard).

    `between`: "nearest" repeats every pixel, "bilinear" interpolates (pixel centres at halves, as image libraries do).
    The first one is the cheaper and the sharper; its blocks, doubled level by level, are what a small generator weaves
    a lattice of where the source is flat. The second one leaves no blocks.

    Computed in one go: spreading every pixel over its neighbours and then summing over 3×3 is a transposed convolution
    of stride 2 whose kernel is the 3×3 one laid over the spread. The large image in between is never made.
    """

    spreads: ClassVar[dict[str, list[float]]] = {"nearest": [1.0, 1.0], "bilinear": [0.25, 0.75, 0.75, 0.25]}

    def __init__(
        self, in_channels: int, out_channels: int, *, bias: bool, between: Literal["nearest", "bilinear"] = "nearest"
    ) -> None:
        super().__init__(in_channels, out_channels, 3, bias=bias)
        self.between = between
        self.kept: Tensor | None = None  # the kernel, see `constant_kernels`
        self.overhang = len(self.spreads[between]) // 2 + 2  # of the kernel, over a border of one pixel

    @float32_of_few_pixels
    def forward(self, input: Tensor) -> Tensor:  # (N, C, H, W) -> (N, out_channels, 2H, 2W)
        border = F.pad(input, (1, 1, 1, 1), mode="replicate")
        kernel = self.kernel() if self.kept is None else self.kept
        return F.conv_transpose2d(border, kernel, self.bias, stride=2, padding=self.overhang)

    def kernel(self) -> Tensor:  # (in_channels, out_channels, K, K), of the transposed convolution; K: 4 or 6
        spread = self.weight.new_tensor(self.spreads[self.between])
        size = len(spread) + 2
        # Row s: what the s-th of three neighbours adds to each place. For both axes at once: (9, K²).
        axis = torch.stack([F.pad(spread, (2 - shift, shift)) for shift in range(3)])
        return (self.weight.flatten(2) @ torch.kron(axis, axis)).unflatten(2, (size, size)).transpose(0, 1)


@contextmanager
def constant_kernels(*networks: nn.Module) -> Iterator[None]:
    """Compute the kernels of `ResizeConv2d` once, for many calls between which no weight changes and nothing is learnt.

    Left to the caller: an optimizer may change a weight without a trace that a layer could look for. While it lasts it
    takes up to four times the memory of these layers' weights.
    """
    layers = [layer for network in networks for layer in network.modules() if isinstance(layer, ResizeConv2d)]
    try:
        for layer in layers:
            with torch.no_grad(), torch.autocast(layer.weight.device.type, enabled=False):
                layer.kept = layer.kernel().contiguous()
        yield
    finally:
        for layer in layers:
            layer.kept = None


def make_upsample(upsample: str, in_channels: int, out_channels: int, *, kernel: int, bias: bool) -> nn.Module:
    """A layer that doubles height and width: "transpose", the papers' transposed convolution of that kernel (3 or 4),
    or "resize" or "bilinear", see ResizeConv2d."""
    if upsample == "transpose":
        return ConvTranspose2d(
            in_channels, out_channels, kernel, stride=2, padding=1, output_padding=kernel % 2, bias=bias
        )
    if upsample == "resize":
        return ResizeConv2d(in_channels, out_channels, bias=bias)
    if upsample == "bilinear":
        return ResizeConv2d(in_channels, out_channels, bias=bias, between="bilinear")
    raise ValueError(f"upsample must be 'transpose', 'resize' or 'bilinear', got {upsample!r}")


def halve(image: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, ⌈H/2⌉, ⌈W/2⌉)
    """The next level of pix2pixHD's image pyramid: 3×3 averages, a stride of 2, in which what lies outside the image
    does not count."""
    return F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)


def normalise_spectrally(network: nn.Module) -> None:
    """Divide the weight of every convolution by its largest singular value (Miyato et al. 2018, arXiv 1802.05957).

    Must run after `initialise`, which would set the quotient and not the weight. The value is estimated by one step of
    power iteration a forward in training mode, none in eval mode; its two vectors are buffers, saved with the weights,
    so a resumed run goes on from the same estimate. On several processes they stay equal without any exchange: they
    start equal, and each forward computes them from the weights alone, never from the batch.
    """
    for layer in list(network.modules()):  # a list: registering adds modules
        if isinstance(layer, nn.Conv2d):
            register_parametrization(layer, "weight", SpectralNorm(layer.weight))


@torch.no_grad()
def initialise(layers: Iterable[nn.Module], *, biases: bool = True) -> None:
    """Weights of convolutions N(0, 0.02), biases 0; batch-norm gains N(1, 0.02), biases 0 (CycleGAN appendix 7.2,
    pix2pix appendix 6.2). Must run before a conversion to SyncBatchNorm. Without `biases` those of convolutions stay
    as PyTorch drew them, as pix2pixHD's authors have it.

    On the meta device, where a network is built to be loaded, there is nothing to draw: only names and shapes count,
    and PyTorch would import its whole compiler for `normal_` there (a second and 70 MiB).
    """
    for layer in layers:
        if any(parameter.is_meta for parameter in layer.parameters(recurse=False)):
            continue
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.weight.normal_(0.0, 0.02)
            if layer.bias is not None and biases:
                layer.bias.zero_()
        elif isinstance(layer, BatchNorm2d):
            layer.weight.normal_(1.0, 0.02)
            layer.bias.zero_()


@torch.no_grad()
def initialise_xavier(layers: Iterable[nn.Module]) -> None:
    """Weights of convolutions and linear layers after Glorot and Bengio (2010), 0.02 times as wide, biases 0: as CUT's
    authors have it. Norms stay as `initialise` made them; what spectral norm divides is drawn, not the quotient."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and not layer.weight.is_meta:
            divided = dict(layer.named_parameters()).get("parametrizations.weight.original")
            nn.init.xavier_normal_(layer.weight if divided is None else divided, gain=0.02)
            if layer.bias is not None:
                layer.bias.zero_()


def initialise_kaiming(layers: Iterable[nn.Module], *, times: float) -> None:
    """Weights of convolutions after He et al. 2015, `times` as wide, biases 0: residual branches then begin as next to
    nothing (ESRGAN, arXiv 1809.00219, section 3.1). Nothing is drawn on the meta device."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and not layer.weight.is_meta:
            nn.init.kaiming_normal_(layer.weight)
            with torch.no_grad():
                layer.weight.mul_(times)
                if layer.bias is not None:
                    layer.bias.zero_()
