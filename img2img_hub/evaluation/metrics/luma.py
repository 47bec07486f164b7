"""The yardstick of super-resolution: PSNR and SSIM of luminance, without the border.

    python -c "import torch; from img2img_hub.evaluation.metrics.luma import *; \\
        print(psnr_y(*torch.rand(2, 1, 3, 64, 64), border=4), ssim_y(*torch.rand(2, 1, 3, 64, 64), border=4))"

Tables of that field are of luminance alone, and leave out as many pixels at each edge as a picture is enlarged, of
which a network has seen less. They are other numbers than `psnr` and `ssim` of red, green and blue, a decibel or two
higher: the two kinds must never stand in one column.
"""

import torch
from torch import Tensor

from img2img_hub.evaluation.metrics.fidelity import SSIM_WINDOW, psnr, ssim

_WEIGHTS = (65.481, 128.553, 24.966)  # of red, green and blue in 0–1
_BLACK = 16.0


def luma(images: Tensor) -> Tensor:
    """Y of ITU-R BT.601 by 255, (N, 1, H, W) float64 from 16/255 (black) to 235/255 (white), as MATLAB's rgb2ycbcr.

    It is not rounded to 8 bits, as rgb2ycbcr's is not of a picture of doubles: rounding would add noise that no picture
    has. The pictures themselves are of 8 bits.

    Args:
        images: (N, 3, H, W) in [0, 1]; or (N, 1, H, W), which are as if red, green and blue were equal.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"grey or RGB pictures are needed, (N, 1 or 3, H, W), got {tuple(images.shape)}")
    weights = torch.tensor(_WEIGHTS, dtype=torch.float64)
    if images.shape[1] == 1:
        weights = weights.sum(0, keepdim=True)
    return (torch.einsum("nchw,c->nhw", images.detach().cpu().double(), weights)[:, None] + _BLACK) / 255


def psnr_y(output: Tensor, target: Tensor, *, border: int) -> Tensor:
    """PSNR of `luma` with a peak of 255, `border` pixels at each edge left out: (N,) in dB, infinite where equal.

    Args:
        output, target: (N, 1 or 3, H, W) in [0, 1], as pictures of 8 bits have them.
        border: the scale, by which tables are made: 4 for ×4.

    Raises:
        ValueError: nothing is left without the border.
    """
    return psnr(*_inner(output, target, border=border, least=1))


def ssim_y(output: Tensor, target: Tensor, *, border: int) -> Tensor:
    """`ssim` of `luma` with a range of 255, `border` pixels at each edge left out: (N,), at most 1.

    The range is that of the tables, not the 219 that Y has: K1 and K2 are of 255 (of values by 255, of 1). Arguments as
    of `psnr_y`.

    Raises:
        ValueError: less than 11×11 pixels are left without the border.
    """
    return ssim(*_inner(output, target, border=border, least=SSIM_WINDOW))


def _inner(output: Tensor, target: Tensor, *, border: int, least: int) -> tuple[Tensor, Tensor]:
    if output.shape != target.shape:
        raise ValueError(f"two batches of one shape are needed, got {tuple(output.shape)} and {tuple(target.shape)}")
    first, second = luma(output), luma(target)
    height, width = (side - 2 * border for side in first.shape[-2:])
    if border < 0 or min(height, width) < least:
        raise ValueError(
            f"at least {least}×{least} pixels are needed without a border of {border}, got pictures of "
            f"{first.shape[-2]}×{first.shape[-1]}"
        )
    if not border:
        return first, second
    return first[..., border:-border, border:-border], second[..., border:-border, border:-border]
