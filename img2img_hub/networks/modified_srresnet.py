"""MSRResNet: SRResNet without batch norm, as ESRGAN's authors compare with (Wang et al. 2018, arXiv 1809.00219).

python -c "from img2img_hub.networks import ModifiedSRResNetGenerator as G; print(G(scale=4).parameter_count)"
"""

from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Generator
from img2img_hub.networks.blocks import Conv2d, initialise_kaiming
from img2img_hub.networks.upscaling import (
    begin,
    check_same_bands,
    from_unit,
    shuffles,
    to_unit,
)

SCALES = (2, 3, 4)
SLOPE = 0.1  # of the leaky ReLUs


class PlainResidualBlock(nn.Module):
    """Two 3×3 convolutions and a ReLU between them, beside the identity: (N, width, H, W) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(Conv2d(width, width, 3, padding=1), nn.ReLU(), Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ModifiedSRResNetGenerator(Generator):
    """MSRResNet: (N, channels, H, W) in [-1, 1] -> (N, channels, scale · H, scale · W) about [-1, 1].

    Any H and W. What "SRResNet" is in BasicSR and mmagic: without batch norm, and it learns what the bilinearly
    enlarged source lacks.

    Args:
        in_channels: bands of the source image.
        out_channels: bands of the target image, as many.
        scale: 2 or 4, by one or two steps of 2; 3 by one of 3.
        blocks: residual blocks (16).
        width: channels of all of them (64).
    """

    def __init__(
        self, *, in_channels: int = 3, out_channels: int = 3, scale: int = 4, blocks: int = 16, width: int = 64
    ) -> None:
        super().__init__()
        check_range(blocks=(blocks, 1, 64), width=(width, 1, 512))
        begin(self, scales=SCALES, in_channels=in_channels, out_channels=out_channels, scale=scale)
        check_same_bands(self)
        self.first = Conv2d(in_channels, width, 3, padding=1)
        self.body = nn.Sequential(*(PlainResidualBlock(width) for _ in range(blocks)))
        self.factors = shuffles(scale)
        self.ups = nn.ModuleList(Conv2d(width, width * factor**2, 3, padding=1) for factor in self.factors)
        self.high = Conv2d(width, width, 3, padding=1)
        self.last = Conv2d(width, out_channels, 3, padding=1)
        initialise_kaiming(self.modules(), times=0.1)

    def forward(self, source: Tensor) -> Tensor:
        """Enlarge."""
        image = to_unit(source)
        x = self.body(F.leaky_relu(self.first(image), SLOPE))
        for conv, factor in zip(self.ups, self.factors, strict=True):
            x = F.leaky_relu(F.pixel_shuffle(conv(x), factor), SLOPE)
        made = self.last(F.leaky_relu(self.high(x), SLOPE))
        size = (self.scale * source.shape[-2], self.scale * source.shape[-1])
        return from_unit(made + F.interpolate(image, size=size, mode="bilinear", align_corners=False))
