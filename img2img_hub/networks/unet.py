"""The U-Net generator of pix2pix (arXiv 1611.07004, appendix 6.1.1): an encoder and a decoder with skip connections.

python -c "from img2img_hub import UNetGenerator; print(UNetGenerator(levels=8).config)"
"""

import torch
from torch import Tensor, nn

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Generator
from img2img_hub.networks.blocks import (
    Conv2d,
    Dropout,
    Norm,
    Upsample,
    conv_has_bias,
    initialise,
    make_norm,
    make_upsample,
)
from img2img_hub.networks.encoders import BANDS, LEVELS, Encoder, EncoderName, make_encoder


class UNetGenerator(Generator):
    """U-Net: (N, in_channels, H, W) float in [-1, 1] -> (N, out_channels, H, W) float in [-1, 1].

    H and W must be multiples of 2**levels (8 levels: unet_256 of the original, 7: unet_128).

    Args:
        in_channels: bands of the source image.
        out_channels: bands of the target image.
        levels: how often the image is halved.
        width: channels of the outermost level; doubled at each level up to 8 × width.
        norm: "batch" (paper), "instance" or "none".
        dropout: probability in the middle up-blocks (all but the innermost at 8 × width channels), paper: 0.5.
        upsample: "transpose" (paper), or without checkerboard "resize" (nearest) or "bilinear", then a convolution. The
            outermost level of "bilinear" is nearest, too, unless there are `refine_channels`: nothing after it could
            sharpen what it blurs.
        noise_channels: bands of Gaussian noise z concatenated to the source (section 3.1 of the paper gives G(x, z));
            0 leaves dropout as the only noise, as in the paper's experiments.
        refine_channels: channels of two more convolutions at full resolution, which see the source beside what the
            decoder made: edges of the source stay sharp, and what is interpolated can be sharpened. 0: none (paper),
            and the output is what the last up-sampling makes.
        encoder: what leads down: "unet" (paper), or a classification network under the same decoder, with its own
            normalisation of the input inside: "lite0" (EfficientNet-Lite0, the smallest), "resnet18" or "vgg16". Its
            batch norms keep the averages that it comes with; `norm` is the decoder's and of the skip connections,
            `dropout` of the two innermost blocks up, and `levels` must be 5. Sources (with noise) of other than 1 or 3
            channels pass through a learnt 1×1 convolution to 3.
    """

    later_arguments = frozenset({"refine_channels", "encoder"})
    knows_one_size = True  # its bottleneck sees the whole image, and its statistics are that image's

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 3,
        levels: int = 8,
        width: int = 64,
        norm: Norm = "batch",
        dropout: float = 0.5,
        upsample: Upsample = "transpose",
        noise_channels: int = 0,
        refine_channels: int = 0,
        encoder: EncoderName = "unet",
    ) -> None:
        super().__init__()
        check_range(
            in_channels=(in_channels, 1, 4096),
            out_channels=(out_channels, 1, 4096),
            levels=(levels, 2, 12),
            width=(width, 1, 512),
            dropout=(dropout, 0.0, 0.95),
            noise_channels=(noise_channels, 0, 4096),
            refine_channels=(refine_channels, 0, 512),
        )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.noise_channels = noise_channels
        self.multiple = 2**levels
        self.min_size = 2**levels

        bias = conv_has_bias(norm)
        channels = [width * min(2**level, 8) for level in range(levels)]  # 64 128 256 512 512 …
        last = levels - 1
        classifier = None if encoder == "unet" else make_encoder(encoder)
        if classifier is not None and levels != LEVELS:
            raise ValueError(f"encoder {encoder} halves an image {LEVELS} times: levels must be {LEVELS}, got {levels}")

        self.downs = nn.ModuleList()
        for level, out in enumerate(channels if classifier is None else []):
            inner = in_channels + noise_channels if level == 0 else channels[level - 1]
            down: list[nn.Module] = [] if level == 0 else [nn.LeakyReLU(0.2)]
            down.append(Conv2d(inner, out, 4, stride=2, padding=1, bias=bias))
            if 0 < level < last:  # no norm at the outermost (raw image) nor at the innermost (1×1: nothing to measure)
                down.append(make_norm(norm, out))
            self.downs.append(nn.Sequential(*down))

        self.ups = nn.ModuleList()  # from the innermost to the outermost
        skips = channels if classifier is None else classifier.channels
        # The paper's skips are not activated before they are joined; a classifier's are as its own layers want them.
        before, after = ([nn.ReLU], []) if classifier is None else ([], [nn.ReLU])
        dropped = range(4, last) if classifier is None else range(last - 1, levels)
        for level in reversed(range(levels)):
            doubling = "resize" if upsample == "bilinear" and level == 0 and not refine_channels else upsample
            inner = skips[level] if level == last else skips[level] + channels[level]  # and inner result side by side
            up: list[nn.Module] = [activation() for activation in before]
            if level == 0:
                up.append(make_upsample(doubling, inner, refine_channels or out_channels, kernel=4, bias=True))
                up.append(nn.ReLU() if refine_channels else nn.Tanh())
            else:
                out = channels[level - 1]
                up += [make_upsample(doubling, inner, out, kernel=4, bias=bias), make_norm(norm, out)]
                if dropout > 0 and level in dropped:
                    up.append(Dropout(dropout))
                up += [activation() for activation in after]
            self.ups.append(nn.Sequential(*up))

        self.laterals = nn.ModuleList()  # a classifier's features are up to ten times as large as what they join
        if classifier is not None:
            self.laterals.extend(make_norm(norm, each) for each in skips[:last])

        self.refine: nn.Module | None = None
        if refine_channels:  # no norm, so that the source's own brightness passes
            self.refine = nn.Sequential(
                *(nn.ReplicationPad2d(1), Conv2d(in_channels + refine_channels, refine_channels, 3), nn.ReLU()),
                *(nn.ReplicationPad2d(1), Conv2d(refine_channels, out_channels, 3), nn.Tanh()),
            )

        self.encoder: Encoder | None = None
        self.adapter: nn.Module | None = None
        if classifier is not None and (read := in_channels + noise_channels) not in (1, BANDS):
            self.adapter = Conv2d(read, BANDS, 1)
        initialise(self.modules())
        if self.adapter is not None and not self.adapter.weight.is_meta:
            nn.init.normal_(self.adapter.weight, std=read**-0.5)  # values of the size that pictures have
        self.encoder = classifier  # has started in its own way

    def forward(self, source: Tensor, noise: Tensor | None = None) -> Tensor:
        """Translate. `noise`: (N, noise_channels, H, W) standard normal; None: drawn in training, zero in eval mode."""
        cure = " or build the network with fewer levels" if self.encoder is None else ""
        self.check_size(source, called="U-Net", cure=cure)
        x = source
        if self.noise_channels:
            if noise is None:
                shape = (len(source), self.noise_channels, *source.shape[-2:])
                noise = source.new_empty(shape).normal_() if self.training else source.new_zeros(shape)
            x = torch.cat([source, noise.to(source)], dim=1)

        skips: list[Tensor] = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        if self.encoder is not None:
            *outer, innermost = self.encoder(x if self.adapter is None else self.adapter(x))
            skips = [*(norm(skip) for norm, skip in zip(self.laterals, outer, strict=True)), innermost]
        x = skips.pop()  # the innermost goes straight up
        for up in self.ups:
            x = up(x)
            if skips:
                x = torch.cat([skips.pop(), x], dim=1)
        return x if self.refine is None else self.refine(torch.cat([source, x], dim=1))
