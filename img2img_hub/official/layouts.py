"""What the names and shapes in an original checkpoint say about its network, and how its tensors are called here.

    python -c "from img2img_hub.official.layouts import *; print(original_names(PixelDiscriminator()))"

The layouts of pix2pix, CycleGAN and CUT, and of all the list. Those of pix2pixHD, SPADE and
super-resolution have files of their own.
"""

import re
from typing import Any

from img2img_hub.networks import (
    Network,
    PatchDiscriminator,
    PatchHeads,
    PixelDiscriminator,
    ResNetGenerator,
    UNetGenerator,
)
from img2img_hub.networks.blocks import Norm
from img2img_hub.official.gaugan import SpadeGeneratorLayout, SpadeJudges, StyleEncoderLayout
from img2img_hub.official.layout import ORIGINAL_DROPOUT, Layout, State, places_of
from img2img_hub.official.pix2pixhd import CoarseToFine, InstanceEncoderLayout, ScalesApart, ScalesByLayer
from img2img_hub.official.super_resolution import LAYOUTS_OF_SUPER_RESOLUTION

_FEWEST_LEVELS = 5  # of an original U-Net: its code puts four around the innermost whatever it is told


class UNet(Layout):
    network = UNetGenerator
    free = Layout.free | {"levels"}
    mark, kernel = "model.model.0.weight", (4, 4)

    def sizes(self, state: State) -> dict[str, Any]:
        levels = 1
        while f"{self.prefix(levels)}model.1.weight" in state:
            levels += 1
        out_channels = self.shape(state, "model.model.3.weight")[1]
        return super().sizes(state) | {"levels": levels, "out_channels": out_channels}

    def dropout(self, state: State, wanted: float | None) -> tuple[dict[str, float], list[str]]:
        note = (
            f"a U-Net's file does not show its dropout: recorded as {ORIGINAL_DROPOUT}, which acts only where "
            "variations are asked for (a seed)"
        )
        return {"dropout": ORIGINAL_DROPOUT if wanted is None else wanted}, [note] if wanted is None else []

    def check(self, network: Network) -> None:
        super().check(network)
        if (levels := network.config["levels"]) < _FEWEST_LEVELS:
            raise ValueError(
                f"this U-Net has {levels} levels, the original code builds none with fewer than {_FEWEST_LEVELS}"
            )

    def norm_bias(self, state: State) -> str:
        return "model.model.0.bias"

    def name(self, ours: str, network: Network) -> str:
        """downs.LEVEL.PLACE.what or ups.(levels − 1 − LEVEL).PLACE.what -> a block: down, norm, (inner), up, norm."""
        side, number, place, what = ours.split(".")
        if side == "downs":
            return f"{self.prefix(int(number))}model.{place}.{what}"
        assert isinstance(network, UNetGenerator)
        levels = len(network.downs)
        level = levels - 1 - int(number)
        # Before the up half: at the ends two layers (outermost: down, inner; innermost: leaky ReLU, down), else four.
        before = 2 if level in (0, levels - 1) else 4
        return f"{self.prefix(level)}model.{before + int(place)}.{what}"

    @staticmethod
    def prefix(level: int) -> str:
        """The original nests each level in the one above it."""
        return "model." if level == 0 else "model.model.1." + "model.3." * (level - 1)


class ResNet(Layout):
    """With fixed filters it is CUT's; on the way down and up alike, for a network here has both or neither."""

    network = ResNetGenerator
    free = Layout.free | {"blocks", "antialias"}
    mark, kernel = "model.1.weight", (7, 7)

    def sizes(self, state: State) -> dict[str, Any]:
        blocks, filters = (len(places_of(what, state)) for what in (r"conv_block\..+", "filt"))
        if filters:
            down, up = "model.7.filt" in state, max(places_of("filt", state)) > 11
            if not (down and up):
                alone, option = ("halves", "--no_antialias_up") if down else ("doubles", "--no_antialias")
                raise ValueError(
                    f"it is a ResNet that only {alone} its features by fixed filters, as CUT's code trains it with "
                    f"{option}; no network here is so: one trained without any such option can be read, or with both"
                )
        last = (21 if filters else 17) + blocks
        out_channels = self.shape(state, f"model.{last}.weight")[0]
        return super().sizes(state) | {"blocks": blocks, "out_channels": out_channels, "antialias": filters > 0}

    def dropout(self, state: State, wanted: float | None) -> tuple[dict[str, float], list[str]]:
        # A dropout layer moves the second convolution of a residual block one place on.
        shown = any(name.endswith(".conv_block.6.weight") and value.ndim == 4 for name, value in state.items())
        if wanted is not None and (wanted > 0) != shown:
            has = "has" if shown else "has no"
            raise ValueError(f"its residual blocks show that it {has} dropout, which dropout {wanted} does not fit")
        return {"dropout": (ORIGINAL_DROPOUT if shown else 0.0) if wanted is None else wanted}, []

    def norm_bias(self, state: State) -> str:
        return "model.1.bias"

    def name(self, ours: str, network: Network) -> str:
        return super().name(re.sub(r"^(layers\.\d+\.)layers\.", r"\1conv_block.", ours), network)


class Patch(Layout):
    network = PatchDiscriminator
    free = Layout.free | {"layers", "antialias"}
    mark, kernel = "model.0.weight", (4, 4)
    always_biased = (0, -1)

    def sizes(self, state: State) -> dict[str, Any]:
        filters = len(places_of("filt", state))
        layers = sum(value.ndim == 4 for value in state.values()) - filters - 2
        return super().sizes(state) | {"layers": layers, "antialias": filters > 0}

    def norm_bias(self, state: State) -> str:
        return "model.3.bias" if "model.2.filt" in state else "model.2.bias"


class Pixel(Layout):
    network = PixelDiscriminator
    mark, kernel = "net.0.weight", (1, 1)
    always_biased = (0,)

    def norm_bias(self, state: State) -> str:
        return "net.2.bias"

    def name(self, ours: str, network: Network) -> str:
        return ours.replace("layers.", "net.", 1)


class Heads(Layout):
    """CUT's netF."""

    network = PatchHeads
    free = frozenset({"channels", "width"})
    mark, kernel = "mlp_0.0.weight", ()
    always_biased = ()

    def sizes(self, state: State) -> dict[str, Any]:
        channels: list[int] = []
        while (name := f"mlp_{len(channels)}.0.weight") in state and state[name].ndim == 2:
            channels.append(state[name].shape[1])
        return {"channels": ",".join(map(str, channels)), "width": state[self.mark].shape[0]}

    def _norm(self, state: State, wanted: Norm | None) -> tuple[dict[str, Any], list[str]]:
        if wanted is not None:
            raise ValueError(f"it is a {self.network.__name__}, which has no norm: leave norm {wanted} out")
        return {}, []

    def name(self, ours: str, network: Network) -> str:
        return ours.replace("heads.", "mlp_", 1)


LAYOUTS: tuple[Layout, ...] = (
    *(UNet(), CoarseToFine(), InstanceEncoderLayout(), ResNet(), Patch(), Pixel(), Heads()),
    *(ScalesByLayer(), ScalesApart(), SpadeGeneratorLayout(), SpadeJudges(), StyleEncoderLayout()),
    *LAYOUTS_OF_SUPER_RESOLUTION,
)


def find_layout(state: State) -> Layout:
    """The layout of a state dict's clean names. Raises ValueError for none of the originals'."""
    for layout in LAYOUTS:
        if layout.recognises(state):
            return layout
    found = ", ".join(f"{name} {tuple(value.shape)}" for name, value in list(state.items())[:3])
    expected = ", ".join(layout.describe() for layout in LAYOUTS)
    raise ValueError(
        f"it has no layout of the original code: found {len(state)} tensors ({found} …), expected one of {expected}"
    )


# --- names, there and here --------------------------------------------------------------------------------------------


def layout_of(network: Network) -> Layout | None:
    """How the original code writes it; None where it has no such network."""
    return next((layout for layout in LAYOUTS if layout.writes(network)), None)


def original_names(network: Network, layout: Layout | None = None) -> dict[str, str]:
    """{our name of a tensor: the original's}, in the order of its state dict; by default in that which is written."""
    layout = layout or layout_of(network)
    assert layout is not None
    tensors = [name for name in network.state_dict() if name not in layout.elsewhere]
    names = {name: layout.name(name, network) for name in tensors}
    return dict(sorted(names.items(), key=lambda pair: layout.order(pair[1])))
