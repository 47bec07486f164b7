"""Real-ESRGAN's discriminator: a U-Net that judges each pixel (Wang et al. 2021, arXiv 2107.10833, section 3.4).

python -c "from img2img_hub.networks import UNetDiscriminator; print(UNetDiscriminator().parameter_count)"
"""

from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.errors import check_range
from img2img_hub.networks.antialias import BlurUp
from img2img_hub.networks.base import Discriminator, Stages
from img2img_hub.networks.blocks import Conv2d, normalise_spectrally
from img2img_hub.networks.upscaling import to_unit

HALVINGS = 3
SLOPE = 0.2  # of the leaky ReLUs


class UNetDiscriminator(Discriminator):
    """U-Net with spectral norm: (N, in_channels, H, W) in [-1, 1] -> (N, 1, H, W) logits, one a pixel.

    It sees the picture alone, without its source, at any size from 8 pixels on. Three convolutions halve, three follow
    bilinear doublings, each sum with what was there on the way down. As the original it computes in [0, 1] inside.

    Args:
        in_channels: bands judged.
        width: channels at full resolution (paper: 64), doubled at each of the three halvings.
    """

    def __init__(self, *, in_channels: int = 3, width: int = 64) -> None:
        super().__init__()
        check_range(in_channels=(in_channels, 1, 8192), width=(width, 1, 512))
        self.in_channels = in_channels
        self.out_channels = 1
        self.min_size = 2**HALVINGS
        channels = [width * 2**level for level in range(HALVINGS + 1)]
        self.first = Conv2d(in_channels, width, 3, padding=1)
        self.downs = nn.ModuleList(Conv2d(wide, 2 * wide, 4, stride=2, padding=1, bias=False) for wide in channels[:-1])
        inner = channels[:0:-1]
        self.doublings = nn.ModuleList(BlurUp(wide) for wide in inner)
        self.ups = nn.ModuleList(Conv2d(wide, wide // 2, 3, padding=1, bias=False) for wide in inner)
        self.end = nn.ModuleList(Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.last = Conv2d(width, 1, 3, padding=1)
        for part in (self.downs, self.ups, self.end):  # the first and the last one have none
            normalise_spectrally(part)

    def forward(self, image: Tensor, features: bool = False) -> Tensor | tuple[Tensor, Stages]:
        """Logits; with `features` also what is behind each LeakyReLU, nine stages of the one scale."""
        stages = [F.leaky_relu(self.first(to_unit(image)), SLOPE)]
        for down in self.downs:
            stages.append(F.leaky_relu(down(stages[-1]), SLOPE))
        x, skips = stages[-1], stages[:-1]
        for doubling, up in zip(self.doublings, self.ups, strict=True):
            made = F.leaky_relu(up(_fitted(doubling(x), skips[-1])), SLOPE)
            stages.append(made)
            x = made + skips.pop()
        for conv in self.end:
            x = F.leaky_relu(conv(x), SLOPE)
            stages.append(x)
        logits = self.last(x)
        return (logits, (tuple(stages),)) if features else logits


def _fitted(x: Tensor, other: Tensor) -> Tensor:
    """With the last row and column repeated where halving has cut an odd one off."""
    below, right = (whole - own for whole, own in zip(other.shape[-2:], x.shape[-2:], strict=True))
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x
