"""×2 and ÷2 by fixed filters, so that a shifted image gives a shifted result (Zhang 2019, arXiv 1904.11486).

    python -c "from img2img_hub.networks.antialias import BlurDown; print(BlurDown(8))"

The filters are no weights: they are neither learnt nor saved, nor counted as parameters.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FixedFilter(nn.Module):
    """The same filter for each channel by itself, made of its profile along either axis."""

    def __init__(self, channels: int, profile: list[float]) -> None:
        super().__init__()
        self.channels = channels
        # On the CPU even where a network is built on the meta device to be loaded: no file brings it afterwards.
        axis = torch.tensor(profile, device="cpu")
        kernel = torch.outer(axis, axis).expand(channels, 1, -1, -1).contiguous()
        self.register_buffer("kernel", kernel, persistent=False)
        self.kernel: Tensor

    def extra_repr(self) -> str:
        return str(self.channels)


class BlurDown(FixedFilter):
    """(N, channels, H, W) -> (N, channels, ⌈H/2⌉, ⌈W/2⌉): [1 2 1]²/16 at every second pixel, the border reflected."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, [0.25, 0.5, 0.25])

    def forward(self, input: Tensor) -> Tensor:
        border = F.pad(input, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(border, self.kernel, stride=2, groups=self.channels)


class BlurUp(FixedFilter):
    """(N, channels, H, W) -> (N, channels, 2H, 2W): bilinear, pixel centres at halves, the border repeated.

    As a transposed convolution, whose gradient takes a third of the time of `F.interpolate`'s, on a GPU is the same
    every time, and which runs in half precision.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, [0.25, 0.75, 0.75, 0.25])

    def forward(self, input: Tensor) -> Tensor:
        border = F.pad(input, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(border, self.kernel, stride=2, padding=3, groups=self.channels)
