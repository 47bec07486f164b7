"""What the names and shapes in an original checkpoint say about its network, and how its tensors are called here.

    python -c "from img2img_hub.official.layouts import *; print(original_names(PixelDiscriminator()))"

A layout is how the original code writes one architecture. The layers stand in the same order there and here, so that
one rule a layout turns a name of ours into the original's.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn

from img2img_hub.networks import (
    Network,
    PatchDiscriminator,
    PatchHeads,
    PixelDiscriminator,
    ResNetGenerator,
    UNetGenerator,
)
from img2img_hub.networks.antialias import FixedFilter
from img2img_hub.networks.blocks import Norm

ORIGINAL_DROPOUT = 0.5  # the only probability that the original code knows

State = Mapping[str, Tensor]


class Layout:
    """One architecture in a state dict of the original."""

    network: ClassVar[type[Network]]
    mark: ClassVar[str]
    """A weight that tells it from the other layouts, with its kernel."""
    kernel: ClassVar[tuple[int, ...]]
    always_biased: ClassVar[tuple[int, ...]] = (-1,)
    """The convolutions that no norm follows, as far as the original gives them a bias whatever the norm."""

    def recognises(self, state: State) -> bool:
        return self.mark in state and state[self.mark].ndim >= 2 and state[self.mark].shape[2:] == self.kernel

    def describe(self) -> str:
        of = f" of {'×'.join(map(str, self.kernel))}" if self.kernel else ""
        return f"{self.mark}{of} ({self.network.__name__})"

    def arguments(self, state: State, *, dropout: float | None, norm: Norm | None) -> tuple[dict[str, Any], list[str]]:
        """The network's arguments as far as they show, and notes on what does not; `dropout` and `norm` are wishes."""
        found, notes = self._norm(state, norm)
        sizes = self.sizes(state)
        probability, more = self.dropout(state, dropout)
        return sizes | {"norm": found} | probability, notes + more

    def sizes(self, state: State) -> dict[str, Any]:
        """Width, channels and depth."""
        width, in_channels = self.shape(state, self.mark)[:2]
        return {"in_channels": in_channels, "width": width}

    def shape(self, state: State, name: str) -> torch.Size:
        if name not in state or state[name].ndim != 4:
            raise ValueError(f"it looks like a {self.network.__name__}, but there is no convolution {name}")
        return state[name].shape

    def dropout(self, state: State, wanted: float | None) -> tuple[dict[str, float], list[str]]:
        if wanted is not None:
            raise ValueError(f"it is a {self.network.__name__}, which has no dropout: leave dropout {wanted} out")
        return {}, []

    def norm_bias(self, state: State) -> str:
        """A convolution's bias that is there under instance norm and not without norm."""
        raise NotImplementedError

    def name(self, ours: str, network: Network) -> str:
        """The original's name of a tensor of ours."""
        return ours.replace("layers.", "model.", 1)

    def _norm(self, state: State, wanted: Norm | None) -> tuple[Norm, list[str]]:
        if wanted not in (None, *get_args(Norm)):
            raise ValueError(f"norm must be {', '.join(get_args(Norm))}, got {wanted!r}")
        if any(name.endswith(".weight") and value.ndim == 1 for name, value in state.items()):
            if wanted not in (None, "batch"):
                raise ValueError(f"it holds the weights of batch norms, which norm {wanted} does not fit: leave it out")
            return "batch", []
        if wanted == "batch":
            raise ValueError(
                "it holds no weights of norms, which norm batch does not fit: its norm is instance or none"
            )
        if wanted is not None:
            return wanted, []
        if self.norm_bias(state) in state:
            return "instance", []
        return "none", ["neither norm weights nor their biases are in the file: it was trained without norm"]


class UNet(Layout):
    network = UNetGenerator
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
    mark, kernel = "mlp_0.0.weight", ()
    always_biased = ()

    def arguments(self, state: State, *, dropout: float | None, norm: Norm | None) -> tuple[dict[str, Any], list[str]]:
        if norm is not None:
            raise ValueError(f"it is a {self.network.__name__}, which has no norm: leave norm {norm} out")
        self.dropout(state, dropout)
        channels: list[int] = []
        while (name := f"mlp_{len(channels)}.0.weight") in state and state[name].ndim == 2:
            channels.append(state[name].shape[1])
        return {"channels": ",".join(map(str, channels)), "width": state[self.mark].shape[0]}, []

    def name(self, ours: str, network: Network) -> str:
        return ours.replace("heads.", "mlp_", 1)


LAYOUTS: dict[type[Network], Layout] = {
    layout.network: layout for layout in (UNet(), ResNet(), Patch(), Pixel(), Heads())
}


def infer(state: State, *, dropout: float | None, norm: Norm | None) -> tuple[type[Network], dict[str, Any], list[str]]:
    """(architecture, its arguments as far as they show, notes on what does not show), of a state dict's clean names.

    `dropout` and `norm` are what the user says; see `official.read_official`.

    Raises:
        ValueError: no layout of the original, or a wish that contradicts the file. The message does not name the file.
    """
    for architecture, layout in LAYOUTS.items():
        if layout.recognises(state):
            return architecture, *layout.arguments(state, dropout=dropout, norm=norm)
    found = ", ".join(f"{name} {tuple(value.shape)}" for name, value in list(state.items())[:3])
    expected = ", ".join(layout.describe() for layout in LAYOUTS.values())
    raise ValueError(
        f"it has no layout of the original code: found {len(state)} tensors ({found} …), expected one of {expected}"
    )


def places_of(what: str, state: State) -> set[int]:
    """N of all the names model.N.what; `what` is a regular expression."""
    found = (re.fullmatch(rf"model\.(\d{{1,4}})\.{what}", name) for name in state)
    return {int(match[1]) for match in found if match}


# --- names, there and here --------------------------------------------------------------------------------------------


def original_names(network: Network) -> dict[str, str]:
    """{our name of a tensor: the original's}, in the order of both state dicts, of one of LAYOUTS."""
    layout = LAYOUTS[type(network)]
    return {name: layout.name(name, network) for name in network.state_dict()}


def original_filters(network: Network) -> dict[str, Tensor]:
    """{the original's name: value} of the fixed filters, which its state dicts hold and ours do not."""
    layout = LAYOUTS[type(network)]
    return {
        layout.name(f"{name}.filt", network): layer.kernel
        for name, layer in network.named_modules()
        if isinstance(layer, FixedFilter)
    }


def biases_of_instance_norm(network: Network) -> set[str]:
    """Our names of those biases that the original has under instance norm, and under no other."""
    convs = [name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    always = {convs[place] for place in LAYOUTS[type(network)].always_biased}
    return {f"{name}.bias" for name in convs if name not in always}
