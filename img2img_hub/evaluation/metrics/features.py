"""How far images are from each other in what a trained network sees of them: FD, KD of two sets, PD of pairs.

python -c "import torch, img2img_hub.evaluation.metrics as m; print(m.frechet_distance(*torch.rand(2, 50, 8)))"

The formulas alone, in float64 on the CPU; evaluation/perceptual.py has the networks. Of Inception's features FD and KD
are FID and KID.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_ROWS = 1024  # of a kernel's matrix at a time: of 50,000 images the whole one would be 20 GB


def frechet_distance(made: Tensor, real: Tensor) -> float:
    """Squared Fréchet distance of two normal distributions with the sets' means μ and covariances Σ (n − 1):
    |μ₁ − μ₂|² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) (Heusel et al. 2017, arXiv 1706.08500, section 3), 0 or more.

    The covariances are never formed. With A, B the centred features over √(n − 1), Σ₁ = AᵀA and Σ₂ = BᵀB, the trace of
    the root is the sum of ABᵀ's singular values. No root of a nearly singular matrix is taken, as other routes do where
    there are fewer images than features.

    Args:
        made, real: (N, D) and (M, D) features, N and M 2 or more.
    """
    made, real = _checked(made, real)
    first, second = ((each - each.mean(0)) / (len(each) - 1) ** 0.5 for each in (made, real))
    # Of more images than features, R of QR has the same product RᵀR = AᵀA and only D rows.
    first, second = (torch.linalg.qr(each).R if len(each) > each.shape[1] else each for each in (first, second))
    root = torch.linalg.svdvals(first @ second.T).sum()
    means = (made.mean(0) - real.mean(0)).square().sum()
    return max((means + first.square().sum() + second.square().sum() - 2 * root).item(), 0.0)


def kernel_distance(made: Tensor, real: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x·y / D + 1)³, estimated without bias (Bińkowski et al. 2018,
    arXiv 1801.01401, sections 4 and 5): its expectation depends on no number of images, and it may be below 0.

    Over all images at once. Published KIDs are means over subsets of 1000: the same expectation, more noise.

    Args:
        made, real: (N, D) and (M, D) features, N and M 2 or more.
    """
    made, real = _checked(made, real)

    def within(features: Tensor) -> Tensor:
        """Mean over pairs of two different images."""
        count = len(features)
        same = (features.square().sum(1) / features.shape[1] + 1).pow(3).sum()
        return (_kernel_sum(features, features) - same) / (count * (count - 1))

    across = _kernel_sum(made, real) / (len(made) * len(real))
    return (within(made) + within(real) - 2 * across).item()


def _kernel_sum(first: Tensor, second: Tensor) -> Tensor:
    parts = [(rows @ second.T / first.shape[1] + 1).pow(3).sum() for rows in first.split(_ROWS)]
    return torch.stack(parts).sum()


def feature_difference(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    """PD: how far two images' feature maps are from each other, place by place, 0 (the same) to 4.

    At each place of a map the features of all channels are scaled to length 1; the squared distance of the two, 2 − 2
    cos of the angle between them, is averaged over the places, then over the maps. This is LPIPS (Zhang et al. 2018,
    arXiv 1801.03924, equation 1) with equal weights in the place of learned ones.

    Args:
        first, second: (1, C, H, W) maps of the same layers, finest first.
    """
    distances = []
    for one, other in zip(first, second, strict=True):
        one, other = (F.normalize(maps.detach().cpu().double(), dim=1) for maps in (one, other))
        distances.append((one - other).square().sum(1).mean())
    return torch.stack(distances).mean().item()


def _checked(made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    if made.ndim != 2 or made.shape[1:] != real.shape[1:] or min(len(made), len(real)) < 2:
        shapes = f"{tuple(made.shape)} and {tuple(real.shape)}"
        raise ValueError(f"two sets of two images' features or more are needed, (N, D) and (M, D), got {shapes}")
    return made.detach().cpu().double(), real.detach().cpu().double()
