"""Numbers that compare images: with their targets (fidelity.py), or as sets (wasserstein.py).

    python -c "import torch; from img2img_hub.metrics import ssim; x = torch.rand(2, 3, 64, 64); print(ssim(x, x))"

Images are (N, C, H, W) float in [0, 1]. Everything is computed on the CPU, in float64 where it matters, so that a
number of a card comes out again on any machine. What needs downloaded networks is in translation/perceptual.py.
"""

from img2img_hub.metrics.fidelity import l1, ms_ssim, psnr, ssim, ssim_and_ms_ssim
from img2img_hub.metrics.table import METRICS, Metric, metric_names
from img2img_hub.metrics.wasserstein import PatchSample, sliced_wasserstein

__all__ = [
    "METRICS",
    "Metric",
    "PatchSample",
    "l1",
    "metric_names",
    "ms_ssim",
    "psnr",
    "sliced_wasserstein",
    "ssim",
    "ssim_and_ms_ssim",
]
