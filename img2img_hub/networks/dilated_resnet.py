"""A ResNet generator for holes, whose middle blocks are dilated and look far, after Demir and Unal 2018.

python -c "from img2img_hub.networks import DilatedResNetGenerator; print(DilatedResNetGenerator(blocks=6).dilations)"

"Patch-Based Image Inpainting with Generative Adversarial Networks", arXiv 1803.07422. No code of the authors' is known.
"""

from torch import Tensor, nn

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Generator
from img2img_hub.networks.blocks import Conv2d, Norm, Upsample, conv_has_bias, initialise, initialise_kaiming
from img2img_hub.networks.resnet import ResidualBlock, decoder, encoder, to_image

HALVINGS = 2


class DilatedConv2d(Conv2d):
    """A 3×3 convolution of pixels that lie `dilation` apart, without a border: (N, C, H, W) -> (N, out_channels,
    H − 2 · dilation, W − 2 · dilation)."""

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 3, dilation=dilation, bias=bias)


class DilatedBlock(ResidualBlock):
    """A residual block whose first convolution is dilated, over a border reflected as far as that reaches."""

    def __init__(self, channels: int, *, dilation: int, norm: str, dropout: float) -> None:
        super().__init__(channels, norm=norm, dropout=dropout)
        self.layers[0] = nn.ReflectionPad2d(dilation)
        self.layers[1] = DilatedConv2d(channels, channels, dilation=dilation, bias=conv_has_bias(norm))


class DilatedResNetGenerator(Generator):
    """ResNet with dilated blocks: (N, in_channels, H, W) float in [-1, 1] -> (N, out_channels, H, W) float in [-1, 1].

    H and W must be multiples of 4 and at least `min_size`: as far as the widest block reaches, 36 with three of them.
    It makes all of the picture; putting the known pixels back is whoever's that knows the mask.

    The paper's are the ResNet, the dilated residual blocks in its middle, and interpolation with a convolution after it
    in place of transposed convolutions. Its counts are open here, as no code of the authors' is known: how many blocks
    there are and how many of them dilated, by how much (here twice as far from each to the next, as Iizuka et al. 2017
    have their dilated layers), that only the first convolution of a block is (the second one closes the gaps that it
    leaves), the norm, reflected borders, and which interpolation. The rest is CycleGAN's ResNet, so that `dilated` 0 is
    the `ResNetGenerator` of the same `upsample`.

    Args:
        in_channels: bands of the source; of holes those of the covered picture and one of the mask.
        out_channels: bands of the target image.
        blocks: residual blocks at a quarter of the resolution.
        dilated: how many of them, in the middle, are dilated, by 2, 4, 8 … pixels there, 8, 16, 32 … of the image. A
            hole is filled from what lies around it, so the sum of these should be as wide as holes are.
        width: channels at full resolution; 4 × width in the blocks.
        norm: "instance", "batch" or "none".
        dropout: probability inside the residual blocks, 0 for none.
        upsample: "resize" (nearest) or "bilinear", then a convolution (paper), or "transpose".
    """

    def __init__(
        self,
        *,
        in_channels: int = 4,
        out_channels: int = 3,
        blocks: int = 9,
        dilated: int = 3,
        width: int = 64,
        norm: Norm = "instance",
        dropout: float = 0.0,
        upsample: Upsample = "resize",
    ) -> None:
        super().__init__()
        check_range(
            in_channels=(in_channels, 1, 4096),
            out_channels=(out_channels, 1, 4096),
            blocks=(blocks, 0, 64),
            dilated=(dilated, 0, 6),
            width=(width, 1, 512),
            dropout=(dropout, 0.0, 0.95),
        )
        if dilated > blocks:
            raise ValueError(f"dilated must be at most the {blocks} blocks that there are, got {dilated}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.multiple = 2**HALVINGS
        self.min_size = self.multiple * (2**dilated + 1)  # a border is reflected of more pixels than it has

        before = (blocks - dilated) // 2
        self.dilations = (
            *(1 for _ in range(before)),
            *(2 ** (number + 1) for number in range(dilated)),
            *(1 for _ in range(blocks - dilated - before)),
        )
        residual = [
            ResidualBlock(4 * width, norm=norm, dropout=dropout)
            if dilation == 1
            else DilatedBlock(4 * width, dilation=dilation, norm=norm, dropout=dropout)
            for dilation in self.dilations
        ]
        self.layers = nn.Sequential(
            *encoder(in_channels, width=width, halvings=HALVINGS, norm=norm),
            *residual,
            *decoder(width=width, doublings=HALVINGS, norm=norm, upsample=upsample),
            *to_image(width, out_channels),
        )
        initialise(self.modules())
        if norm == "none":  # else signals die away: after 500 steps outputs were still nearly grey
            initialise_kaiming(self.modules(), times=1.0)
            ends = [layer for block in residual for layer in block.modules() if isinstance(layer, Conv2d)][1::2]
            initialise_kaiming([*ends, *self.layers[-3:].modules()], times=0.1)

    def forward(self, source: Tensor) -> Tensor:
        """Translate."""
        self.check_size(source, called="dilated ResNet")
        return self.layers(source)
