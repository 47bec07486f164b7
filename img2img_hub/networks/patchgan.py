"""Discriminators that judge patches or single pixels (pix2pix, arXiv 1611.07004, section 3.2.2 and appendix 6.1.2).

python -c "from img2img_hub import PatchDiscriminator; print(PatchDiscriminator().receptive_field)"
"""

from typing import Literal, get_args

from torch import Tensor, nn

from img2img_hub.errors import check_flags, check_range
from img2img_hub.networks.antialias import BlurDown
from img2img_hub.networks.base import Discriminator, Stages
from img2img_hub.networks.blocks import (
    Conv2d,
    Norm,
    conv_has_bias,
    initialise,
    make_norm,
    normalise_spectrally,
)

Layout = Literal["pix2pix", "pix2pixhd", "spade"]
"""Whose patch discriminator: border, most channels, biases, and what spectral norm divides."""
MOST_CHANNELS = 512
"""Of pix2pixHD's and SPADE's, whatever the width."""


class PatchDiscriminator(Discriminator):
    """PatchGAN: (N, in_channels, H, W) -> (N, 1, h, w) logits, one a patch (no sigmoid).

    256² gives 30×30 logits at three layers, each seeing 70×70 pixels; 35×35 in the layouts "pix2pixhd" and "spade".

    Args:
        in_channels: bands judged; source and target together for a conditional discriminator.
        layers: stride-2 layers, 1 to 6; receptive fields 16, 34, 70, 142, 286, 574.
        width: channels of the first layer; doubled up to 8 × width, or as the layout has it.
        norm: "batch" (pix2pix), "instance" (CycleGAN) or "none" (WGAN-GP); never on the first and the last layer.
        spectral_norm: divide each convolution's weight by its largest singular value (Miyato et al. 2018, arXiv
            1802.05957), beside whatever norm there is.
        antialias: halve by a convolution and then a fixed blur, as CUT does (arXiv 2007.15651); with three layers a
            logit then sees 84×84 pixels.
        layout: "pix2pix": a border of one pixel, no biases beside batch norm, all of them 0 at the start. "pix2pixhd"
            (arXiv 1711.11585): a border of two, at most 512 channels, biases everywhere, which start as PyTorch draws
            them. "spade" (arXiv 1903.07291): as that, but no biases in the middle layers, and spectral norm on these
            alone.
    """

    later_arguments = frozenset({"spectral_norm", "antialias", "layout"})

    def __init__(
        self,
        *,
        in_channels: int = 6,
        layers: int = 3,
        width: int = 64,
        norm: Norm = "batch",
        spectral_norm: bool = False,
        antialias: bool = False,
        layout: Layout = "pix2pix",
    ) -> None:
        super().__init__()
        check_flags(spectral_norm=spectral_norm, antialias=antialias)
        if layout not in get_args(Layout):
            raise ValueError(f"layout must be one of {', '.join(get_args(Layout))}, got {layout!r:.60}")
        check_range(in_channels=(in_channels, 1, 8192), layers=(layers, 1, 6), width=(width, 1, 512))
        self.in_channels = in_channels
        self.out_channels = 1
        plain = layout == "pix2pix"
        padding = 1 if plain else 2
        # Below, the two last layers (each a pixel smaller) have nothing left to judge; with a border of two, no image
        # is too small, but instance norm would see one pixel.
        self.min_size = 3 * 2**layers if plain else 2
        most = 8 * width if plain else MOST_CHANNELS
        bias = {"pix2pix": conv_has_bias(norm), "pix2pixhd": True, "spade": False}[layout]
        halving = 1 if antialias else 2  # the stride of a convolution whose layer halves
        channels = min(width, most)
        stack: list[nn.Module] = [
            Conv2d(in_channels, channels, 4, stride=halving, padding=padding),
            nn.LeakyReLU(0.2),
        ]
        middle: list[nn.Module] = []
        for layer in range(1, layers + 1):
            if antialias:
                stack.append(BlurDown(channels))
            wider = min(width * 2**layer, most)
            stride = halving if layer < layers else 1
            middle.append(Conv2d(channels, wider, 4, stride=stride, padding=padding, bias=bias))
            stack += [middle[-1], make_norm(norm, wider), nn.LeakyReLU(0.2)]
            channels = wider
        stack.append(Conv2d(channels, 1, 4, stride=1, padding=padding))
        self.layers = nn.Sequential(*stack)
        initialise(self.modules(), biases=layout != "pix2pixhd")
        if spectral_norm:
            for part in middle if layout == "spade" else [self]:
                normalise_spectrally(part)

    @property
    def receptive_field(self) -> int:
        """Pixels (one side) that one logit sees, computed from the layers themselves."""
        field = 1
        for layer in reversed(self.layers):
            if isinstance(layer, nn.Conv2d):
                field = (field - 1) * layer.stride[0] + layer.kernel_size[0]
            elif isinstance(layer, BlurDown):
                field = (field - 1) * 2 + 3
        return field

    def forward(self, image: Tensor, features: bool = False) -> Tensor | tuple[Tensor, Stages]:
        """Logits; with `features` also what is behind each LeakyReLU, `layers` + 1 stages of the one scale."""
        return judge(self.layers, image, features=features)


class PixelDiscriminator(Discriminator):
    """1×1 PixelGAN: (N, in_channels, H, W) -> (N, 1, H, W) logits; it judges colours, not structure.

    Args:
        in_channels: bands judged; source and target together for a conditional discriminator.
        width: channels of the first layer; the second has twice as many.
        norm: "batch", "instance" or "none", on the middle layer only.
        spectral_norm: divide each convolution's weight by its largest singular value (Miyato et al. 2018, arXiv
            1802.05957), beside whatever norm there is.
    """

    later_arguments = frozenset({"spectral_norm"})

    def __init__(
        self, *, in_channels: int = 6, width: int = 64, norm: Norm = "batch", spectral_norm: bool = False
    ) -> None:
        super().__init__()
        check_flags(spectral_norm=spectral_norm)
        check_range(in_channels=(in_channels, 1, 8192), width=(width, 1, 512))
        self.in_channels = in_channels
        self.out_channels = 1
        self.min_size = 1
        bias = conv_has_bias(norm)
        self.layers = nn.Sequential(
            Conv2d(in_channels, width, 1),
            nn.LeakyReLU(0.2),
            Conv2d(width, 2 * width, 1, bias=bias),
            make_norm(norm, 2 * width),
            nn.LeakyReLU(0.2),
            Conv2d(2 * width, 1, 1, bias=bias),
        )
        initialise(self.modules())
        if spectral_norm:
            normalise_spectrally(self)

    def forward(self, image: Tensor, features: bool = False) -> Tensor | tuple[Tensor, Stages]:
        """Logits; with `features` also what is behind each LeakyReLU, two stages of the one scale."""
        return judge(self.layers, image, features=features)


def judge(layers: nn.Sequential, image: Tensor, *, features: bool) -> Tensor | tuple[Tensor, Stages]:
    """What `layers` make of the image; with `features` also what is behind each LeakyReLU on the way."""
    if not features:
        return layers(image)
    stages = []
    for layer in layers:
        image = layer(image)
        if isinstance(layer, nn.LeakyReLU):
            stages.append(image)
    return image, (tuple(stages),)
