"""pix2pixHD's and SPADE's own networks, written out from the papers and the names in their files.

As in `tests.originals`, their state dicts are the original code's checkpoints.
"""

import warnings
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from tests.originals import NORMS, Residual, Under


def downwards(bands, width, halvings, normed):
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(bands, width, 7), normed(width), nn.ReLU()]
    for wide in (width * 2**level for level in range(halvings)):
        layers += [nn.Conv2d(wide, 2 * wide, 3, 2, 1), normed(2 * wide), nn.ReLU()]
    return layers


def upwards(width, doublings, normed):
    layers = []
    for wide in (width * 2**level for level in reversed(range(doublings))):
        layers += [nn.ConvTranspose2d(2 * wide, wide, 3, 2, 1, output_padding=1), normed(wide), nn.ReLU()]
    return layers


def residual(count, wide, normed):
    half = [nn.ReflectionPad2d(1), nn.Conv2d, normed]
    made = []
    for _ in range(count):
        pair = [
            layer for pad, conv, norm in (half, half) for layer in (pad, conv(wide, wide, 3), norm(wide), nn.ReLU())
        ]
        made.append(Residual("conv_block", *pair[:-1]))
    return made


def to_image(width, made):
    return [nn.ReflectionPad2d(3), nn.Conv2d(width, made, 7), nn.Tanh()]


class OriginalHD(nn.Module):
    """netG global (enhancers=0) and local."""

    def __init__(self, width, bands, made, norm, enhancers, blocks, enhancer_blocks):
        super().__init__()
        normed, inner = NORMS[norm], width * 2**enhancers
        layers = [
            *downwards(bands, inner, 4, normed),
            *residual(blocks, 16 * inner, normed),
            *upwards(inner, 4, normed),
        ]
        self.model = nn.Sequential(*layers, *([] if enhancers else to_image(width, made)))
        self.enhancers = enhancers
        for number in range(1, enhancers + 1):
            wide = width * 2 ** (enhancers - number)
            setattr(self, f"model{number}_1", nn.Sequential(*downwards(bands, wide, 1, normed)))
            out = [*residual(enhancer_blocks, 2 * wide, normed), *upwards(wide, 1, normed)]
            out += to_image(wide, made) if number == enhancers else []
            setattr(self, f"model{number}_2", nn.Sequential(*out))

    def forward(self, x):
        sizes = [x]
        for _ in range(self.enhancers):
            sizes.append(F.avg_pool2d(sizes[-1], 3, stride=2, padding=1, count_include_pad=False))
        x = self.model(sizes[-1])
        for number in range(1, self.enhancers + 1):
            front, back = (getattr(self, f"model{number}_{side}") for side in (1, 2))
            x = back(front(sizes[self.enhancers - number]) + x)
        return x


def original_hd_encoder(width, bands, made, norm, halvings=4):
    """Its features before their means by instance."""
    normed = NORMS[norm]
    return Under(
        "model", *downwards(bands, width, halvings, normed), *upwards(width, halvings, normed), *to_image(width, made)
    )


class OriginalHDScales(nn.Module):
    """netD, by layers as with feature matching, or apart as with --no_ganFeat_loss; the finest scale's logits first."""

    def __init__(self, scales, layers, width, bands, norm, by_layer=True):
        super().__init__()
        self.scales, self.stack = scales, []
        channels = [bands, *(min(width * 2**layer, 512) for layer in range(layers + 1)), 1]
        for scale in range(scales):
            parts = []
            for layer in range(layers + 2):
                inner, outer = channels[layer : layer + 2]
                part = [nn.Conv2d(inner, outer, 4, 2 if layer < layers else 1, 2)]
                part += [NORMS[norm](outer)] if 0 < layer <= layers else []
                parts.append([*part, nn.LeakyReLU(0.2)] if layer <= layers else part)
            if by_layer:
                for layer, part in enumerate(parts):
                    setattr(self, f"scale{scale}_layer{layer}", nn.Sequential(*part))
            else:
                setattr(self, f"layer{scale}", nn.Sequential(*[each for part in parts for each in part]))
            self.stack.append(nn.Sequential(*[each for part in parts for each in part]))
        self.stack = tuple(self.stack)  # no modules of its own

    def forward(self, x):
        made = []
        for scale in reversed(range(self.scales)):
            made.append(self.stack[scale](x))
            x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        return tuple(made)


# --- SPADE ------------------------------------------------------------------------------------------------------------


def spectral(layer, on=True):
    """PyTorch's former spectral norm, as the code has it."""
    if not on:
        return layer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.spectral_norm(layer)


class OriginalSpade(nn.Module):
    def __init__(self, channels, bands, hidden, norm):
        super().__init__()
        bare = {"batch": partial(nn.BatchNorm2d, affine=False), "instance": nn.InstanceNorm2d}
        self.param_free_norm = bare[norm](channels)
        self.mlp_shared = nn.Sequential(nn.Conv2d(bands, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x, map):
        read = self.mlp_shared(F.interpolate(map, size=x.shape[-2:], mode="nearest"))
        return self.param_free_norm(x) * (1 + self.mlp_gamma(read)) + self.mlp_beta(read)


class OriginalSpadeBlock(nn.Module):
    def __init__(self, inner, outer, bands, hidden, norm, normed):
        super().__init__()
        middle, self.learnt = min(inner, outer), inner != outer
        self.conv_0 = spectral(nn.Conv2d(inner, middle, 3, padding=1), normed)
        self.conv_1 = spectral(nn.Conv2d(middle, outer, 3, padding=1), normed)
        if self.learnt:
            self.conv_s = spectral(nn.Conv2d(inner, outer, 1, bias=False), normed)
        self.norm_0 = OriginalSpade(inner, bands, hidden, norm)
        self.norm_1 = OriginalSpade(middle, bands, hidden, norm)
        if self.learnt:
            self.norm_s = OriginalSpade(inner, bands, hidden, norm)

    def forward(self, x, map):
        short = self.conv_s(self.norm_s(x, map)) if self.learnt else x
        made = self.conv_0(F.leaky_relu(self.norm_0(x, map), 0.2))
        return short + self.conv_1(F.leaky_relu(self.norm_1(made, map), 0.2))


class OriginalSpadeGenerator(nn.Module):
    """latent: of z, 0 for none; side: height and width of what it begins as."""

    def __init__(self, width, bands, made, norm, depth, hidden=8, spectral=True, latent=0, side=2):
        super().__init__()
        wide = 16 * width
        block = partial(OriginalSpadeBlock, bands=bands, hidden=hidden, norm=norm, normed=spectral)
        self.depth, self.side, self.latent = depth, side, latent
        self.fc = nn.Linear(latent, wide * side**2) if latent else nn.Conv2d(bands, wide, 3, padding=1)
        self.head_0 = block(wide, wide)
        self.G_middle_0 = block(wide, wide)
        self.G_middle_1 = block(wide, wide)
        for number, times in enumerate((8, 4, 2, 1)):
            setattr(self, f"up_{number}", block(2 * times * width, times * width))
        last = width
        if depth == "most":
            self.up_4 = block(width, width // 2)
            last = width // 2
        self.conv_img = nn.Conv2d(last, made, 3, padding=1)

    def forward(self, map, z=None):
        doublings = {"normal": 5, "more": 6, "most": 7}[self.depth]
        if self.latent:
            x = self.fc(z).view(len(z), -1, self.side, self.side)
        else:
            small = [side // 2**doublings for side in map.shape[-2:]]
            x = self.fc(F.interpolate(map, size=small, mode="nearest"))
        double = partial(F.interpolate, scale_factor=2, mode="nearest")
        x = self.G_middle_0(double(self.head_0(x, map)), map)
        x = self.G_middle_1(x if self.depth == "normal" else double(x), map)
        for number in range(5 if self.depth == "most" else 4):
            x = getattr(self, f"up_{number}")(double(x), map)
        return self.conv_img(F.leaky_relu(x, 0.2)).tanh()


class OriginalSpadeScales(nn.Module):
    def __init__(self, scales, layers, width, bands, norm, normed=True):
        super().__init__()
        self.scales, self.layers = scales, layers
        channels = [bands, *(min(width * 2**layer, 512) for layer in range(layers + 1)), 1]
        for scale in range(scales):
            judge = nn.Module()
            for layer in range(layers + 2):
                inner, outer = channels[layer : layer + 2]
                middle = 0 < layer <= layers
                part = nn.Conv2d(inner, outer, 4, 2 if layer < layers else 1, 2, bias=not middle)
                if middle:
                    part = nn.Sequential(spectral(part, normed), NORMS[norm](outer))
                rest = [nn.LeakyReLU(0.2)] if layer <= layers else []
                setattr(judge, f"model{layer}", nn.Sequential(part, *rest))
            setattr(self, f"discriminator_{scale}", judge)

    def forward(self, x):
        made = []
        for scale in range(self.scales):
            value = x
            for layer in range(self.layers + 2):
                value = getattr(getattr(self, f"discriminator_{scale}"), f"model{layer}")(value)
            made.append(value)
            x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        return tuple(made)


class OriginalStyleEncoder(nn.Module):
    def __init__(self, width, bands, latent):
        super().__init__()
        channels = [bands, width, 2 * width, 4 * width, 8 * width, 8 * width, 8 * width]
        for number in range(1, 7):
            conv = nn.Conv2d(channels[number - 1], channels[number], 3, 2, 1, bias=False)
            setattr(self, f"layer{number}", nn.Sequential(spectral(conv), nn.InstanceNorm2d(channels[number])))
        self.fc_mu = nn.Linear(8 * width * 16, latent)
        self.fc_var = nn.Linear(8 * width * 16, latent)

    def forward(self, x):
        x = F.interpolate(x, size=(256, 256), mode="bilinear")
        for number in range(1, 7):
            x = getattr(self, f"layer{number}")(x if number == 1 else F.leaky_relu(x, 0.2))
        x = F.leaky_relu(x, 0.2).flatten(1)
        return self.fc_mu(x), self.fc_var(x)


def as_before_1_0(state):
    """A state dict of spectral norms as PyTorch 0.4 saved it: no v, but the weight that was computed last."""
    old = {}
    for name, value in state.items():
        layer, _, what = name.rpartition(".")
        if what == "weight_v":
            continue
        old[name] = value
        if what == "weight_u":
            weight, v = state[f"{layer}.weight_orig"], state[f"{layer}.weight_v"]
            old[f"{layer}.weight"] = weight / torch.dot(value, weight.flatten(1) @ v)
    return old
