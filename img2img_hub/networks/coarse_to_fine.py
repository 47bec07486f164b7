"""The coarse-to-fine generator of pix2pixHD, for large images (arXiv 1711.11585, section 3.1).

python -c "from img2img_hub import CoarseToFineGenerator; print(CoarseToFineGenerator(width=8).config)"
"""

from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Generator, Network
from img2img_hub.networks.blocks import Norm, Upsample, conv_has_bias, halve, initialise
from img2img_hub.networks.resnet import ResidualBlock, decoder, encoder, to_image

_HALVINGS = 4  # of the global generator
_TO_IMAGE = 3  # layers
_DRAWS = 4093  # of styles, for the numbers of things; a prime, for these often count by 1000 from class to class

Biases = Literal["pix2pix", "pix2pixhd"]


class CoarseToFineGenerator(Generator):
    """A ResNet on a small image, and enhancers around it: (N, in_channels, H, W) -> (N, out_channels, H, W).

    Both are float in [-1, 1]. H and W must be multiples of 16 · 2**enhancers and at least twice that.

    The global generator works on the image at half the size, or a quarter, and ends in features, not in an image. An
    enhancer works on the image at twice that size: its front's features and those of what is below it are added, then
    pass its residual blocks and are doubled. The paper trains the global generator first, alone, and then with an
    enhancer around it: see `take_over`.

    Args:
        in_channels: bands of the source image.
        out_channels: bands of the target image.
        width: channels of the outermost enhancer at full resolution (paper: 32); twice as many each time that the image
            is halved, up to 32 × width in the global generator's blocks behind one enhancer. Without enhancers those of
            the global generator (paper: 64).
        blocks: residual blocks of the global generator (paper: 9), at 1/16 of its own resolution.
        enhancers: 0 for the global generator alone, 1, or 2 for still larger images.
        enhancer_blocks: residual blocks of each enhancer (paper: 3).
        norm: "instance" (paper), "batch" or "none".
        dropout: probability inside the residual blocks, 0 for none (paper).
        upsample: "transpose" (paper), or without checkerboard "resize" (nearest) or "bilinear", then a convolution.
        layout: "pix2pix": no biases beside batch norm, all of them 0 at the start. "pix2pixhd" (the authors' code):
            biases everywhere, which start as PyTorch draws them.
        feature_channels: bands of features beside the source, as an `InstanceEncoder` makes them; 0 for none.
        styles: of each class that it can translate in, where features are not given (authors' code: 10); 0 for none.
    """

    later_arguments = frozenset({"layout", "feature_channels", "styles"})
    centres: Tensor

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
        layout: Biases = "pix2pix",
        feature_channels: int = 0,
        styles: int = 0,
    ) -> None:
        super().__init__()
        check_range(
            in_channels=(in_channels, 1, 4096),
            out_channels=(out_channels, 1, 4096),
            width=(width, 1, 512),
            blocks=(blocks, 0, 64),
            enhancers=(enhancers, 0, 2),
            enhancer_blocks=(enhancer_blocks, 0, 64),
            dropout=(dropout, 0.0, 0.95),
            feature_channels=(feature_channels, 0, 64),
            styles=(styles, 0, 64),
        )
        if styles and not feature_channels:
            raise ValueError(f"styles are of feature_channels, of which there are none, got styles {styles}")
        if layout not in get_args(Biases):
            raise ValueError(f"layout must be one of {', '.join(get_args(Biases))}, got {layout!r:.60}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.feature_channels = feature_channels
        self.multiple = 2 ** (_HALVINGS + enhancers)
        self.min_size = 2 * self.multiple  # below, the global blocks see one pixel: nothing to reflect or normalise
        seen = in_channels + feature_channels
        bias = conv_has_bias(norm) if layout == "pix2pix" else True

        def residual(channels: int, count: int) -> list[nn.Module]:
            return [ResidualBlock(channels, norm=norm, dropout=dropout, bias=bias) for _ in range(count)]

        inner = width * 2**enhancers  # channels of the global generator at its full resolution
        self.coarse = nn.Sequential(
            *encoder(seen, width=inner, halvings=_HALVINGS, norm=norm, bias=bias),
            *residual(inner * 2**_HALVINGS, blocks),
            *decoder(width=inner, doublings=_HALVINGS, norm=norm, upsample=upsample, bias=bias),
            *([] if enhancers else to_image(width, out_channels)),
        )
        self.fronts = nn.ModuleList()  # from the innermost enhancer to the outermost
        self.backs = nn.ModuleList()
        for channels in (width * 2**level for level in reversed(range(enhancers))):
            self.fronts.append(nn.Sequential(*encoder(seen, width=channels, halvings=1, norm=norm, bias=bias)))
            back = residual(2 * channels, enhancer_blocks)
            back += decoder(width=channels, doublings=1, norm=norm, upsample=upsample, bias=bias)
            back += to_image(width, out_channels) if channels == width else []  # what is inside ends in features
            self.backs.append(nn.Sequential(*back))

        initialise(self.modules(), biases=layout == "pix2pix")
        self.styles = styles
        if styles:
            # Features by channel of the source, so that a 1×1 convolution makes them of classes; 0 for other channels.
            self.register_buffer("centres", torch.zeros(styles, feature_channels, in_channels))

    def forward(self, source: Tensor, features: Tensor | None = None) -> Tensor:
        """Translate. `features`: (N, feature_channels, H, W); None: the most usual style of each class."""
        self.check_size(source, called="coarse-to-fine generator")
        if self.feature_channels:
            if features is None and self.styles:
                features = F.conv2d(source, self.centres[0][:, :, None, None])
            elif features is None:
                features = source.new_zeros((len(source), self.feature_channels, *source.shape[-2:]))
            source = torch.cat([source, features.to(source)], dim=1)
        sizes = [source]
        for _ in self.fronts:
            sizes.append(halve(sizes[-1]))
        made = self.coarse(sizes.pop())
        for front, back in zip(self.fronts, self.backs, strict=True):
            made = back(front(sizes.pop()) + made)
        return made

    def with_styles(self, centres: Tensor) -> Self:
        """This, of the same weights, translating in styles: features by style and channel of the source, (styles,
        feature_channels, in_channels), the most usual style first."""
        # Built without memory, so that no weight is drawn: a run may not depend on how often its outputs are looked at.
        made = type(self)._from_config({**self.config, "styles": len(centres)}, where="copy")
        made.load_state_dict({**self.state_dict(), "centres": centres}, assign=True)
        return made.train(self.training)

    def draw_features(self, source: Tensor, things: Tensor | None = None) -> Tensor:
        if things is None:
            drawn = torch.randint(self.styles, (self.in_channels,)).to(source.device)
            kernel = self.centres.gather(0, drawn.expand_as(self.centres[:1]))[0]
            return F.conv2d(source, kernel[:, :, None, None])
        # By the number itself, so that a thing keeps its style when others come or go.
        drawn = torch.randint(self.styles, (_DRAWS,)).to(things.device)[things.long() % _DRAWS]
        features = source.new_zeros(())
        for number, kernel in enumerate(self.centres[..., None, None]):
            features = torch.where(drawn == number, F.conv2d(source, kernel), features)
        return features

    @property
    def outermost(self) -> list[nn.Parameter]:
        """The weights of the outermost enhancer, which the paper's second stage trains first; [] without one."""
        return [p for part in (self.fronts[-1:], self.backs[-1:]) for p in part.parameters()]

    @torch.no_grad()
    def take_over(self, smaller: Network) -> str | None:
        """Begin with a generator of fewer enhancers inside, as the paper's second stage does (section 3.1): all of it
        but the layers that made its image. Or with an equal one, whose styles are not this one's.

        Returns:
            What was taken over, in words; None where `smaller` is none that fits, and then nothing was.
        """
        if not isinstance(smaller, CoarseToFineGenerator) or len(smaller.fronts) > len(self.fronts):
            return None
        own, other = self.config, smaller.config
        less = len(smaller.fronts)
        alike = less == len(self.fronts)
        free = {"styles"} if alike else {"styles", "width", "enhancers", *([] if less else ["enhancer_blocks"])}
        if any(own[key] != other[key] for key in own.keys() - free):
            return None
        if own["width"] * 2 ** len(self.fronts) != other["width"] * 2**less:
            return None
        if alike:
            weights = {name: value for name, value in smaller.state_dict().items() if name != "centres"}
            self.load_state_dict(weights, strict=not self.styles)
            return "all its weights; its styles begin anew"
        mine = [self.coarse, *self.fronts[:less], *self.backs[:less]]
        theirs = [smaller.coarse, *smaller.fronts, *smaller.backs]
        for part, known in zip(mine, theirs, strict=True):
            assert isinstance(part, nn.Sequential)
            assert isinstance(known, nn.Sequential)
            image = _TO_IMAGE if part is mine[-1] else 0
            part.load_state_dict(known[: len(known) - image].state_dict(), strict=True)
        made = "global generator" + (f" and its {less} inner enhancer" if less else "")
        return f"its {made}, without the layers that made an image; what is around them starts afresh"
