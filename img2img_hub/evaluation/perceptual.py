"""Numbers that look through trained networks: LPIPS, FID, KID. An extra, for they need packages and downloads.

    pip install torchmetrics torch-fidelity torchvision
    python -m img2img_hub evaluate --model user/maps --dataset user/pairs --extra_metrics lpips fid kid

torchmetrics has LPIPS and the two distances, torch-fidelity the Inception network of the original FID; both want
torchvision, and weights that they download once. What cannot be loaded is left out, with one line that says why.
"""

import importlib.util
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from img2img_hub.errors import one_line

PACKAGES = {
    "lpips": ("torchmetrics", "torchvision"),
    "fid": ("torchmetrics", "torch_fidelity", "torchvision"),
    "kid": ("torchmetrics", "torch_fidelity", "torchvision"),
}
FEATURES = 2048  # of Inception's last pooling
LPIPS_SIDE = 32  # pixels, below which AlexNet's poolings have nothing left
KID_SUBSET, KID_SUBSETS = 1000, 100  # the usual ones


class Perceptual:
    """Whichever of LPIPS, FID and KID can be measured here.

    - LPIPS (Zhang et al. 2018): AlexNet, version 0.1 of its weights, RGB in [-1, 1], at the size of the evaluation.
    - FID (Heusel et al. 2017): 2048 features of the Inception network as converted from TensorFlow, which resizes
      8-bit images to 299×299 itself. It is biased upwards where images are few, the more the fewer: with less than
      2048 of them the covariances are not even of full rank. Compare numbers of as many images only.
    - KID (Bińkowski et al. 2018): the same features, cubic kernel, without bias, so the one to take for small sets; not
      multiplied by 1000. Mean over 100 seeded subsets of 1000, or of all images where there are less.

    Grey images count as RGB with three equal bands.

    Args:
        names: some of lpips, fid, kid.
        image_size: pixels a side of the images to come.
        device: where the networks run.

    Attributes:
        names: those that can be measured.
        problems: why the others cannot, a line each.
    """

    def __init__(self, names: Sequence[str] = (), *, image_size: int = 256, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.problems: list[str] = []
        loaded: dict[str, nn.Module] = {}
        with torch.random.fork_rng(devices=[]):  # networks draw weights before theirs are loaded
            for name in dict.fromkeys(names):
                try:
                    if name == "lpips":
                        loaded[name] = _load_lpips(image_size).to(self.device)
                    else:
                        loaded[name] = (loaded.get("fid") or _load_inception(name)).to(self.device)
                except _Missing as error:
                    self.problems.append(f"{name} is not measured: {error}")
        self._networks = loaded

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._networks)

    def keep(self, names: Sequence[str]) -> None:
        """Drop all others: processes that share an evaluation must measure the same."""
        for name in set(self._networks) - set(names):
            self.problems.append(f"{name} is not measured: another process of this run cannot load it")
            del self._networks[name]

    def notes(self, num_images: int) -> list[str]:
        """What a reader of the numbers should know.

        Raises:
            ValueError: a set of one image has no distribution.
        """
        if not self.wants_features:
            return []
        if num_images < 2:
            raise ValueError(f"FID and KID compare sets of two images or more a side, got {num_images}")
        few = "fid" in self.names and num_images < FEATURES
        bias = f"FID of {num_images} images is biased upwards (it wants {FEATURES} or more): compare it only with FID"
        return [f"{bias} of as many images, or take KID"] if few else []

    # --- pairs ------------------------------------------------------------------------------------------------------

    def compare(self, output: Tensor, target: Tensor) -> dict[str, float]:
        """{"lpips"} of two (1, C, H, W) images in [0, 1]; {} where it was not asked for."""
        network = self._networks.get("lpips")
        if network is None:
            return {}
        with torch.no_grad():
            value = network(*((_rgb(image).float() * 2 - 1).to(self.device) for image in (output, target)))
        network.reset()  # type: ignore[operator]  # it would keep every image's number
        return {"lpips": value.item()}

    # --- sets -------------------------------------------------------------------------------------------------------

    @property
    def wants_features(self) -> bool:
        return bool({"fid", "kid"} & set(self.names))

    def features(self, image: Tensor) -> Tensor:
        """(2048,) float32 on the CPU: what Inception sees in a (1, C, H, W) image in [0, 1], rounded to 8 bits."""
        network = self._networks.get("fid") or self._networks["kid"]
        with torch.no_grad():
            (features,) = network((_rgb(image) * 255).round().to(torch.uint8).to(self.device))
        return features[0].float().cpu()

    def distances(self, made: Tensor, real: Tensor) -> dict[str, float]:
        """{"fid", "kid"}, as far as asked for, of features (N, 2048) and (M, 2048)."""
        both = {"fid": frechet_distance, "kid": kernel_distance}
        return {name: distance(made, real) for name, distance in both.items() if name in self.names}


def frechet_distance(made: Tensor, real: Tensor) -> float:
    """FID of features (N, D) and (M, D), N and M 2 or more."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    return _distance(FrechetInceptionDistance(feature=_Given(real.shape[1]), sync_on_compute=False), made, real).item()


def kernel_distance(made: Tensor, real: Tensor) -> float:
    """KID of features (N, D) and (M, D), N and M 2 or more; the same subsets every time."""
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(KID_SUBSET, len(made), len(real))
    subsets = KID_SUBSETS if size < max(len(made), len(real)) else 1  # all of both: there is one such subset
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", message=".*will save all extracted features.*")
        torch.default_generator.manual_seed(0)
        metric = KernelInceptionDistance(
            feature=_Given(real.shape[1]), subsets=subsets, subset_size=size, sync_on_compute=False
        )
        return _distance(metric, made, real)[0].item()


def _rgb(image: Tensor) -> Tensor:
    return image.expand(-1, 3, -1, -1)


class _Given(nn.Module):
    """In the place of the network where features are at hand: they come from several processes."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _distance(metric: nn.Module, made: Tensor, real: Tensor) -> Tensor:
    metric.update(made, real=False)  # type: ignore[operator]
    metric.update(real, real=True)  # type: ignore[operator]
    return metric.compute()  # type: ignore[operator]


# --- loading ----------------------------------------------------------------------------------------------------------


_INSTALL = "torchmetrics torch-fidelity torchvision (torchvision must be of the same build as torch)"


class _Missing(Exception):
    """Why a metric cannot be measured, and what to type."""


def _load_lpips(image_size: int) -> nn.Module:
    _check_packages("lpips")
    if image_size < LPIPS_SIDE:
        raise _Missing(f"its network needs images of {LPIPS_SIDE} pixels or more, and these have {image_size}")
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        return LearnedPerceptualImagePatchSimilarity(net_type="alex", sync_on_compute=False)
    except Exception as error:  # whatever a package or a torn download raises: the other metrics still come
        raise _explained(error) from None


def _load_inception(name: str) -> nn.Module:
    _check_packages(name)
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        from torchmetrics.image import fid, kid  # noqa: F401  # what the distances will need

        return FeatureExtractorInceptionV3("inception-v3-compat", [str(FEATURES)])
    except Exception as error:
        raise _explained(error) from None


def _check_packages(name: str) -> None:
    # Looked for before they are imported: torchmetrics itself fails to import beside a torch-fidelity that lacks
    # torchvision.
    missing = [package for package in PACKAGES[name] if importlib.util.find_spec(package) is None]
    if missing:
        raise _Missing(f"{' and '.join(missing)} not installed: pip install {_INSTALL}")


def _explained(error: Exception) -> _Missing:
    text = one_line(error)
    if isinstance(error, OSError):  # of urllib, too
        where = f"{torch.hub.get_dir()}/checkpoints"
        return _Missing(f"its weights cannot be downloaded ({text}): connect once, or copy them into {where}")
    return _Missing(f"{type(error).__name__}: {text}: pip install --upgrade {_INSTALL}")
