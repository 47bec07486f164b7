"""Classification networks as a U-Net's way down: what photographs have taught, under a decoder that translates.

python -c "from img2img_hub import UNetGenerator; print(UNetGenerator(encoder='lite0', levels=5).parameter_count)"

EfficientNet-Lite0 (Tan and Le 2019), ResNet-18 (He et al. 2016) and VGG-16 (Simonyan and Zisserman 2015), each without
its classifier. A model's own file holds all of it, so that neither a package nor a download is needed to load one.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.errors import one_line
from img2img_hub.objectives.lite import Lite0, load_lite0

EncoderName = Literal["unet", "lite0", "resnet18", "vgg16"]
LEVELS = 5
"""How often they halve an image."""
BANDS = 3
"""Of what they were trained on."""


class FrozenBatchNorm2d(nn.Module):
    """Batch norm by averages that stay what they are, in training as at test time; gains and biases learn.

    A batch of one image, as the papers train with, says too little of statistics that a classifier took from a million.
    """

    def __init__(self, channels: int, *, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, input: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, H, W)
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class Encoder(nn.Module):
    """(N, 1 or 3, H, W) in [-1, 1] -> feature maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size, of `channels`.

    H and W are multiples of 32. The values become those that the classifier was trained on in here.

    Args:
        mean, deviation: of its training images' bands, in [0, 1].
    """

    channels: tuple[int, ...]

    def __init__(self, *, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.values = FrozenBatchNorm2d(BANDS, eps=0.0, affine=False)
        if not self.values.running_mean.is_meta:
            self.values.running_mean.copy_(2 * torch.tensor(mean) - 1)
            self.values.running_var.copy_((2 * torch.tensor(deviation)).square())

    def forward(self, image: Tensor) -> list[Tensor]:
        return self.maps(self.values(torch.cat([image] * BANDS, dim=1) if image.shape[1] == 1 else image))

    def maps(self, values: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def released(self, file: Path | None) -> dict[str, Tensor]:
        """Weights of a classifier of ImageNet, by our names and perhaps more: of a file, or of the package.

        Raises:
            ValueError: no such package, no such file, or other weights.
        """
        raise NotImplementedError

    def load_released(self, file: Path | None = None) -> None:
        """Take the released weights, see `released`."""
        state = self.released(file)
        wanted = {name: value for name, value in self.state_dict().items() if not name.startswith("values.")}
        if unfit := sorted(name for name, own in wanted.items() if name not in state or state[name].shape != own.shape):
            raise ValueError(f"{file} holds no weights of this network (first: {unfit[0]})")
        self.load_state_dict({name: state[name] for name in wanted}, strict=False)

    @torch.no_grad()
    def initialise(self) -> None:
        """For a start without weights: He et al. 2015, and residual branches that add nothing yet (Goyal et al. 2017),
        for the averages of the norms are of nothing: 0 and 1."""
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d) and not layer.weight.is_meta:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="linear" if "project" in name else "relu")
                if layer.bias is not None:
                    layer.bias.zero_()
        for norm in self.last_norms():
            nn.init.zeros_(norm.get_parameter("weight"))

    def last_norms(self) -> list[nn.Module]:
        """Those at the end of residual branches."""
        return []


class Lite0Encoder(Encoder):
    """What `objectives.lite` has, without its head."""

    channels = (16, 24, 40, 112, 320)

    def __init__(self) -> None:
        super().__init__(mean=[127 / 255] * BANDS, deviation=[128 / 255] * BANDS)
        network = Lite0()
        self.stem, self.stages = network.stem, network.stages
        for parent in list(self.modules()):
            for name, layer in parent.named_children():
                if isinstance(layer, nn.BatchNorm2d):
                    setattr(parent, name, FrozenBatchNorm2d(layer.num_features, eps=layer.eps))
        self.initialise()

    def maps(self, values: Tensor) -> list[Tensor]:
        values, made = self.stem(values), []
        for stage in self.stages:
            values = stage(values)
            made.append(values)
        return [made[0], made[1], made[2], made[4], made[6]]  # the last one of each size

    def released(self, file: Path | None) -> dict[str, Tensor]:
        return load_lite0(file).state_dict()

    def last_norms(self) -> list[nn.Module]:
        blocks = [block for block in self.modules() if getattr(block, "adds", False)]
        return [block.get_submodule("project.norm") for block in blocks]


class _OfTorchvision(Encoder):
    """With its module names, so that its weights are these."""

    name: str

    def __init__(self) -> None:
        super().__init__(mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))

    def released(self, file: Path | None) -> dict[str, Tensor]:
        if file is None:
            if find_spec("torchvision") is None:
                raise ValueError(f"{self.name}'s weights are torchvision's: pip install torchvision")
            try:
                import torchvision

                return torchvision.models.get_model(self.name, weights="IMAGENET1K_V1").state_dict()
            except (ImportError, OSError, RuntimeError) as error:  # of another PyTorch's, or it cannot download them
                said = one_line(error, most=200)
                raise ValueError(f"torchvision cannot get the weights of {self.name} ({said})") from None
        try:
            state = torch.load(file, weights_only=True, map_location="cpu")
            return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
        except Exception as error:  # no file, or what is no weights
            raise ValueError(f"{file} holds no weights of {self.name} ({type(error).__name__})") from None


class ResNet18Encoder(_OfTorchvision):
    """ResNet-18 (arXiv 1512.03385, table 1)."""

    name = "resnet18"
    channels = (64, 64, 128, 256, 512)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(BANDS, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = FrozenBatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        for number, (inner, outer) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512)), 1):
            first = _BasicBlock(inner, outer, stride=1 if number == 1 else 2)
            self.add_module(f"layer{number}", nn.Sequential(first, _BasicBlock(outer, outer)))
        self.initialise()

    def maps(self, values: Tensor) -> list[Tensor]:
        made = [F.relu(self.bn1(self.conv1(values)))]
        values = self.pool(made[0])
        for number in range(1, LEVELS):
            values = self.get_submodule(f"layer{number}")(values)
            made.append(values)
        return made

    def last_norms(self) -> list[nn.Module]:
        return [block.bn2 for block in self.modules() if isinstance(block, _BasicBlock)]


class _BasicBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inner: int, outer: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride=stride, padding=1, bias=False)
        self.bn1 = FrozenBatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1, bias=False)
        self.bn2 = FrozenBatchNorm2d(outer)
        self.downsample = nn.Sequential()
        if stride != 1 or inner != outer:
            self.downsample.append(nn.Conv2d(inner, outer, 1, stride=stride, bias=False))
            self.downsample.append(FrozenBatchNorm2d(outer))

    def forward(self, values: Tensor) -> Tensor:
        made = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(values)))))
        return F.relu(made + self.downsample(values))


class VGG16Encoder(_OfTorchvision):
    """VGG-16 without norms (arXiv 1409.1556, table 1, D)."""

    name = "vgg16"
    channels = (128, 256, 512, 512, 512)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential()
        inner = BANDS
        for outer, repeats in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(repeats):
                self.features.extend([nn.Conv2d(inner, outer, 3, padding=1), nn.ReLU()])
                inner = outer
            self.features.append(nn.MaxPool2d(2))
        self.initialise()

    def maps(self, values: Tensor) -> list[Tensor]:
        made = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                made.append(values)
            values = layer(values)
        return [*made[1:], values]  # what is of the full size has no place in a decoder that begins at the half


_ENCODERS: dict[str, Callable[[], Encoder]] = {
    "lite0": Lite0Encoder,
    "resnet18": ResNet18Encoder,
    "vgg16": VGG16Encoder,
}


def make_encoder(name: str) -> Encoder:
    """Without weights of any training. Raises ValueError for an unknown name."""
    if name not in _ENCODERS:
        raise ValueError(f"encoder must be {', '.join(map(repr, get_args(EncoderName)))}, got {name!r}")
    return _ENCODERS[name]()


def encoder_of(network: nn.Module) -> Encoder | None:
    """The classification network inside a generator, if it has one."""
    encoder = getattr(network, "encoder", None)
    return encoder if isinstance(encoder, Encoder) else None
