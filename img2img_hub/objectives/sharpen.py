"""Sharpened targets, which Real-ESRGAN compares its pictures with, so that they come out crisp without rings.

python -c "import torch; from img2img_hub.objectives.sharpen import *; print(sharpened(torch.zeros(1, 3, 64, 64)))"

Wang et al. 2021, arXiv 2107.10833: L1 and what VGG19 sees are of the sharpened targets, and the discriminator's targets
are as they are.
"""

from functools import lru_cache

import torch
from torch import Tensor

RADIUS = 50  # what the authors call it: the Gaussian's window has this and one more, to have a middle
WEIGHT = 0.5
THRESHOLD = 10 / 255  # of full range: less of a difference is taken for noise


def sharpened(target: Tensor) -> Tensor:
    """(N, C, H, W) in [-1, 1] with half of what a wide blur takes away added again, near edges alone.

    Unsharp masking with the values of Real-ESRGAN's authors, which the paper does not print: the blur is a Gaussian of
    51 pixels, of σ 0.3 · ((51 − 1) / 2 − 1) + 0.8 = 8 (OpenCV's rule for a σ of 0), mirrored at the edges; what differs
    from the blur by more than 10 of 255 is a mask, blurred in its turn, by which the picture with half the difference
    added, cut off at black and white, is laid over the picture.
    """
    with torch.no_grad(), torch.autocast(target.device.type, enabled=False):
        picture = (target.float() + 1) / 2
        rows, columns = (_blur_matrix(side, target.device) for side in target.shape[-2:])

        def blur(values: Tensor) -> Tensor:
            return rows @ values @ columns.T

        rest = picture - blur(picture)
        near_edges = blur((rest.abs() > THRESHOLD).float())
        sharp = (picture + WEIGHT * rest).clamp(0, 1)
        return torch.lerp(picture, sharp, near_edges).mul(2).sub(1).to(target.dtype)


@lru_cache(maxsize=16)  # training has crops of one size
def _blur_matrix(side: int, device: torch.device) -> Tensor:
    """(side, side): each row the weights that make one blurred pixel of a line. As a matrix, mirroring is a matter of
    indices, also where the window is wider than the picture, and no convolution rounds to TF32."""
    reach = RADIUS // 2
    sigma = 0.3 * (reach - 1) + 0.8
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-offsets.double().square() / (2 * sigma**2))
    period = max(2 * (side - 1), 1)
    places = (torch.arange(side)[:, None] + offsets).remainder(period)
    rows = torch.zeros(side, side, dtype=torch.float64)
    rows.scatter_add_(1, torch.minimum(places, period - places), (weights / weights.sum()).expand(side, -1))
    return rows.float().to(device)
