"""A U-Net for holes that also gets the full picture, small: context-conditional, after Denton et al. 2016.

python -c "from img2img_hub.networks import ContextUNetGenerator as U; print(U(context_channels=3).config)"

"Semi-Supervised Learning with Context-Conditional Generative Adversarial Networks", arXiv 1611.06430.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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

JOINS = 2
"""Halvings behind which the small picture is concatenated; its sides are a quarter of the picture's."""


class ContextUNetGenerator(Generator):
    """U-Net with context: (N, in_channels, H, W) float in [-1, 1] -> (N, out_channels, H, W) float in [-1, 1].

    H and W must be multiples of 2**levels. The last `context_channels` bands of the source are the full picture at a
    quarter of the size, each of its pixels repeated 4×4 times so that it is one tensor with the covered picture. Means
    over 4×4 give the small picture back to the bit; the first layers do not see these bands. Joined to what two
    halvings have made of the rest, they go on down, and to the decoder by the skip connection.

    In the paper it serves semi-supervised classification: a generator fills a hole, and the discriminator that judges
    the filling is the classifier, too; the small picture is an option of it (`context_channels` 0: without). What
    people run under its name has no classifier and is this network: six levels for 128², the small picture behind the
    second one, a mask for no input. Differing from that, a mask may be among the bands; norms stand between convolution
    and activation, with the usual 1e-5 (not 0.8) beside the variance, and none at the innermost level, which may be
    one pixel.

    Args:
        in_channels: bands of the source: the covered picture, a mask if there is one, then the context.
        out_channels: bands of the target image.
        context_channels: the last bands of the source, which are the context; 0 for none.
        levels: how often the image is halved, from 3 on.
        width: channels of the outermost level; doubled at each level up to 8 × width.
        norm: "batch", "instance" or "none".
        dropout: probability from the third level down, and up to the fourth one.
        upsample: "transpose", or without checkerboard "resize" (nearest) or "bilinear", then a convolution.
    """

    knows_one_size = True  # its bottleneck sees the whole image

    def __init__(
        self,
        *,
        in_channels: int = 7,
        out_channels: int = 3,
        context_channels: int = 3,
        levels: int = 6,
        width: int = 64,
        norm: Norm = "batch",
        dropout: float = 0.5,
        upsample: Upsample = "transpose",
    ) -> None:
        super().__init__()
        check_range(
            in_channels=(in_channels, 1, 4096),
            out_channels=(out_channels, 1, 4096),
            context_channels=(context_channels, 0, 4095),
            levels=(levels, 3, 12),
            width=(width, 1, 512),
            dropout=(dropout, 0.0, 0.95),
        )
        if context_channels >= in_channels:
            raise ValueError(
                f"context_channels are among the in_channels, got {context_channels} of {in_channels}: leave at least "
                "one for the covered picture"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.covered_channels = in_channels - context_channels
        self.multiple = self.min_size = 2**levels

        channels = [width * min(2**level, 8) for level in range(levels)]  # 64 128 256 512 512 512
        skips = [each + context_channels * (level == JOINS - 1) for level, each in enumerate(channels)]
        last = levels - 1
        self.downs = nn.ModuleList()
        for level, out in enumerate(channels):
            normed = 0 < level < last
            inner = skips[level - 1] if level else self.covered_channels
            bias = conv_has_bias(norm) or not normed
            down: list[nn.Module] = [Conv2d(inner, out, 4, stride=2, padding=1, bias=bias)]
            if normed:
                down.append(make_norm(norm, out))
            down.append(nn.LeakyReLU(0.2))
            if dropout > 0 and level >= JOINS:
                down.append(Dropout(dropout))
            self.downs.append(nn.Sequential(*down))

        self.ups = nn.ModuleList()  # from the innermost to the outermost
        for level in reversed(range(levels)):
            inner = skips[level] if level == last else skips[level] + channels[level]  # and inner result side by side
            if level == 0:
                up = [make_upsample(upsample, inner, out_channels, kernel=4, bias=True), nn.Tanh()]
            else:
                out = channels[level - 1]
                up = [make_upsample(upsample, inner, out, kernel=4, bias=conv_has_bias(norm))]
                up += [make_norm(norm, out), nn.ReLU()]
                if dropout > 0 and level > JOINS:
                    up.append(Dropout(dropout))
            self.ups.append(nn.Sequential(*up))
        initialise(self.modules())

    def forward(self, source: Tensor) -> Tensor:
        """Fill."""
        self.check_size(source, called="context U-Net", cure=" or build the network with fewer levels")
        whole = self.covered_channels == self.in_channels
        x = source if whole else source[:, : self.covered_channels]
        skips: list[Tensor] = []
        for level, down in enumerate(self.downs):
            x = down(x)
            if level == JOINS - 1 and not whole:
                x = torch.cat([x, self._shrunk(source[:, self.covered_channels :])], dim=1)
            skips.append(x)
        x = skips.pop()  # the innermost goes straight up
        for up in self.ups:
            x = up(x)
            if skips:
                x = torch.cat([skips.pop(), x], dim=1)
        return x

    @staticmethod
    def _shrunk(context: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, H/4, W/4)
        """Means over 4×4 in two steps: the sum of four equal numbers is exact, that of sixteen may be rounded."""
        for _ in range(JOINS):
            context = F.avg_pool2d(context, 2)
        return context
