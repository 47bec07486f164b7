"""How far outputs are from their targets: L1, PSNR, SSIM, MS-SSIM.

python -c "import torch, img2img_hub.evaluation.metrics as m; print(m.ms_ssim(*torch.rand(2, 1, 3, 256, 256)))"
"""

import torch
from torch import Tensor
from torch.nn import functional as F

SSIM_WINDOW = 11  # taps of the Gaussian
SSIM_SIGMA = 1.5  # pixels
C1, C2 = 0.01**2, 0.03**2  # what keeps the quotients finite: (K1 L)² and (K2 L)² with L = 1

# Of the scales of MS-SSIM, finest first: section 3.2 of the paper, found with human observers.
MS_SSIM_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of each image: (N,), 0 to 1, lower is better."""
    output, target = _checked(output, target)
    return (output - target).abs().mean(dim=(1, 2, 3))


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image: (N,) in dB, higher is better, infinite for equal images."""
    output, target = _checked(output, target)
    return -10 * (output - target).square().mean(dim=(1, 2, 3)).log10()


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """Structural similarity of each image: (N,), at most 1 (equal images), higher is better.

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity": weighted by an 11×11
    Gaussian of σ 1.5 that sums to 1, K1 = 0.01, K2 = 0.03, dynamic range 1, only where the whole window lies inside
    the image, averaged over positions and channels.

    Raises:
        ValueError: images below 11×11 pixels.
    """
    output, target = _checked(output, target)
    _refuse_small("SSIM", output)
    luminance, contrast = _similarity(output, target)
    return (luminance * contrast).mean(dim=(1, 2, 3))


def ms_ssim(output: Tensor, target: Tensor) -> Tensor:
    """Multi-scale structural similarity of each image: (N,), 0 to 1 (equal images), higher is better.

    Wang, Simoncelli and Bovik 2003, "Multi-scale structural similarity for image quality assessment", equation 7:
    contrast and structure at five scales, each half the size of the one before (means of 2×2 pixels, an odd last row
    or column left out), luminance at the coarsest only, with the paper's exponents. Windows and constants are those of
    `ssim`. As is usual, each scale is averaged over its positions before the powers are taken, and a scale whose
    structure is inverted (a negative mean, of which there is no such power) counts as 0. Channels are images of their
    own, averaged in the end.

    Five scales need 176×176 pixels (11 · 2⁴). Smaller images have as many scales as fit (four from 88 pixels on, three
    from 44 …) with their exponents divided by their sum, so compare numbers of one image size only.

    Raises:
        ValueError: images below 11×11 pixels.
    """
    return ssim_and_ms_ssim(output, target)[1]


def ssim_and_ms_ssim(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """`ssim` and `ms_ssim`, whose finest scale is the same, and most of the work."""
    output, target = _checked(output, target)
    _refuse_small("MS-SSIM", output)
    scales = num_scales(min(output.shape[-2:]))
    exponents = MS_SSIM_EXPONENTS[:scales]
    total = sum(exponents) if scales < len(MS_SSIM_EXPONENTS) else 1.0  # the paper's own add up to 1.0001
    result = torch.ones(output.shape[:2], dtype=torch.float64)
    for scale, exponent in enumerate(exponents):
        luminance, contrast = _similarity(output, target)
        if scale == 0:
            whole = (luminance * contrast).mean(dim=(1, 2, 3))
        last = scale == scales - 1
        factor = (luminance * contrast if last else contrast).mean(dim=(2, 3))
        result = result * factor.clamp(min=0) ** (exponent / total)
        if not last:
            output, target = F.avg_pool2d(output, 2), F.avg_pool2d(target, 2)
    return whole, result.mean(dim=1)


def num_scales(side: int) -> int:
    """Scales of MS-SSIM for images whose shorter side is so many pixels, 11 or more: 1 to 5."""
    return sum(side // 2**scale >= SSIM_WINDOW for scale in range(len(MS_SSIM_EXPONENTS)))


def _similarity(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM's luminance and its contrast times structure, each (N, C, H - 10, W - 10)."""
    position = torch.arange(SSIM_WINDOW, dtype=torch.float64) - SSIM_WINDOW // 2
    taps = torch.exp(-position.square() / (2 * SSIM_SIGMA**2))
    weights = (taps / taps.sum()).tolist()

    def blur(images: Tensor) -> Tensor:
        return _filtered(_filtered(images, weights, dim=2), weights, dim=3)

    mean_o, mean_t = blur(output), blur(target)
    var_o = blur(output * output) - mean_o * mean_o
    var_t = blur(target * target) - mean_t * mean_t
    covariance = blur(output * target) - mean_o * mean_t
    luminance = (2 * mean_o * mean_t + C1) / (mean_o.square() + mean_t.square() + C1)
    return luminance, (2 * covariance + C2) / (var_o + var_t + C2)


def _filtered(images: Tensor, weights: list[float], *, dim: int) -> Tensor:
    """Weighted sums along one side, where the whole window lies inside; in float64 on a CPU, adding shifted images is
    five times as fast as a convolution."""
    length = images.shape[dim] - len(weights) + 1
    result = torch.zeros_like(images.narrow(dim, 0, length))
    for shift, weight in enumerate(weights):
        result.add_(images.narrow(dim, shift, length), alpha=weight)
    return result


def _refuse_small(name: str, images: Tensor) -> None:
    height, width = images.shape[-2:]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(f"{name} needs images of at least {SSIM_WINDOW}×{SSIM_WINDOW} pixels, got {height}×{width}")


def _checked(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float64 on the CPU, where the shapes agree and the values look like [0, 1]."""
    if output.shape != target.shape or output.ndim != 4:
        shapes = f"{tuple(output.shape)} and {tuple(target.shape)}"
        raise ValueError(f"two (N, C, H, W) batches of one shape are needed, got {shapes}")
    for name, images in (("first", output), ("second", target)):
        if not images.is_floating_point():
            raise ValueError(f"floats in [0, 1] are needed, the {name} batch is {images.dtype}: divide by 255")
        if images.numel() and (images.min() < -1e-6 or images.max() > 1 + 1e-6):
            low, high = images.min().item(), images.max().item()
            raise ValueError(f"values in [0, 1] are needed, the {name} batch goes from {low:.3g} to {high:.3g}")
    return output.detach().cpu().double(), target.detach().cpu().double()
