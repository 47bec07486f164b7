"""How BasicSR, ESRGAN and Real-ESRGAN write their generators, and Real-ESRGAN's discriminator.

    python -m img2img_hub convert RealESRGAN_x4plus.pth --output models/x4plus

RRDBNet has three namings, of which BasicSR's is the present one. Blocks, width, channels and scale are in the shapes.
None of these networks tells a norm or a dropout: they have none.
"""

import math
import re
from typing import Any

from torch import Tensor

from img2img_hub.networks import (
    CompactGenerator,
    ModifiedSRResNetGenerator,
    Network,
    RRDBGenerator,
    UNetDiscriminator,
)
from img2img_hub.networks.blocks import Norm
from img2img_hub.networks.rrdb import UNSHUFFLED
from img2img_hub.official.layout import Layout, State, former_spectral, places_of

KEYS = ("params_ema", "params")
"""By what names BasicSR's files hold a state dict: the running average of the weights before those of the last step."""


class _Normless(Layout):
    kernel = (3, 3)
    under = "params"

    def instance_biases(self, network: Network) -> set[str]:
        return set()

    def _norm(self, state: State, wanted: Norm | None) -> tuple[dict[str, Any], list[str]]:
        if wanted is not None:
            raise ValueError(f"it is a {self.network.__name__}, which has no norm: leave norm {wanted} out")
        return {}, []


def _square_root(number: int) -> int:
    """Of so many channels for one; what is no square comes out too small, so that the shapes differ."""
    return max(math.isqrt(number), 1)


class RRDB(_Normless):
    """BasicSR's naming."""

    network = RRDBGenerator
    free = frozenset({"in_channels", "out_channels", "scale", "blocks", "width", "growth", "unshuffle"})
    mark = "body.0.rdb1.conv1.weight"
    start, end, blocks = "conv_first", "conv_last", r"body\.(\d{1,4})\."
    ups = r"conv_up(\d)\.weight"

    def writes(self, network: Network) -> bool:
        """BasicSR's doubles twice, whatever the scale."""
        return isinstance(network, RRDBGenerator) and network.scale * network.multiple == UNSHUFFLED

    def sizes(self, state: State) -> dict[str, Any]:
        width, read = self.shape(state, f"{self.start}.weight")[:2]
        out_channels = self.shape(state, f"{self.last(state)}.weight")[0]
        growth = self.shape(state, self.mark)[0]
        doublings = self.doublings(state)
        factor = next((each for each in (2, 4) if read == each**2 * out_channels > 0), 1)
        if factor > 1 and 2**doublings != UNSHUFFLED:
            raise ValueError(
                f"it looks like a {self.network.__name__} that puts {factor}×{factor} pixels into one and doubles "
                f"{doublings} times: those here that begin so double twice"
            )
        scale = 2**doublings // factor
        return {
            **{"in_channels": read // factor**2, "out_channels": out_channels, "scale": scale},
            **{"blocks": len({int(found[1]) for name in state if (found := re.match(self.blocks, name))})},
            **{"width": width, "growth": growth, "unshuffle": factor > 1 or scale >= UNSHUFFLED},
        }

    def doublings(self, state: State) -> int:
        return sum(re.fullmatch(self.ups, name) is not None for name in state)

    def last(self, state: State) -> str:
        return self.end

    def name(self, ours: str, network: Network) -> str:
        part, *rest = ours.split(".")
        if part == "body":
            block, _, dense, _, conv, what = rest
            return self.dense(int(block), int(dense) + 1, int(conv) + 1, what)
        if part == "ups":
            return self.up(int(rest[0]) + 1, rest[1])
        return f"{self.other(part, network)}.{rest[0]}"

    def dense(self, block: int, dense: int, conv: int, what: str) -> str:
        return f"body.{block}.rdb{dense}.conv{conv}.{what}"

    def up(self, number: int, what: str) -> str:
        return f"conv_up{number}.{what}"

    def other(self, ours: str, network: Network) -> str:
        return {"first": "conv_first", "after": "conv_body", "high": "conv_hr", "last": "conv_last"}[ours]


class RRDBTrunk(RRDB):
    """The naming of ESRGAN's own repository."""

    mark = "RRDB_trunk.0.RDB1.conv1.weight"
    blocks, ups = r"RRDB_trunk\.(\d{1,4})\.", r"upconv(\d)\.weight"

    def writes(self, network: Network) -> bool:
        return False  # the same networks as BasicSR's

    def dense(self, block: int, dense: int, conv: int, what: str) -> str:
        return f"RRDB_trunk.{block}.RDB{dense}.conv{conv}.{what}"

    def up(self, number: int, what: str) -> str:
        return f"upconv{number}.{what}"

    def other(self, ours: str, network: Network) -> str:
        return {"first": "conv_first", "after": "trunk_conv", "high": "HRconv", "last": "conv_last"}[ours]


class RRDBNumbered(RRDB):
    """The naming of ESRGAN's first code, by places in a row, which is that of plain networks of any scale: a doubling
    takes three places, of which the second one is the convolution."""

    mark = "model.1.sub.0.RDB1.conv1.0.weight"
    under = ""
    start, blocks = "model.0", r"model\.1\.sub\.(\d{1,4})\.RDB"

    def writes(self, network: Network) -> bool:
        """What BasicSR's code does not build."""
        return type(network) is self.network

    def doublings(self, state: State) -> int:
        return max((self.final(state) - 4) // 3, 0)

    def last(self, state: State) -> str:
        return f"model.{self.final(state)}"

    def final(self, state: State) -> int:
        """The place of the last convolution: two behind that before it, which is two behind the last doubling."""
        return max(places_of("weight", state, ndim=4), default=0)

    def dense(self, block: int, dense: int, conv: int, what: str) -> str:
        return f"model.1.sub.{block}.RDB{dense}.conv{conv}.0.{what}"

    def up(self, number: int, what: str) -> str:
        return f"model.{3 * number}.{what}"

    def other(self, ours: str, network: Network) -> str:
        assert isinstance(network, RRDBGenerator)
        behind = 3 * len(network.ups) + 2
        places = {"first": "0", "after": f"1.sub.{network.config['blocks']}", "high": behind, "last": behind + 2}
        return f"model.{places[ours]}"


class MSRResNet(_Normless):
    network = ModifiedSRResNetGenerator
    free = frozenset({"in_channels", "out_channels", "scale", "blocks", "width"})
    mark = "body.0.conv1.weight"

    def sizes(self, state: State) -> dict[str, Any]:
        width, in_channels = self.shape(state, "conv_first.weight")[:2]
        ups = [name for name in state if re.fullmatch(r"upconv\d\.weight", name)]
        return {
            **{"in_channels": in_channels, "out_channels": self.shape(state, "conv_last.weight")[0], "width": width},
            "scale": math.prod(_square_root(self.shape(state, name)[0] // max(width, 1)) for name in ups),
            "blocks": len(places_of(r"conv1\.weight", state, module="body")),
        }

    def name(self, ours: str, network: Network) -> str:
        part, *rest = ours.split(".")
        if part == "body":
            block, _, place, what = rest
            return f"body.{block}.conv{int(place) // 2 + 1}.{what}"
        if part == "ups":
            return f"upconv{int(rest[0]) + 1}.{rest[1]}"
        return f"conv_{'hr' if part == 'high' else part}.{rest[0]}"


class Compact(_Normless):
    network = CompactGenerator
    free = MSRResNet.free
    mark = "body.0.weight"

    def sizes(self, state: State) -> dict[str, Any]:
        last = max(places_of("weight", state, module="body", ndim=4))
        channels = self.shape(state, self.mark)[1]  # the source is added to the output, so that it has as many
        width, made = self.shape(state, self.mark)[0], self.shape(state, f"body.{last}.weight")[0]
        scale = _square_root(made // max(channels, 1))
        sizes = {"in_channels": channels, "out_channels": channels, "scale": scale, "width": width}
        return sizes | {"blocks": last // 2 - 1}

    def name(self, ours: str, network: Network) -> str:
        return ours.replace("layers.", "body.", 1)


class PixelJudge(_Normless):
    """Real-ESRGAN's U-Net: convolutions in a row, conv0 to conv9, the first and the last one without spectral norm."""

    network = UNetDiscriminator
    free = frozenset({"in_channels", "width"})
    mark, kernel = "conv1.weight_orig", (4, 4)

    def sizes(self, state: State) -> dict[str, Any]:
        width, in_channels = self.shape(state, "conv0.weight")[:2]
        return {"in_channels": in_channels, "width": width}

    def filters(self, network: Network) -> dict[str, Tensor]:
        return {}  # the original interpolates without one

    def name(self, ours: str, network: Network) -> str:
        part, *rest = former_spectral(ours).split(".")
        before = {"first": 0, "downs": 1, "ups": 4, "end": 7, "last": 9}[part]
        number = before + (int(rest.pop(0)) if len(rest) > 1 else 0)
        return f"conv{number}.{rest[0]}"


LAYOUTS_OF_SUPER_RESOLUTION: tuple[Layout, ...] = (
    *(RRDB(), RRDBTrunk(), RRDBNumbered(), MSRResNet(), Compact(), PixelJudge()),
)
