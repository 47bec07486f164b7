"""The compact generator of Real-ESRGAN (SRVGG): plain convolutions in a row, for video and slow machines.

python -c "from img2img_hub.networks import CompactGenerator; print(CompactGenerator(blocks=32).parameter_count)"

Of realesr-general-x4v3 and realesr-animevideov3, which came after the paper (Wang et al. 2021, arXiv 2107.10833).
"""

from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Generator
from img2img_hub.networks.blocks import Conv2d, initialise_kaiming
from img2img_hub.networks.upscaling import begin, check_same_bands, from_unit, to_unit

SCALES = (1, 2, 3, 4, 8)


class CompactGenerator(Generator):
    """SRVGG: (N, channels, H, W) in [-1, 1] -> (N, channels, scale · H, scale · W) about [-1, 1].

    Any H and W. All is computed at the source's resolution; the last convolution makes all pixels of the output at
    once, to which the enlarged source (nearest) is added. As the original it computes in [0, 1] inside.

    Args:
        in_channels: bands of the source image.
        out_channels: bands of the target image, as many.
        scale: 4 (published), or 1, 2, 3 or 8.
        blocks: convolutions between the first and the last one (16 in animevideov3, 32 in general-x4v3).
        width: channels of all of them, each with a slope of its own (64).
    """

    def __init__(
        self, *, in_channels: int = 3, out_channels: int = 3, scale: int = 4, blocks: int = 16, width: int = 64
    ) -> None:
        super().__init__()
        check_range(blocks=(blocks, 0, 64), width=(width, 1, 512))
        begin(self, scales=SCALES, in_channels=in_channels, out_channels=out_channels, scale=scale)
        check_same_bands(self)
        layers: list[nn.Module] = []
        for number in range(blocks + 1):
            layers += [Conv2d(width if number else in_channels, width, 3, padding=1), nn.PReLU(width)]
        last = Conv2d(width, out_channels * scale**2, 3, padding=1)
        self.layers = nn.Sequential(*layers, last)
        # By PyTorch's own start a signal dies away in so many layers: measured, 17 of them learn nothing in 400 steps.
        initialise_kaiming(layers, times=1.0)
        initialise_kaiming([last], times=0.1)  # so that it begins near the enlarged source

    def forward(self, source: Tensor) -> Tensor:
        """Enlarge."""
        image = to_unit(source)
        size = (self.scale * source.shape[-2], self.scale * source.shape[-1])
        made = F.pixel_shuffle(self.layers(image), self.scale)
        return from_unit(made + F.interpolate(image, size=size, mode="nearest"))
