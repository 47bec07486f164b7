"""A discriminator of what a frozen classifier sees in an image (Projected GAN, Sauer et al. 2021, arXiv 2111.01007).

python -c "from img2img_hub import ProjectedDiscriminator as D; print(D(channels='24,40,112,320').parameter_count)"
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Network
from img2img_hub.networks.blocks import normalise_spectrally
from img2img_hub.networks.heads import parse_channels


class ProjectedDiscriminator(Network):
    """Features of an image, from the finest to the coarsest -> as many logits, (N, 1, h / 2, w / 2) of (N, C, h, w).

    Fixed convolutions with random weights mix the channels of each feature (section 3.2, "cross-channel mixing") and
    then, from the coarsest on, add what the coarser one became to the finer one (cross-scale mixing), so that no judge
    can rest on the few things that are easiest to tell. On each a small judge learns, with spectral norm. The paper's
    judges narrow down to 4×4 logits; these give patches, which data sets of a few hundred images need.

    Args:
        channels: of each feature, separated by commas.
        width: channels that the finest is mixed to; doubled from feature to feature.
    """

    def __init__(self, *, channels: str = "24,40,112,320", width: int = 64) -> None:
        super().__init__()
        counts = parse_channels(channels)
        check_range(features=(len(counts), 1, 6), width=(width, 1, 512))
        mixed = [width * 2**level for level in range(len(counts))]
        for level, (count, wide) in enumerate(zip(counts, mixed, strict=True)):
            self.register_buffer(f"mix_{level}", _drawn(wide, count, 1))
            if level:
                self.register_buffer(f"fuse_{level - 1}", _drawn(mixed[level - 1], wide, 3))
        self.judges = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(wide, 2 * width, 4, stride=2, padding=1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(2 * width, 2 * width, 3, padding=1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(2 * width, 1, 3, padding=1),
            )
            for wide in mixed
        )
        normalise_spectrally(self.judges)

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Each at half the size of the one before, of 2 pixels a side or more."""
        if len(features) != len(self.judges):
            raise ValueError(f"these are judges of {len(self.judges)} features, got {len(features)}")
        seen: list[Tensor] = []
        for level in reversed(range(len(features))):
            mixed = F.conv2d(features[level], self.get_buffer(f"mix_{level}"))
            if seen:
                coarser = F.conv2d(seen[0], self.get_buffer(f"fuse_{level}"), padding=1)
                mixed = mixed + F.interpolate(coarser, mixed.shape[-2:], mode="bilinear", align_corners=False)
            seen.insert(0, mixed)
        return tuple(judge(mixed) for judge, mixed in zip(self.judges, seen, strict=True))


def _drawn(outer: int, inner: int, side: int) -> Tensor:
    """Random weights that keep the size of values (He et al. 2015), never trained."""
    made = torch.empty(outer, inner, side, side)
    return made if made.is_meta else made.normal_(0.0, 1 / math.sqrt(inner * side * side))
