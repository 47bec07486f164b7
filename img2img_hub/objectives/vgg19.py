"""VGG19, a classifier of photographs, for what it sees in them: features for perceptual losses.

    python -c "from img2img_hub.objectives.vgg19 import Vgg19; print(Vgg19().layers)"

The convolutions of Simonyan and Zisserman 2014 (arXiv 1409.1556, table 1, E), named as torchvision names them, so that
its files fit: features.0 … features.34. The 548 MB of ImageNet weights are downloaded once and known by their hash.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.errors import one_line
from img2img_hub.files import cache_folder

URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
HASH = "dcbb9e9d"
"""How the file's SHA-256 begins."""
TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""What pix2pixHD and SPADE compare by."""
_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels, convolutions; a pooling between two blocks
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's values in 0–1


def _places() -> dict[str, int]:
    """{"relu1_1": 0, …}: the number in torchvision's `features` of the convolution before each ReLU; what it is before
    it is called conv1_1 and so on."""
    places, place = {}, 0
    for block, (_, count) in enumerate(_BLOCKS, start=1):
        for number in range(1, count + 1):
            places[f"relu{block}_{number}"] = place
            place += 2
        place += 1
    return places


PLACES = _places()


class Vgg19(nn.Module):
    """(N, 1 or 3, H, W) in [-1, 1] -> the features behind the ReLUs (relu5_4), or before them (conv5_4), named by
    `taps`, in their order, (N, C, h, w) each.

    It ends at the last of them: 13 convolutions and 12,944,960 parameters at relu5_1, which halves 4 times.

    Args:
        taps: of relu1_1, relu1_2, relu2_1 … relu5_4, conv1_1 … conv5_4.
        normalise: shift and scale to ImageNet's mean and deviation first, as the weights were trained; the code of
            pix2pixHD and SPADE does not.
        channels: of the convolutions, if they are others than the paper's.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, taps: Sequence[str] = TAPS, *, normalise: bool = False, channels: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        behind = [tap.replace("conv", "relu") for tap in taps]
        if unknown := [tap for tap, name in zip(taps, behind, strict=True) if name not in PLACES]:
            raise ValueError(f"VGG19 has the layers {', '.join(PLACES)}, got {unknown[0]!r}")
        self.taps = tuple(taps)
        last = max(PLACES[name] for name in behind)
        self.layers = tuple(name for name, place in PLACES.items() if place <= last)
        widths = channels or [width for width, count in _BLOCKS for _ in range(count)]
        self.features = nn.ModuleDict()
        inner = 3
        for name, width in zip(self.layers, widths, strict=False):
            self.features[str(PLACES[name])] = nn.Conv2d(inner, width, 3, padding=1)
            inner = width
        self.normalise = normalise
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        values = image.expand(-1, 3, -1, -1)
        if self.normalise:
            values = ((values + 1) / 2 - self.mean) / self.deviation
        found = {}
        for name in self.layers:
            if name.endswith("_1") and name != "relu1_1":
                values = F.max_pool2d(values, 2)
            values = self.features[str(PLACES[name])](values)
            if (before := name.replace("relu", "conv")) in self.taps:
                found[before] = values
            values = F.relu(values)
            if name in self.taps:
                found[name] = values
        return [found[tap] for tap in self.taps]


def load_vgg19(path: Path, *, taps: Sequence[str] = TAPS, normalise: bool = False) -> Vgg19:
    """With the weights of a file that torch.save wrote, whose tensors are called as torchvision's: features.0.weight
    and so on; a classifier in it is left out. In eval mode, without gradients of its own.

    Raises:
        ValueError: no such file, or it holds other weights.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        widths = [
            len(state[f"features.{place}.bias"]) for place in PLACES.values() if f"features.{place}.bias" in state
        ]
        with torch.device("meta"):
            network = Vgg19(taps, normalise=normalise, channels=widths)
        wanted = network.state_dict()
        network.load_state_dict({name: state[name].float() for name in wanted}, strict=True, assign=True)
        network.mean, network.deviation = (torch.tensor(each).view(3, 1, 1) for each in (_MEAN, _DEVIATION))
    except Exception as error:  # no file, no weights, or weights of something else
        raise ValueError(
            f"{path} holds no weights of VGG19 ({type(error).__name__}: {one_line(error, most=200)}): give a file as "
            f"torchvision has it, {URL.rsplit('/', 1)[-1]}"
        ) from None
    return network.requires_grad_(False).eval()


def fetch_vgg19() -> Path:
    """Where torchvision's file lies in the cache; downloaded if it is not there.

    Raises:
        OSError: it cannot be downloaded or written.
        RuntimeError: what came is another file.
    """
    path = cache_folder() / "weights" / URL.rsplit("/", 1)[-1]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL, str(path), hash_prefix=HASH)  # takes its name when it is whole and checked
    return path
