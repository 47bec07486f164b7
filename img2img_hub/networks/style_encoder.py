"""The image encoder of GauGAN: a photo -> the distribution of the style vector z (arXiv 1903.07291, appendix A).

python -c "from img2img_hub.networks import StyleEncoder; print(StyleEncoder(width=8).config)"
"""

from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Network
from img2img_hub.networks.blocks import Conv2d, initialise_xavier, normalise_spectrally

STYLE_ENCODER = "style_encoder"
"""What it is called beside its generator."""
_SIDE = 256  # pixels that every image is resized to
_LAST = 4  # what six halvings leave of them


class StyleEncoder(Network):
    """(N, in_channels, H, W) float in [-1, 1], of any size -> mean and logarithm of the variance, (N, latent) each.

    Six 3×3 convolutions of stride 2, each with spectral and instance norm and a leaky ReLU, on the image at 256²; then
    a linear layer for either.

    Args:
        in_channels: bands of the image.
        width: channels of the first layer (paper: 64); doubled up to 8 × width.
        latent: length of z (paper: 256).
    """

    def __init__(self, *, in_channels: int = 3, width: int = 64, latent: int = 256) -> None:
        super().__init__()
        check_range(in_channels=(in_channels, 1, 4096), width=(width, 1, 512), latent=(latent, 1, 8192))
        self.in_channels = in_channels
        self.latent = latent
        layers: list[nn.Module] = []
        inner = in_channels
        for outer in (width, 2 * width, 4 * width, 8 * width, 8 * width, 8 * width):
            layers.append(Conv2d(inner, outer, 3, stride=2, padding=1, bias=False))
            layers += [nn.InstanceNorm2d(outer), nn.LeakyReLU(0.2)]
            inner = outer
        self.layers = nn.Sequential(*layers)
        self.mean = nn.Linear(inner * _LAST**2, latent)
        self.log_variance = nn.Linear(inner * _LAST**2, latent)
        initialise_xavier(self.modules())
        normalise_spectrally(self)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        if image.shape[-2:] != (_SIDE, _SIDE):
            image = F.interpolate(image, size=(_SIDE, _SIDE), mode="bilinear")
        features = self.layers(image).flatten(1)
        return self.mean(features), self.log_variance(features)
