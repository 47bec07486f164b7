"""The original code's networks, written out from the papers and the names in its published files.

Their state dicts are its checkpoints: what is read and written here is held against them.
"""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "instance": nn.InstanceNorm2d,
    "old instance": lambda channels: nn.InstanceNorm2d(channels, track_running_stats=True),
    "none": lambda channels: nn.Identity(),
}


class Under(nn.Module):
    """Holds its layers under a name, which is all that tells the original's modules apart in a state dict."""

    def __init__(self, name, *layers):
        super().__init__()
        self.name = name
        self.add_module(name, layers[0] if len(layers) == 1 else nn.Sequential(*layers))

    def forward(self, x):
        return getattr(self, self.name)(x)


class Level(Under):
    """A level of the U-Net, its input put beside its result."""

    def forward(self, x):
        return torch.cat([x, super().forward(x)], dim=1)


class Residual(Under):
    def forward(self, x):
        return x + super().forward(x)


def original_unet(levels, width, bands, made, norm, dropout):
    bias, normed = "instance" in norm, NORMS[norm]
    channels = [min(2**level, 8) * width for level in range(levels)]
    inside: list[nn.Module] = []
    for level in range(levels - 1, -1, -1):
        outer, inner = (bands if level == 0 else channels[level - 1]), channels[level]
        down = nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)
        came = inner if level == levels - 1 else 2 * inner
        if level == 0:
            up = nn.ConvTranspose2d(came, made, 4, 2, 1)
            return Under("model", Under("model", down, *inside, nn.ReLU(True), up, nn.Tanh()))
        up = nn.ConvTranspose2d(came, outer, 4, 2, 1, bias=bias)
        layers = [nn.LeakyReLU(0.2, True), down]
        if level < levels - 1:
            layers += [normed(inner), *inside]
        layers += [nn.ReLU(True), up, normed(outer)]
        if dropout and 4 <= level < levels - 1:  # between the innermost and the four outer ones
            layers.append(nn.Dropout(0.5))
        inside = [Level("model", *layers)]
    raise AssertionError


def original_resnet(blocks, width, bands, made, norm, dropout):
    bias, normed = "instance" in norm, NORMS[norm]
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(bands, width, 7, bias=bias), normed(width), nn.ReLU(True)]
    for wide in (width, 2 * width):
        layers += [nn.Conv2d(wide, 2 * wide, 3, 2, 1, bias=bias), normed(2 * wide), nn.ReLU(True)]
    for _ in range(blocks):
        half = [nn.ReflectionPad2d(1), nn.Conv2d(4 * width, 4 * width, 3, bias=bias), normed(4 * width)]
        rest = [nn.ReflectionPad2d(1), nn.Conv2d(4 * width, 4 * width, 3, bias=bias), normed(4 * width)]
        layers.append(Residual("conv_block", *half, nn.ReLU(True), *[nn.Dropout(0.5)] * dropout, *rest))
    for wide in (2 * width, width):
        up = nn.ConvTranspose2d(2 * wide, wide, 3, 2, 1, output_padding=1, bias=bias)
        layers += [up, normed(wide), nn.ReLU(True)]
    return Under("model", *layers, nn.ReflectionPad2d(3), nn.Conv2d(width, made, 7), nn.Tanh())


def original_patch(layers, width, bands, norm):
    bias, normed = "instance" in norm, NORMS[norm]
    stack = [nn.Conv2d(bands, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    wide = [width * min(2**layer, 8) for layer in range(layers + 1)]
    for layer in range(1, layers + 1):
        stride = 1 if layer == layers else 2
        stack.append(nn.Conv2d(wide[layer - 1], wide[layer], 4, stride, 1, bias=bias))
        stack += [normed(wide[layer]), nn.LeakyReLU(0.2, True)]
    return Under("model", *stack, nn.Conv2d(wide[-1], 1, 4, 1, 1))


def original_pixel(width, bands, norm):
    bias, normed = "instance" in norm, NORMS[norm]
    middle = [nn.Conv2d(width, 2 * width, 1, bias=bias), normed(2 * width), nn.LeakyReLU(0.2, True)]
    return Under(
        "net", nn.Conv2d(bands, width, 1), nn.LeakyReLU(0.2, True), *middle, nn.Conv2d(2 * width, 1, 1, bias=bias)
    )


class Resampled(nn.Module):
    """CUT's Downsample and Upsample, which save their filters."""

    filt: Tensor

    def __init__(self, channels):
        super().__init__()
        profile = torch.tensor(self.profile)
        filt = profile[:, None] * profile[None, :]
        self.register_buffer("filt", filt.repeat(channels, 1, 1, 1))


class Downsample(Resampled):
    profile = (1 / 4, 2 / 4, 1 / 4)

    def forward(self, x):
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])


class Upsample(Resampled):
    profile = (1 / 4, 3 / 4, 3 / 4, 1 / 4)  # 1 3 3 1 of sum 1, and ×2 on either axis

    def forward(self, x):
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(x, self.filt, stride=2, padding=2, groups=x.shape[1])[:, :, 1:-1, 1:-1]


def original_cut_resnet(blocks, width, bands, made, norm, dropout, down=True, up=True):
    """With CUT's options --no_antialias (not down) and --no_antialias_up (not up)."""
    bias, normed = "instance" in norm, NORMS[norm]
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(bands, width, 7, bias=bias), normed(width), nn.ReLU(True)]
    for wide in (width, 2 * width):
        layers += [nn.Conv2d(wide, 2 * wide, 3, 1 if down else 2, 1, bias=bias), normed(2 * wide), nn.ReLU(True)]
        layers += [Downsample(2 * wide)] if down else []
    for _ in range(blocks):
        half = [nn.ReflectionPad2d(1), nn.Conv2d(4 * width, 4 * width, 3, bias=bias), normed(4 * width)]
        rest = [nn.ReflectionPad2d(1), nn.Conv2d(4 * width, 4 * width, 3, bias=bias), normed(4 * width)]
        layers.append(Residual("conv_block", *half, nn.ReLU(True), *[nn.Dropout(0.5)] * dropout, *rest))
    for wide in (2 * width, width):
        if up:
            layers += [Upsample(2 * wide), nn.Conv2d(2 * wide, wide, 3, 1, 1, bias=bias)]
        else:
            layers.append(nn.ConvTranspose2d(2 * wide, wide, 3, 2, 1, output_padding=1, bias=bias))
        layers += [normed(wide), nn.ReLU(True)]
    return Under("model", *layers, nn.ReflectionPad2d(3), nn.Conv2d(width, made, 7), nn.Tanh())


def original_cut_patch(layers, width, bands, norm):
    bias, normed = "instance" in norm, NORMS[norm]
    stack = [nn.Conv2d(bands, width, 4, 1, 1), nn.LeakyReLU(0.2, True), Downsample(width)]
    wide = [width * min(2**layer, 8) for layer in range(layers + 1)]
    for layer in range(1, layers + 1):
        stack += [nn.Conv2d(wide[layer - 1], wide[layer], 4, 1, 1, bias=bias), normed(wide[layer])]
        stack += [nn.LeakyReLU(0.2, True), *([Downsample(wide[layer])] if layer < layers else [])]
    return Under("model", *stack, nn.Conv2d(wide[-1], 1, 4, 1, 1))


class OriginalHeads(nn.Module):
    """CUT's netF with its MLPs made."""

    def __init__(self, channels, width):
        super().__init__()
        for number, count in enumerate(channels):
            mlp = nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width))
            setattr(self, f"mlp_{number}", mlp)

    def forward(self, features, places):
        made = []
        for number, (feature, chosen) in enumerate(zip(features, places, strict=True)):
            x = feature.permute(0, 2, 3, 1).flatten(1, 2)[:, chosen, :].flatten(0, 1)
            x = getattr(self, f"mlp_{number}")(x)
            made.append((x / (x.pow(2).sum(1, keepdim=True).pow(0.5) + 1e-7)).unflatten(0, (len(feature), -1)))
        return made


def trained(original: nn.Module) -> nn.Module:
    """The module with every tensor that it saves drawn at random, in eval mode."""
    torch.manual_seed(0)
    for name, value in original.state_dict().items():
        if name.endswith("filt"):
            continue  # fixed
        if name.endswith("num_batches_tracked"):
            value.fill_(7)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2)
        else:
            value.normal_(0, 0.3)
    return original.eval()


def save(state: dict, name: str = "latest_net_G.pth", **options) -> Path:
    torch.save(OrderedDict(state), name, **options)
    return Path(name)


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert list(one) == list(other), "names and order"
    for name, value in one.items():
        assert value.dtype == other[name].dtype
        assert torch.equal(value, other[name]), name
