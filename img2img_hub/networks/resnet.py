"""The ResNet generator of CycleGAN (arXiv 1703.10593, appendix 7.2), after Johnson et al. 2016.

python -c "from img2img_hub import ResNetGenerator; print(ResNetGenerator(blocks=6).config)"
"""

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from img2img_hub.errors import check_flags, check_range
from img2img_hub.networks.antialias import BlurDown, BlurUp
from img2img_hub.networks.attention import SelfAttention
from img2img_hub.networks.base import Generator
from img2img_hub.networks.blocks import (
    Conv2d,
    Dropout,
    Norm,
    Upsample,
    conv_has_bias,
    convolve_reflected,
    initialise,
    make_norm,
    make_upsample,
)


class ResidualBlock(nn.Module):
    """Two reflected 3×3 convolutions beside the identity, no ReLU after the sum."""

    def __init__(self, channels: int, *, norm: str, dropout: float, bias: bool | None = None) -> None:
        super().__init__()
        bias = conv_has_bias(norm) if bias is None else bias
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(1),
            Conv2d(channels, channels, 3, bias=bias),
            make_norm(norm, channels),
            nn.ReLU(),
        ]
        if dropout > 0:
            layers.append(Dropout(dropout))
        layers += [nn.ReflectionPad2d(1), Conv2d(channels, channels, 3, bias=bias), make_norm(norm, channels)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y, layers = x, iter(self.layers)
        for layer in layers:
            y = convolve_reflected(y, layer, next(layers)) if isinstance(layer, nn.ReflectionPad2d) else layer(y)
        return x + y


def encoder(
    in_channels: int, *, width: int, halvings: int, norm: str, antialias: bool = False, bias: bool | None = None
) -> list[nn.Module]:
    """Layers (N, in_channels, H, W) -> (N, width · 2**halvings, H / 2**halvings, W / 2**halvings). Biases, unless said,
    as CycleGAN has them."""
    bias = conv_has_bias(norm) if bias is None else bias
    layers = [nn.ReflectionPad2d(3), Conv2d(in_channels, width, 7, bias=bias), make_norm(norm, width), nn.ReLU()]
    for channels in (width * 2**level for level in range(halvings)):  # zero padding here, as in the original
        layers.append(Conv2d(channels, 2 * channels, 3, stride=1 if antialias else 2, padding=1, bias=bias))
        layers += [make_norm(norm, 2 * channels), nn.ReLU()]
        if antialias:
            layers.append(BlurDown(2 * channels))
    return layers


def decoder(
    *, width: int, doublings: int, norm: str, upsample: str, antialias: bool = False, bias: bool | None = None
) -> list[nn.Module]:
    """Layers (N, width · 2**doublings, h, w) -> (N, width, h · 2**doublings, w · 2**doublings)."""
    layers: list[nn.Module] = []
    bias = conv_has_bias(norm) if bias is None else bias
    for channels in (width * 2**level for level in reversed(range(doublings))):
        if antialias and upsample == "transpose":
            layers += [BlurUp(2 * channels), Conv2d(2 * channels, channels, 3, padding=1, bias=bias)]
        else:
            layers.append(make_upsample(upsample, 2 * channels, channels, kernel=3, bias=bias))
        layers += [make_norm(norm, channels), nn.ReLU()]
    return layers


def to_image(width: int, out_channels: int) -> list[nn.Module]:
    """Layers (N, width, H, W) -> (N, out_channels, H, W) float in [-1, 1]."""
    return [nn.ReflectionPad2d(3), Conv2d(width, out_channels, 7), nn.Tanh()]


class ResNetGenerator(Generator):
    """ResNet: (N, in_channels, H, W) float in [-1, 1] -> (N, out_channels, H, W) float in [-1, 1].

    H and W must be multiples of 4 and at least 8.

    Args:
        in_channels: bands of the source image.
        out_channels: bands of the target image.
        blocks: residual blocks at a quarter of the resolution (paper: 6 at 128², 9 at 256²).
        width: channels at full resolution; 4 × width in the blocks.
        norm: "instance" (paper), "batch" or "none".
        dropout: probability inside the residual blocks, 0 for none (paper).
        upsample: "transpose" (paper), or without checkerboard "resize" (nearest) or "bilinear", then a convolution.
        self_attention: let each position look at all others, once, in the middle of the residual blocks (SAGAN, Zhang
            et al. 2018, arXiv 1805.08318); time grows with the square of the pixels.
        antialias: halve by a convolution and then a fixed blur, double by fixed interpolation (in place of "transpose")
            and then a convolution, as CUT does (arXiv 2007.15651): a shifted source gives a more equally shifted
            output, in more time.
    """

    later_arguments = frozenset({"self_attention", "antialias"})

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 3,
        blocks: int = 9,
        width: int = 64,
        norm: Norm = "instance",
        dropout: float = 0.0,
        upsample: Upsample = "transpose",
        self_attention: bool = False,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        check_flags(self_attention=self_attention, antialias=antialias)
        check_range(
            in_channels=(in_channels, 1, 4096),
            out_channels=(out_channels, 1, 4096),
            blocks=(blocks, 0, 64),
            width=(width, 1, 512),
            dropout=(dropout, 0.0, 0.95),
        )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.multiple = 4
        self.min_size = 8  # below, the residual blocks see one pixel, which can be neither reflected nor normalised

        front = encoder(in_channels, width=width, halvings=2, norm=norm, antialias=antialias)
        residual = [ResidualBlock(4 * width, norm=norm, dropout=dropout) for _ in range(blocks)]
        back = decoder(width=width, doublings=2, norm=norm, upsample=upsample, antialias=antialias)
        layers = [*front, *residual, *back, *to_image(width, out_channels)]
        named = [(str(place), layer) for place, layer in enumerate(layers)]
        if self_attention:  # by a name of its own: the other layers are called the same with and without it
            named.insert(len(front) + blocks // 2, ("attention", SelfAttention(4 * width)))
        self.layers = nn.Sequential(OrderedDict(named))

        # What CUT compares images by: the padded image, both convolutions that halve, the first and the fifth block.
        halving = [place for place, layer in enumerate(front) if isinstance(layer, Conv2d)][1:]
        inner = sorted({len(front) + number for number in (0, min(blocks, 5) - 1) if blocks})
        self.feature_taps: tuple[int, ...] = (0, *halving, *inner)
        self.feature_channels: tuple[int, ...] = (in_channels, 2 * width, 4 * width, *[4 * width for _ in inner])

        initialise(self.modules())

    def forward(self, source: Tensor, taps: tuple[int, ...] = (), *, whole: bool = False) -> Any:
        """Translate; or, with `taps`, the outputs of the layers of those numbers, (N, C, h, w) each, computed no
        further than the last of them asks for; or, with `whole` beside, (image, those outputs) of one pass. Layer 0
        gives the source itself with its border reflected.

        `feature_taps` are the numbers that CUT takes (section 3, and the authors' code), `feature_channels` their C.
        """
        self.check_size(source, called="ResNet")
        if not taps:
            return self.layers(source)
        made, features = self._features(source, taps, whole=whole)
        return (made, features) if whole else features

    def _features(self, x: Tensor, taps: tuple[int, ...], *, whole: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        layers = dict(self.layers.named_children())
        wanted = [str(tap) for tap in taps]
        if unknown := [name for name in wanted if name not in layers]:
            last = next(reversed(layers))
            raise ValueError(f"this ResNet has layers 0 to {last}, so there is no tap {', '.join(unknown)}")
        found: dict[str, Tensor] = {}
        for name, layer in layers.items():
            x = layer(x)
            if name in wanted:
                found[name] = x
            if not whole and len(found) == len(set(wanted)):
                break
        return x, tuple(found[name] for name in wanted)
