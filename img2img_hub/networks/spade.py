"""The generator of GauGAN, whose norms are steered by the label map (SPADE, Park et al. 2019, arXiv 1903.07291).

python -c "from img2img_hub import SpadeGenerator; print(SpadeGenerator(width=8, hidden=16).config)"
"""

from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.errors import check_flags, check_range
from img2img_hub.networks.base import Generator
from img2img_hub.networks.blocks import BatchNorm2d, Conv2d, initialise_xavier, normalise_spectrally

Steered = Literal["batch", "instance"]
Depth = Literal["normal", "more", "most"]

MULTIPLES: dict[Depth, int] = {"normal": 32, "more": 64, "most": 128}
"""Pixels of the image for one of where it starts, a side."""
_SLOPE = 0.2  # of the leaky ReLUs
_PIXELS = 64 * 64  # from which on convolutions of few channels are quicker on a CPU with these side by side in memory


class SpadeNorm(nn.Module):
    """Normalise, then take gain and bias of each place from the map: n · (1 + γ(map)) + β(map) (section 3).

    (N, channels, H, W) and the map (N, map_channels, H, W) of the same size -> (N, channels, H, W).
    """

    def __init__(self, channels: int, *, map_channels: int, hidden: int, norm: Steered) -> None:
        super().__init__()
        self.norm = BatchNorm2d(channels, affine=False) if norm == "batch" else nn.InstanceNorm2d(channels)
        self.shared = Conv2d(map_channels, hidden, 3, padding=1)
        self.gamma = Conv2d(hidden, channels, 3, padding=1)
        self.beta = Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, map: Tensor) -> Tensor:
        read = F.relu(self.shared(map), inplace=True)
        return (self.gamma(read).add_(1) * self.norm(x)).add_(self.beta(read))


class SpadeBlock(nn.Module):
    """Norm, leaky ReLU and convolution, twice, beside the identity; or beside a norm and a 1×1 convolution, where the
    channels change (figure 4 and appendix A).

    (N, inner, h, w) and the map (N, map_channels, H, W) of any size -> (N, outer, h, w).
    """

    def __init__(
        self, inner: int, outer: int, *, map_channels: int, hidden: int, norm: Steered, spectral_norm: bool
    ) -> None:
        super().__init__()
        middle = min(inner, outer)

        def steered(channels: int) -> SpadeNorm:
            return SpadeNorm(channels, map_channels=map_channels, hidden=hidden, norm=norm)

        self.norm_0, self.conv_0 = steered(inner), Conv2d(inner, middle, 3, padding=1)
        self.norm_1, self.conv_1 = steered(middle), Conv2d(middle, outer, 3, padding=1)
        self.norm_skip = steered(inner) if inner != outer else None
        self.conv_skip = Conv2d(inner, outer, 1, bias=False) if inner != outer else None
        initialise_xavier(self.modules())
        if spectral_norm:  # the paper says all layers; its code leaves out those that read the map, and so does this
            for name, layer in self.named_children():
                if name.startswith("conv"):
                    normalise_spectrally(layer)

    def forward(self, x: Tensor, map: Tensor) -> Tensor:
        if map.shape[-2:] != x.shape[-2:]:
            map = F.interpolate(map, size=x.shape[-2:], mode="nearest")
        if _goes_by_pixel(x):
            x, map = (each.contiguous(memory_format=torch.channels_last) for each in (x, map))
        y = self.conv_0(F.leaky_relu(self.norm_0(x, map), _SLOPE, inplace=True))
        y = self.conv_1(F.leaky_relu(self.norm_1(y, map), _SLOPE, inplace=True))
        if self.norm_skip is not None and self.conv_skip is not None:
            x = self.conv_skip(self.norm_skip(x, map))
        return y + x


def _goes_by_pixel(x: Tensor) -> bool:
    """Whether all channels of a pixel stand together in memory: on a CPU, where there are many pixels and nothing is
    learnt. Whatever records, traces or compiles the layers finds them as they are written."""
    return (
        type(x) is Tensor
        and x.device.type == "cpu"
        and x.shape[-2:].numel() >= _PIXELS
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )


class SpadeGenerator(Generator):
    """GauGAN's generator: a label map (N, in_channels, H, W) -> (N, out_channels, H, W) float in [-1, 1].

    It starts from the map at 1/32 of its size (depth "normal"), or from a style vector z, and doubles from there; the
    map steers every norm on the way. The map is one channel a class, or any other image. H and W must be multiples of
    32 (depth "normal"), 64 ("more") or 128 ("most"), and at least twice that.

    Args:
        in_channels: bands of the map.
        out_channels: bands of the target image.
        width: channels of the last block of depth "normal" (paper: 64); 16 × width in the first ones.
        hidden: channels in which each norm reads the map, whatever the width (paper: 128).
        depth: "normal" doubles 5 times (paper, for 256²), "more" 6 times (Cityscapes, 512×256), "most" 7 times and has
            a block more.
        norm: what is steered: "batch" (paper), with the statistics of all processes on GPUs, or "instance".
        spectral_norm: divide the weight of the blocks' convolutions by its largest singular value (Miyato et al. 2018,
            arXiv 1802.05957; paper), not of those that read the map, the first and the last one.
        latent: length of z (paper: 256), 0 to start from the map.
        latent_side: with z, height and width of the features that it becomes: those of the images of training over 32,
            64 or 128. They are repeated, or left out, to fit an image of another size.
    """

    knows_one_size = True  # larger images than those of training it paints washed out

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        hidden: int = 128,
        depth: Depth = "normal",
        norm: Steered = "batch",
        spectral_norm: bool = True,
        latent: int = 0,
        latent_side: int = 8,
    ) -> None:
        super().__init__()
        check_flags(spectral_norm=spectral_norm)
        check_range(
            in_channels=(in_channels, 1, 4096),
            out_channels=(out_channels, 1, 4096),
            width=(width, 1, 512),
            hidden=(hidden, 1, 1024),
            latent=(latent, 0, 8192),
            latent_side=(latent_side, 1, 256),
        )
        if depth not in MULTIPLES:
            raise ValueError(f"depth must be 'normal', 'more' or 'most', got {depth!r:.60}")
        if norm not in get_args(Steered):
            raise ValueError(f"norm must be 'batch' or 'instance' in a SPADE generator, got {norm!r:.60}")
        if depth == "most" and width % 2:
            raise ValueError(f"width must be even for depth 'most', which ends in half of it, got {width}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.multiple = MULTIPLES[depth]
        self.min_size = 2 * self.multiple  # below, the first blocks see one pixel: nothing to normalise
        self.latent = latent
        self.latent_side = latent_side

        wide = 16 * width
        channels = [wide, wide, wide, wide, 8 * width, 4 * width, 2 * width, width]
        channels += [width // 2] if depth == "most" else []
        # Before which blocks the image is doubled: all but the first, and in "normal" the third one.
        self.doubled = frozenset(range(1, len(channels) - 1)) - ({2} if depth == "normal" else set())
        self.start = nn.Linear(latent, wide * latent_side**2) if latent else Conv2d(in_channels, wide, 3, padding=1)
        self.blocks = nn.ModuleList(
            SpadeBlock(inner, outer, map_channels=in_channels, hidden=hidden, norm=norm, spectral_norm=spectral_norm)
            for inner, outer in pairwise(channels)
        )
        self.image = Conv2d(channels[-1], out_channels, 3, padding=1)
        initialise_xavier([self.start, self.image])

    def forward(self, source: Tensor, latent: Tensor | None = None) -> Tensor:
        """Translate. `latent`: z, (N, latent) standard normal; None: 0, for the most usual style."""
        self.check_size(source, called="SPADE generator")
        height, width = source.shape[-2:]
        x = self._begin(source, latent, size=(height // self.multiple, width // self.multiple))
        for number, block in enumerate(self.blocks):
            if number in self.doubled:
                x = F.interpolate(x, size=(2 * x.shape[-2], 2 * x.shape[-1]), mode="nearest")
            x = block(x, source)
        return self.image(F.leaky_relu(x, _SLOPE)).tanh().contiguous()

    def _begin(self, source: Tensor, latent: Tensor | None, *, size: tuple[int, int]) -> Tensor:
        """(N, 16 · width, *size)."""
        if not self.latent:
            if latent is not None:
                raise ValueError("this SPADE generator has no latent, and starts from the map alone: leave it out")
            return self.start(F.interpolate(source, size=size, mode="nearest"))
        if latent is None:
            latent = self.start.weight.new_zeros(source.shape[0], self.latent)
        x = self.start(latent).unflatten(1, (-1, self.latent_side, self.latent_side))
        return x if size == tuple(x.shape[-2:]) else F.interpolate(x, size=size, mode="nearest")
