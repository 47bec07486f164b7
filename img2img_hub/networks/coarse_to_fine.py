"""The coarse-to-fine generator of pix2pixHD, for large images (arXiv 1711.11585, section 3.1).

python -c "from img2img_hub import CoarseToFineGenerator; print(CoarseToFineGenerator(width=8).config)"
"""

from torch import Tensor, nn

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Generator
from img2img_hub.networks.blocks import Norm, Upsample, halve, initialise
from img2img_hub.networks.resnet import ResidualBlock, decoder, encoder, to_image

_HALVINGS = 4  # of the global generator


class CoarseToFineGenerator(Generator):
    """A ResNet on a small image, and enhancers around it: (N, in_channels, H, W) -> (N, out_channels, H, W).

    Both are float in [-1, 1]. H and W must be multiples of 16 · 2**enhancers and at least twice that.

    The global generator works on the image at half the size, or a quarter, and ends in features, not in an image. An
    enhancer works on the image at twice that size: its front's features and those of what is below it are added, then
    pass its residual blocks and are doubled. The paper trains the global generator first; here all learn together from
    the first step.

    Args:
        in_channels: bands of the source image.
        out_channels: bands of the target image.
        width: channels of the outermost enhancer at full resolution (paper: 32); twice as many each time that the image
            is halved, up to 32 × width in the global generator's blocks behind one enhancer.
        blocks: residual blocks of the global generator (paper: 9), at 1/16 of its own resolution.
        enhancers: 1, or 2 for still larger images.
        enhancer_blocks: residual blocks of each enhancer (paper: 3).
        norm: "instance" (paper), "batch" or "none".
        dropout: probability inside the residual blocks, 0 for none (paper).
        upsample: "transpose" (paper), or without checkerboard "resize" (nearest) or "bilinear", then a convolution.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 32,
        blocks: int = 9,
        enhancers: int = 1,
        enhancer_blocks: int = 3,
        norm: Norm = "instance",
        dropout: float = 0.0,
        upsample: Upsample = "transpose",
    ) -> None:
        super().__init__()
        check_range(
            in_channels=(in_channels, 1, 4096),
            out_channels=(out_channels, 1, 4096),
            width=(width, 1, 512),
            blocks=(blocks, 0, 64),
            enhancers=(enhancers, 1, 2),
            enhancer_blocks=(enhancer_blocks, 0, 64),
            dropout=(dropout, 0.0, 0.95),
        )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.multiple = 2 ** (_HALVINGS + enhancers)
        self.min_size = 2 * self.multiple  # below, the global blocks see one pixel: nothing to reflect or normalise

        def residual(channels: int, count: int) -> list[nn.Module]:
            return [ResidualBlock(channels, norm=norm, dropout=dropout) for _ in range(count)]

        inner = width * 2**enhancers  # channels of the global generator at its full resolution
        self.coarse = nn.Sequential(
            *encoder(in_channels, width=inner, halvings=_HALVINGS, norm=norm),
            *residual(inner * 2**_HALVINGS, blocks),
            *decoder(width=inner, doublings=_HALVINGS, norm=norm, upsample=upsample),
        )
        self.fronts = nn.ModuleList()  # from the innermost enhancer to the outermost
        self.backs = nn.ModuleList()
        for channels in (width * 2**level for level in reversed(range(enhancers))):
            self.fronts.append(nn.Sequential(*encoder(in_channels, width=channels, halvings=1, norm=norm)))
            back = residual(2 * channels, enhancer_blocks)
            back += decoder(width=channels, doublings=1, norm=norm, upsample=upsample)
            back += to_image(width, out_channels) if channels == width else []  # what is inside ends in features
            self.backs.append(nn.Sequential(*back))

        initialise(self.modules())

    def forward(self, source: Tensor) -> Tensor:
        height, width = source.shape[-2:]
        if height % self.multiple or width % self.multiple or min(height, width) < self.min_size:
            raise ValueError(
                f"this coarse-to-fine generator needs height and width to be multiples of {self.multiple} and at least "
                f"{self.min_size}, got {height}×{width}; pad the image (Translator does it)"
            )
        sizes = [source]
        for _ in self.fronts:
            sizes.append(halve(sizes[-1]))
        features = self.coarse(sizes.pop())
        for front, back in zip(self.fronts, self.backs, strict=True):
            features = back(front(sizes.pop()) + features)
        return features
