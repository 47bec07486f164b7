"""SRGAN's discriminator: one verdict on a whole crop (Ledig et al. 2017, arXiv 1609.04802, section 2.1 and figure 4).

python -c "from img2img_hub.networks import SRGANDiscriminator; print(SRGANDiscriminator(crop=96).parameter_count)"
"""

from torch import Tensor, nn

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Discriminator, Stages
from img2img_hub.networks.blocks import Conv2d, make_norm
from img2img_hub.networks.patchgan import judge

HALVINGS = 4


class SRGANDiscriminator(Discriminator):
    """VGG-like: (N, in_channels, H, W) in [-1, 1] -> (N, 1, 1, 1) logits. It sees the picture alone, without its
    source.

    Eight 3×3 convolutions, every second of which halves, then two dense layers, the first of which sees all places of
    a crop: so that has one size, unless `crop` is 0.

    Args:
        in_channels: bands judged.
        width: channels of the first layer (paper: 64), doubled up to 8 × width.
        crop: pixels of a crop, a side (paper: 96), a multiple of 16; 0: crops of any size from 17 pixels on, the mean
            over whose places the dense layers see.
    """

    def __init__(self, *, in_channels: int = 3, width: int = 64, crop: int = 96) -> None:
        super().__init__()
        check_range(in_channels=(in_channels, 1, 8192), width=(width, 1, 512), crop=(crop, 0, 512))
        smallest = 2 * 2**HALVINGS  # its batch norms see 2×2 pixels
        if crop and (crop % 2**HALVINGS or crop < smallest):
            raise ValueError(
                f"crop must be a multiple of {2**HALVINGS} and at least {smallest}, or 0 for crops of any size, got "
                f"{crop}"
            )
        self.in_channels = in_channels
        self.out_channels = 1
        self.crop = crop
        self.min_size = crop or 2**HALVINGS + 1
        # The paper names no other start than PyTorch's.
        stack: list[nn.Module] = [Conv2d(in_channels, width, 3, padding=1), nn.LeakyReLU(0.2)]
        channels = width
        for number in range(1, 2 * HALVINGS):
            wider = width * 2 ** (number // 2)
            stack.append(Conv2d(channels, wider, 3, stride=1 + number % 2, padding=1, bias=False))
            stack += [make_norm("batch", wider), nn.LeakyReLU(0.2)]
            channels = wider
        self.layers = nn.Sequential(*stack)
        side = crop // 2**HALVINGS or 1
        self.dense = nn.Sequential(
            nn.Flatten() if crop else nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            nn.Linear(channels * side**2, 2 * channels),
            nn.LeakyReLU(0.2),
            nn.Linear(2 * channels, 1),
        )

    def forward(self, image: Tensor, features: bool = False) -> Tensor | tuple[Tensor, Stages]:
        """Logits; with `features` also what is behind each LeakyReLU of a convolution, eight stages of one scale."""
        height, width = image.shape[-2:]
        if self.crop and (height, width) != (self.crop, self.crop):
            raise ValueError(
                f"this SRGAN discriminator judges crops of {self.crop}×{self.crop}, got {height}×{width}: train on "
                "such ones, or build it with that crop, or with crop 0 for any size"
            )
        if not features:
            return self._verdict(self.layers(image))
        seen, stages = judge(self.layers, image, features=True)
        assert isinstance(seen, Tensor)
        return self._verdict(seen), stages

    def _verdict(self, seen: Tensor) -> Tensor:
        return self.dense(seen)[:, :, None, None]
