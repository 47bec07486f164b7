"""A generator's test-time copy for other runtimes: plain layers, constant kernels, the norm's mode baked in.

    python -c "from img2img_hub import UNetGenerator as U; from img2img_hub.translation.portable import portable; \
    print(portable(U(levels=3, width=4)))"

Every step is exact but for float rounding.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from img2img_hub.networks import Network
from img2img_hub.networks.blocks import BatchNorm2d, Dropout, ResizeConv2d

_FEW = 4  # bands that leave most lanes of a SIMD register empty


def portable(network: Network) -> nn.Module:
    """A copy on the CPU in eval mode, that gives what `network` gives without a seed.

    Dropout is left out. `ResizeConv2d` becomes a transposed convolution with a constant kernel. Batch norm by running
    averages becomes part of the convolution before it (batch norm by image statistics stays: it is instance norm).
    """
    made = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    # The children first: what is replaced inside a Sequential is seen by what merges its neighbours.
    for parent in reversed(list(made.modules())):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, ResizeConv2d):
                setattr(parent, name, _doubling(layer))
            elif isinstance(layer, Dropout):
                setattr(parent, name, nn.Identity())
        if isinstance(parent, nn.Sequential):
            _merge_norms(parent)
            _widen_last(parent)
    return made


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
