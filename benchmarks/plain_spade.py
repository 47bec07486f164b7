"""GauGAN as one would write it down from its paper and what is known of its authors' code, for `benchmarks.spade`.

    python -c "from benchmarks.plain_spade import PlainGenerator as G; print(G(classes=12, width=8, hidden=16))"

Every norm resizes the map for itself and has a convolution each for gamma and beta, fakes and targets go through the
discriminator in one batch, Adam changes tensor by tensor. Tensors have the names that they have in this library, so
that both can be given the same ones.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from img2img_hub.families import Batch

NOTHING = torch.zeros(())


class PlainNorm(nn.Module):
    def __init__(self, channels: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.shared = nn.Conv2d(classes, hidden, 3, padding=1)
        self.gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, map: Tensor) -> Tensor:
        normalised = self.norm(x)
        read = F.relu(self.shared(F.interpolate(map, size=x.shape[-2:], mode="nearest")))
        return normalised * (1 + self.gamma(read)) + self.beta(read)


class PlainBlock(nn.Module):
    def __init__(self, inner: int, outer: int, classes: int, hidden: int) -> None:
        super().__init__()
        middle = min(inner, outer)
        self.changes = inner != outer
        self.norm_0 = PlainNorm(inner, classes, hidden)
        self.conv_0 = spectral_norm(nn.Conv2d(inner, middle, 3, padding=1))
        self.norm_1 = PlainNorm(middle, classes, hidden)
        self.conv_1 = spectral_norm(nn.Conv2d(middle, outer, 3, padding=1))
        if self.changes:
            self.norm_skip = PlainNorm(inner, classes, hidden)
            self.conv_skip = spectral_norm(nn.Conv2d(inner, outer, 1, bias=False))

    def forward(self, x: Tensor, map: Tensor) -> Tensor:
        short = self.conv_skip(self.norm_skip(x, map)) if self.changes else x
        y = self.conv_0(F.leaky_relu(self.norm_0(x, map), 0.2))
        y = self.conv_1(F.leaky_relu(self.norm_1(y, map), 0.2))
        return short + y


class PlainGenerator(nn.Module):
    """Of 32 to 1 pixels (depth "normal"), batch norm, spectral norm, no styles."""

    def __init__(self, *, classes: int, width: int, hidden: int) -> None:
        super().__init__()
        channels = [16 * width] * 4 + [8 * width, 4 * width, 2 * width, width]
        self.start = nn.Conv2d(classes, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList(PlainBlock(inner, outer, classes, hidden) for inner, outer in pairwise(channels))
        self.image = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, map: Tensor) -> Tensor:
        height, width = map.shape[-2:]
        x = self.start(F.interpolate(map, size=(height // 32, width // 32), mode="nearest"))
        for number, block in enumerate(self.blocks):
            if number not in (0, 2):
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(x, map)
        return torch.tanh(self.image(F.leaky_relu(x, 0.2)))


class PlainDiscriminator(nn.Module):
    """(logits, features before them) of each of two scales."""

    def __init__(self, *, channels: int, width: int, layers: int) -> None:
        super().__init__()
        self.judges = nn.ModuleList()
        for _ in range(2):
            wide = [min(width * 2**layer, 512) for layer in range(layers + 1)]
            parts: list[nn.Module] = [nn.Conv2d(channels, wide[0], 4, stride=2, padding=2), nn.LeakyReLU(0.2)]
            for layer, (inner, outer) in enumerate(pairwise(wide), start=1):
                stride = 2 if layer < layers else 1
                convolution = spectral_norm(nn.Conv2d(inner, outer, 4, stride=stride, padding=2, bias=False))
                parts += [convolution, nn.InstanceNorm2d(outer), nn.LeakyReLU(0.2)]
            judge = nn.Module()
            judge.layers = nn.Sequential(*parts, nn.Conv2d(wide[-1], 1, 4, padding=2))
            self.judges.append(judge)

    def forward(self, seen: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        scales = []
        for judge in self.judges:
            x, features = seen, []
            for layer in judge.layers:  # type: ignore[union-attr]
                x = layer(x)
                if isinstance(layer, nn.LeakyReLU):
                    features.append(x)
            scales.append((x, features))
            seen = F.avg_pool2d(seen, 3, stride=2, padding=1, count_include_pad=False)
        return scales


class PlainStep:
    """The generator by hinge and 10 · feature matching; then the discriminator on a fake made anew."""

    def __init__(self, generator: PlainGenerator, discriminator: PlainDiscriminator) -> None:
        self.generator, self.discriminator = generator.train(), discriminator.train()
        self.generator_adam, self.critic_adam = (
            torch.optim.Adam(network.parameters(), lr=rate, betas=(0.0, 0.9), foreach=False, fused=False)
            for network, rate in ((generator, 1e-4), (discriminator, 4e-4))
        )

    def __call__(self, batch: Batch) -> None:
        map, real = batch["source"], batch["target"]

        self.discriminator.requires_grad_(False)
        self.generator_adam.zero_grad()
        fake = self.generator(map)
        scales = self.judged(map, fake, real)
        fooled = sum((-logits.chunk(2)[0].mean() for logits, _ in scales), start=NOTHING) / 2
        pairs = [feature.chunk(2) for _, features in scales for feature in features]
        matching = sum((F.l1_loss(made, wanted.detach()) for made, wanted in pairs), start=NOTHING) / 2
        (fooled + 10 * matching).backward()
        self.generator_adam.step()

        self.discriminator.requires_grad_(True)
        self.critic_adam.zero_grad()
        with torch.no_grad():
            fake = self.generator(map)
        pairs = [logits.chunk(2) for logits, _ in self.judged(map, fake, real)]
        hinges = (F.relu(1 + made).mean() + F.relu(1 - wanted).mean() for made, wanted in pairs)
        (sum(hinges, start=NOTHING) / 2).backward()
        self.critic_adam.step()

    def judged(self, map: Tensor, fake: Tensor, real: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        return self.discriminator(torch.cat([torch.cat([map, fake], 1), torch.cat([map, real], 1)]))
