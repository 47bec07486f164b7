"""Discriminators that judge patches or single pixels (pix2pix, arXiv 1611.07004, section 3.2.2 and appendix 6.1.2).

python -c "from img2img_hub import PatchDiscriminator; print(PatchDiscriminator().receptive_field)"
"""

from torch import Tensor, nn

from img2img_hub.errors import check_flags, check_range
from img2img_hub.networks.antialias import BlurDown
from img2img_hub.networks.base import Discriminator
from img2img_hub.networks.blocks import (
    Conv2d,
    Norm,
    conv_has_bias,
    initialise,
    make_norm,
    normalise_spectrally,
)


class PatchDiscriminator(Discriminator):
    """PatchGAN: (N, in_channels, H, W) -> (N, 1, h, w) logits, one a patch (no sigmoid).

    256² gives 30×30 logits at three layers, each seeing 70×70 pixels.

    Args:
        in_channels: bands judged; source and target together for a conditional discriminator.
        layers: stride-2 layers, 1 to 6; receptive fields 16, 34, 70, 142, 286, 574.
        width: channels of the first layer; doubled up to 8 × width.
        norm: "batch" (pix2pix), "instance" (CycleGAN) or "none" (WGAN-GP); never on the first and the last layer.
        spectral_norm: divide each convolution's weight by its largest singular value (Miyato et al. 2018, arXiv
            1802.05957), beside whatever norm there is.
        antialias: halve by a convolution and then a fixed blur, as CUT does (arXiv 2007.15651); with three layers a
            logit then sees 84×84 pixels.
    """

    later_arguments = frozenset({"spectral_norm", "antialias"})

    def __init__(
        self,
        *,
        in_channels: int = 6,
        layers: int = 3,
        width: int = 64,
        norm: Norm = "batch",
        spectral_norm: bool = False,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        check_flags(spectral_norm=spectral_norm, antialias=antialias)
        check_range(in_channels=(in_channels, 1, 8192), layers=(layers, 1, 6), width=(width, 1, 512))
        self.in_channels = in_channels
        self.out_channels = 1
        self.min_size = 3 * 2**layers  # below, the two last layers (each a pixel smaller) have nothing left to judge
        bias = conv_has_bias(norm)
        halving = 1 if antialias else 2  # the stride of a convolution whose layer halves
        stack: list[nn.Module] = [Conv2d(in_channels, width, 4, stride=halving, padding=1), nn.LeakyReLU(0.2)]
        channels = width
        for layer in range(1, layers + 1):
            if antialias:
                stack.append(BlurDown(channels))
            wider = width * min(2**layer, 8)
            stride = halving if layer < layers else 1
            stack.append(Conv2d(channels, wider, 4, stride=stride, padding=1, bias=bias))
            stack += [make_norm(norm, wider), nn.LeakyReLU(0.2)]
            channels = wider
        stack.append(Conv2d(channels, 1, 4, stride=1, padding=1))
        self.layers = nn.Sequential(*stack)
        initialise(self.modules())
        if spectral_norm:
            normalise_spectrally(self)

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

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


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

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)
