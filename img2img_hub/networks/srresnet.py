"""SRResNet, the generator of SRGAN (Ledig et al. 2017, arXiv 1609.04802, section 2.1 and figure 4).

python -c "from img2img_hub.networks import SRResNetGenerator; print(SRResNetGenerator(scale=4).parameter_count)"
"""

from torch import Tensor, nn

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Generator
from img2img_hub.networks.blocks import Conv2d, make_norm
from img2img_hub.networks.upscaling import begin, shuffles, to_unit

SCALES = (2, 3, 4, 8)


class SRResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch norm beside the identity, no activation after the sum.

    (N, width, H, W) -> the same. The convolutions have no biases: batch norm brings its own.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Conv2d(width, width, 3, padding=1, bias=False),
            make_norm("batch", width),
            nn.PReLU(),
            Conv2d(width, width, 3, padding=1, bias=False),
            make_norm("batch", width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class SRResNetGenerator(Generator):
    """SRResNet: (N, in_channels, H, W) in [-1, 1] -> (N, out_channels, scale · H, scale · W) about [-1, 1].

    Any H and W. It works at the source's resolution and enlarges at the end, by convolutions whose channels become
    pixels (PixelShuffle). As in the paper the source is seen in [0, 1] and the output has no activation, so that it may
    go beyond its range.

    Args:
        in_channels: bands of the source image.
        out_channels: bands of the target image.
        scale: 2, 4 (paper) or 8, by one, two or three steps of 2; 3 by one of 3.
        blocks: residual blocks (paper: 16).
        width: channels of all of them (paper: 64).
    """

    def __init__(
        self, *, in_channels: int = 3, out_channels: int = 3, scale: int = 4, blocks: int = 16, width: int = 64
    ) -> None:
        super().__init__()
        check_range(blocks=(blocks, 0, 64), width=(width, 1, 512))
        begin(self, scales=SCALES, in_channels=in_channels, out_channels=out_channels, scale=scale)
        # The paper names no other start than PyTorch's; its slopes, one a layer, begin at 0.25.
        self.first = nn.Sequential(Conv2d(in_channels, width, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(
            *(SRResidualBlock(width) for _ in range(blocks)),
            Conv2d(width, width, 3, padding=1, bias=False),
            make_norm("batch", width),
        )
        self.ups = nn.Sequential(
            *(
                nn.Sequential(
                    Conv2d(width, width * factor**2, 3, padding=1),
                    nn.PixelShuffle(factor),
                    nn.PReLU(),
                )
                for factor in shuffles(scale)
            )
        )
        self.last = Conv2d(width, out_channels, 9, padding=4)

    def forward(self, source: Tensor) -> Tensor:
        """Enlarge."""
        x = self.first(to_unit(source))
        return self.last(self.ups(x + self.body(x)))
