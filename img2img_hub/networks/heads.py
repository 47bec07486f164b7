"""What CUT compares patches by: a small network on each of several features (arXiv 2007.15651, section 3).

python -c "from img2img_hub.networks import PatchHeads; print(PatchHeads(channels='3,128,256').parameter_count)"
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Network
from img2img_hub.networks.blocks import initialise_xavier

_MOST = 64  # features


class PatchHeads(Network):
    """A head a feature: some of its places -> vectors of length 1, which tell patches apart.

    Each is Linear, ReLU, Linear, then x / ‖x‖₂. They are in float32 under autocast, too: a few hundred vectors cost
    next to nothing, and what they start with (about 1e-5) is too small for half precision.

    Args:
        channels: of each feature, separated by commas, such as "3,128,256,256,256" of a ResNet's `feature_channels`.
        width: length of the vectors, and of those inside the heads.
    """

    def __init__(self, *, channels: str = "3,128,256,256,256", width: int = 256) -> None:
        super().__init__()
        counts = parse_channels(channels)
        check_range(width=(width, 1, 8192))
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width)) for count in counts
        )
        initialise_xavier(self.modules())

    def forward(self, features: tuple[Tensor, ...], places: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """(N, C, h, w) each, and the numbers (P,) of their places, row by row -> (N, P, width) each, of length 1."""
        if not len(features) == len(places) == len(self.heads):
            raise ValueError(
                f"these are {len(self.heads)} heads, got {len(features)} features and {len(places)} lists of places"
            )
        dtype = next(self.parameters()).dtype
        with torch.autocast(features[0].device.type, enabled=False):
            return tuple(
                # Not the plain quotient, whose gradient at an exact zero is no number.
                F.normalize(head(vectors_at(feature, chosen).to(dtype)), dim=-1, eps=1e-7)
                for head, feature, chosen in zip(self.heads, features, places, strict=True)
            )


def vectors_at(feature: Tensor, places: Tensor) -> Tensor:
    """(N, C, h, w) and numbers (P,) of places, row by row -> (N, P, C); whatever its memory format, nothing else is
    copied."""
    width = feature.shape[-1]
    return feature[:, :, places // width, places % width].transpose(1, 2)


def parse_channels(text: str) -> list[int]:
    """The numbers of "3,128,256".

    Raises:
        ValueError: anything else, or more of them or larger ones than any network has.
    """
    words = text.split(",") if isinstance(text, str) else []
    if not 0 < len(words) <= _MOST or not all(word.strip().isdecimal() for word in words):
        raise ValueError(
            f"channels must be 1 to {_MOST} whole numbers separated by commas, such as 3,128,256, got {text!r:.80}"
        )
    counts = [int(word) for word in words]
    for count in counts:
        check_range(channels=(count, 1, 65536))
    return counts
