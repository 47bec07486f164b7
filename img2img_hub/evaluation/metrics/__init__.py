"""Numbers that compare images: with their targets (fidelity.py, and luma.py as tables of super-resolution do), as sets
(wasserstein.py), or by what a network sees in them (features.py); and label maps by their classes (classes.py).

    python -c "import torch, img2img_hub.evaluation.metrics as m; print(m.ssim(*torch.rand(2, 1, 3, 64, 64)))"

Images are (N, C, H, W) float in [0, 1]. Everything is computed on the CPU, in float64 where it matters, so that a
number of a card comes out again on any machine. The networks are in evaluation/perceptual.py.
"""

from img2img_hub.evaluation.metrics.classes import CLASS_METRICS, confusion, of_classes
from img2img_hub.evaluation.metrics.features import feature_difference, frechet_distance, kernel_distance
from img2img_hub.evaluation.metrics.fidelity import l1, ms_ssim, psnr, ssim, ssim_and_ms_ssim
from img2img_hub.evaluation.metrics.luma import psnr_y, ssim_y
from img2img_hub.evaluation.metrics.table import METRICS, Metric, metric_names, ordered
from img2img_hub.evaluation.metrics.wasserstein import PatchSample, sliced_wasserstein

__all__ = [
    "CLASS_METRICS",
    "METRICS",
    "Metric",
    "PatchSample",
    "confusion",
    "feature_difference",
    "frechet_distance",
    "kernel_distance",
    "l1",
    "metric_names",
    "ms_ssim",
    "of_classes",
    "ordered",
    "psnr",
    "psnr_y",
    "sliced_wasserstein",
    "ssim",
    "ssim_and_ms_ssim",
    "ssim_y",
]
