"""RRDBNet, the generator of ESRGAN and Real-ESRGAN: residual-in-residual dense blocks.

python -c "from img2img_hub.networks import RRDBGenerator; print(RRDBGenerator(scale=2).config)"

Wang et al. 2018, arXiv 1809.00219, section 3.1; at the scales 2 and 1 Wang et al. 2021, arXiv 2107.10833, section 3.4.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.errors import check_flags, check_range
from img2img_hub.networks.base import Generator
from img2img_hub.networks.blocks import Conv2d, initialise_kaiming
from img2img_hub.networks.upscaling import begin, from_unit, to_unit

SCALES = (1, 2, 4, 8)
UNSHUFFLED = 4
"""What a network doubles its features to that begins with a smaller image: twice."""
CONVOLUTIONS = 5
"""Of a dense block."""
SHARE = 0.2
"""Of a residual branch in the sum with what is beside it, at both levels."""
SLOPE = 0.2  # of the leaky ReLUs


class DenseBlock(nn.Module):
    """Five 3×3 convolutions, each of which sees the block's input and all that was made of it: (N, width, H, W) -> the
    same. The last one, without activation, comes back to the width, and a fifth of it is added to the input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        outs = [growth] * (CONVOLUTIONS - 1) + [width]
        self.layers = nn.ModuleList(
            Conv2d(width + number * growth, out, 3, padding=1) for number, out in enumerate(outs)
        )
        initialise_kaiming(self.layers, times=0.1)

    def forward(self, x: Tensor) -> Tensor:
        first, *middle, last = self.layers
        seen = [x, F.leaky_relu(first(x), SLOPE, inplace=True)]
        for conv in middle:
            seen.append(F.leaky_relu(conv(torch.cat(seen, dim=1)), SLOPE, inplace=True))
        return last(torch.cat(seen, dim=1)) * SHARE + x


class ResidualInResidual(nn.Module):
    """Three dense blocks beside the identity: (N, width, H, W) -> the same."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(DenseBlock(width, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x) * SHARE + x


class RRDBGenerator(Generator):
    """RRDBNet: (N, in_channels, H, W) in [-1, 1] -> (N, out_channels, scale · H, scale · W) about [-1, 1].

    Any H and W; with `unshuffle` multiples of 2 at scale 2 and of 4 at scale 1. The blocks work at the source's
    resolution, without any norm; then features are repeated to twice the size and convolved, twice at scale 4. As the
    originals it computes in [0, 1] inside.

    Args:
        in_channels: bands of the source image.
        out_channels: bands of the target image.
        scale: 4 (paper), 2 or 1, or 8.
        blocks: residual-in-residual dense blocks (paper: 23; 6 in the small published model of anime).
        width: channels of the image's features (paper: 64).
        growth: channels that each convolution of a dense block adds (paper: 32).
        unshuffle: at scale 2 and 1 put 2×2 and 4×4 pixels into one with as many channels, and double twice in the end
            (Real-ESRGAN's x2plus), which takes a quarter or a sixteenth of the time; without, double once or not at
            all (ESRGAN). Larger scales are the same either way.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 3,
        scale: int = 4,
        blocks: int = 23,
        width: int = 64,
        growth: int = 32,
        unshuffle: bool = True,
    ) -> None:
        super().__init__()
        check_flags(unshuffle=unshuffle)
        check_range(blocks=(blocks, 1, 64), width=(width, 1, 512), growth=(growth, 1, 512))
        begin(self, scales=SCALES, in_channels=in_channels, out_channels=out_channels, scale=scale)
        self.multiple = self.min_size = max(UNSHUFFLED // scale, 1) if unshuffle else 1
        doublings = (scale * self.multiple).bit_length() - 1
        # Beside the dense convolutions, all start as PyTorch draws them, as in the authors' code.
        self.first = Conv2d(in_channels * self.multiple**2, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualInResidual(width, growth) for _ in range(blocks)))
        self.after = Conv2d(width, width, 3, padding=1)
        self.ups = nn.ModuleList(Conv2d(width, width, 3, padding=1) for _ in range(doublings))
        self.high = Conv2d(width, width, 3, padding=1)
        self.last = Conv2d(width, out_channels, 3, padding=1)

    def forward(self, source: Tensor) -> Tensor:
        """Enlarge."""
        self.check_size(source, called="RRDBNet")
        x = to_unit(source)
        x = self.first(F.pixel_unshuffle(x, self.multiple) if self.multiple > 1 else x)
        x = x + self.after(self.body(x))
        for conv in self.ups:
            x = F.interpolate(x, size=(2 * x.shape[-2], 2 * x.shape[-1]), mode="nearest")
            x = F.leaky_relu(conv(x), SLOPE, inplace=True)
        return from_unit(self.last(F.leaky_relu(self.high(x), SLOPE, inplace=True)))
