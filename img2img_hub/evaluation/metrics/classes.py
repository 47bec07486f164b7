"""Label maps against label maps: how many pixels are of the right class, of all, of each class, and of either map.

    python -c "import torch; from img2img_hub.evaluation.metrics.classes import *; \\
        print(of_classes([confusion(torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 1]]), classes=2)]))"

All are of the whole data set, not means over images. A class that neither map ever has counts in none of them (Long et
al. 2015, Fully Convolutional Networks, section 5).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

CLASS_METRICS = ("pixel_accuracy", "class_accuracy", "mean_iou")
"""What `of_classes` gives."""


def confusion(made: Tensor, real: Tensor, *, classes: int, known: Tensor | None = None) -> Tensor:
    """(classes, classes) int64: of how many pixels the real class is the row and the made one the column.

    Args:
        made, real: (…, H, W) class numbers below `classes`.
        known: (…, H, W) bool, the pixels that count; None for all.
    """
    pairs = real.long() * classes + made.long()
    return torch.bincount((pairs if known is None else pairs[known]).flatten(), minlength=classes**2).view(classes, -1)


def of_classes(counts: Sequence[Tensor]) -> dict[str, float]:
    """{"pixel_accuracy", "class_accuracy", "mean_iou"}, each 0 to 1, of what `confusion` counted of each image.

    pixel_accuracy: share of pixels whose class is right. class_accuracy: the mean over classes of the share of a
    class's real pixels that are right. mean_iou: the mean over classes of right pixels by those that are of the class
    in either map. Raises ValueError where no pixel was counted.
    """
    whole = torch.stack(list(counts)).sum(0).double()
    right, real, made = whole.diagonal(), whole.sum(1), whole.sum(0)
    if not bool(whole.sum()):
        raise ValueError("no pixel has a class to compare")
    there, either = real > 0, real + made > 0
    return {
        "pixel_accuracy": float(right.sum() / whole.sum()),
        "class_accuracy": float((right[there] / real[there]).mean()),
        "mean_iou": float((right[either] / (real + made - right)[either]).mean()),
    }
