"""A generator's test-time copy for other runtimes: plain layers, constant kernels, the norm's mode baked in.

    python -c "from img2img_hub import UNetGenerator as U; from img2img_hub.runtimes.portable import portable; \
    print(portable(U(levels=3, width=4)))"

Every step is exact but for float rounding.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from img2img_hub.networks import Network
from img2img_hub.networks.blocks import BatchNorm2d, Dropout, ResizeConv2d

_FEW = 4  # bands that leave most lanes of a SIMD register empty


def portable(network: Network, *, phases: bool = False) -> nn.Module:
    """A copy on the CPU in eval mode, that gives what `network` gives without a seed.

    Dropout is left out. `ResizeConv2d` becomes a transposed convolution with a constant kernel, and a weight that is
    calculated (by spectral norm) a constant. Batch norm by running averages becomes part of the convolution before it
    (batch norm by image statistics stays: it is instance norm). What these steps were not made for, in a network from
    outside the package, stays as it is.

    Args:
        phases: transposed convolutions of even kernels become plain ones, see `InPhases`: faster in bfloat16, slower in
            float32.
    """
    made = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    for layer in list(made.modules()):
        if is_parametrized(layer):
            _hold_weights(layer)
    even = int(network.multiple) % 2 == 0  # type: ignore[arg-type]
    # The children first: what is replaced inside a Sequential is seen by what merges its neighbours.
    for parent in reversed(list(made.modules())):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, ResizeConv2d):
                setattr(parent, name, _doubling(layer))
            elif isinstance(layer, Dropout):
                setattr(parent, name, nn.Identity())
        if isinstance(parent, nn.Sequential):
            _merge_norms(parent)
            if even:
                _widen_last(parent)
    if phases:  # after the norms have found the convolutions they merge with
        for parent in list(made.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, nn.ConvTranspose2d) and InPhases.fits(layer):
                    setattr(parent, name, InPhases(layer).eval())
    return made


class InPhases(nn.Module):
    """A transposed convolution of stride 2 and an even kernel as a plain one of half its size, from the same pixels to
    all four of a block of 2×2: its outputs of either parity see the same inputs. (An odd kernel's do not: a quarter to
    a half of the weights would be zeros.)"""

    @staticmethod
    def fits(layer: nn.ConvTranspose2d) -> bool:
        high, wide = layer.kernel_size
        plain = layer.stride == (2, 2) and layer.dilation == (1, 1) and layer.groups == 1
        whole = layer.output_padding in (0, (0, 0)) and layer.padding[0] == layer.padding[1]
        return high == wide and high % 2 == 0 and plain and whole

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.size, self.padding = layer.kernel_size[0], int(layer.padding[0])
        inner, outer, taps = layer.in_channels, layer.out_channels, self.size // 2
        self.layer = nn.Conv2d(inner, 4 * outer, taps, bias=layer.bias is not None)
        # Of output row 2m + parity before cropping, input row m - tap has the weight of kernel row 2 · tap + parity.
        kernel = layer.weight.unflatten(3, (taps, 2)).unflatten(2, (taps, 2)).flip(2, 4)
        weight = kernel.permute(1, 3, 5, 0, 2, 4).flatten(0, 2).contiguous()
        self.layer.weight = nn.Parameter(weight, requires_grad=False)
        if layer.bias is not None:
            self.layer.bias = nn.Parameter(layer.bias.repeat_interleave(4), requires_grad=False)
        self.blocks = nn.PixelShuffle(2)

    def forward(self, input: Tensor) -> Tensor:  # (N, C, H, W) -> as ConvTranspose2d
        border = self.size // 2 - 1 - self.padding // 2
        blocks = self.blocks(self.layer(F.pad(input, (border,) * 4) if border else input))
        extra = self.padding % 2
        return blocks[:, :, extra : blocks.shape[2] - extra, extra : blocks.shape[3] - extra] if extra else blocks


def _hold_weights(layer: nn.Module) -> None:
    """Calculated weights become parameters, by hand: PyTorch's own remover takes the property from the class, which the
    network's layer shares with its copy."""
    values = {name: getattr(layer, name).detach() for name in layer.parametrizations}  # type: ignore[union-attr]
    layer.__class__ = type(layer).__bases__[0]
    del layer.parametrizations
    for name, value in values.items():
        layer.register_parameter(name, nn.Parameter(value, requires_grad=False))


def _doubling(layer: ResizeConv2d) -> nn.Sequential:
    kernel = layer.kernel().contiguous()
    inner, outer, size, _ = kernel.shape
    plain = nn.ConvTranspose2d(inner, outer, size, stride=2, padding=layer.overhang, bias=layer.bias is not None)
    plain.weight = nn.Parameter(kernel, requires_grad=False)
    plain.bias = layer.bias
    return nn.Sequential(nn.ReplicationPad2d(1), plain).eval()


def _merge_norms(layers: nn.Sequential) -> None:
    for place in range(len(layers) - 1):
        before, norm = layers[place], layers[place + 1]
        if not (isinstance(norm, BatchNorm2d) and norm.statistics == "running"):
            continue
        holder, last = (before, len(before) - 1) if isinstance(before, nn.Sequential) else (layers, place)
        convolution = holder[last]
        if isinstance(convolution, nn.Conv2d):
            holder[last] = fuse_conv_bn_eval(convolution, norm)
        elif isinstance(convolution, nn.ConvTranspose2d):
            holder[last] = fuse_conv_bn_eval(convolution, norm, transpose=True)
        else:
            continue
        layers[place + 1] = nn.Identity()


def _widen_last(layers: nn.Sequential) -> None:
    """Let a convolution to few bands at full resolution make 2×2 pixels at once, as bands, and unfold these.

    Three bands would use 3 lanes of 16; twelve do it for a quarter of the positions. H and W must be even.
    """
    for place, layer in enumerate(layers):
        if (
            isinstance(layer, nn.Conv2d)
            and layer.out_channels <= _FEW
            and layer.kernel_size == (7, 7)
            and layer.stride == (1, 1)
            and layer.padding == (0, 0)
            and layer.dilation == (1, 1)
            and layer.groups == 1
        ):
            layers[place] = _in_blocks(layer)


def _in_blocks(layer: nn.Conv2d) -> nn.Sequential:
    bands, inner, height, width = layer.weight.shape
    weight = torch.zeros(bands, 2, 2, inner, height + 1, width + 1)
    for row in range(2):
        for column in range(2):
            weight[:, row, column, :, row : row + height, column : column + width] = layer.weight
    wide = nn.Conv2d(inner, 4 * bands, (height + 1, width + 1), stride=2)
    wide.weight = nn.Parameter(weight.flatten(0, 2), requires_grad=False)
    wide.bias = nn.Parameter(_bias_of(layer).repeat_interleave(4), requires_grad=False)
    return nn.Sequential(wide, nn.PixelShuffle(2)).eval()


def _bias_of(layer: nn.Conv2d) -> Tensor:
    return torch.zeros(layer.out_channels) if layer.bias is None else layer.bias
