"""What the names and shapes in an original checkpoint say about its network, and how its tensors are called here.

    python -c "from img2img_hub.official.layouts import *; print(original_names(PixelDiscriminator()))"

The original (junyanz/pytorch-CycleGAN-and-pix2pix) has four layouts. The layers stand in the same order there and here,
so that one rule a layout turns a name of ours into the original's.
"""

import re
from collections.abc import Mapping
from typing import Any, get_args

import torch
from torch import Tensor, nn

from img2img_hub.networks import Network, PatchDiscriminator, PixelDiscriminator, ResNetGenerator, UNetGenerator
from img2img_hub.networks.blocks import Norm

ORIGINAL_DROPOUT = 0.5  # the only probability that the original code knows

State = Mapping[str, Tensor]

# What tells the layouts apart: a convolution that only one of them has, and the side of its kernel.
LAYOUTS: dict[type[Network], tuple[str, int]] = {
    UNetGenerator: ("model.model.0.weight", 4),
    ResNetGenerator: ("model.1.weight", 7),
    PatchDiscriminator: ("model.0.weight", 4),
    PixelDiscriminator: ("net.0.weight", 1),
}
# A convolution's bias that is there under instance norm and not without norm.
_BIAS: dict[type[Network], str] = {
    UNetGenerator: "model.model.0.bias",
    ResNetGenerator: "model.1.bias",
    PatchDiscriminator: "model.2.bias",
    PixelDiscriminator: "net.2.bias",
}


def infer(state: State, *, dropout: float | None, norm: Norm | None) -> tuple[type[Network], dict[str, Any], list[str]]:
    """(architecture, its arguments as far as they show, notes on what does not show), of a state dict's clean names.

    `dropout` and `norm` are what the user says; see `official.read_official`.

    Raises:
        ValueError: no layout of the original, or a wish that contradicts the file. The message does not name the file.
    """
    architecture = _recognise(state)
    found, notes = _norm(state, architecture, norm)
    arguments: dict[str, Any] = {**_sizes(state, architecture), "norm": found}
    if architecture is UNetGenerator:
        arguments["dropout"] = ORIGINAL_DROPOUT if dropout is None else dropout
        if dropout is None:
            notes.append(
                f"a U-Net's file does not show its dropout: recorded as {ORIGINAL_DROPOUT}, which acts only where "
                "variations are asked for (a seed)"
            )
    elif architecture is ResNetGenerator:
        arguments["dropout"] = _resnet_dropout(state, dropout)
    elif dropout is not None:
        raise ValueError(f"it is a {architecture.__name__}, which has no dropout: leave dropout {dropout} out")
    return architecture, arguments, notes


def _recognise(state: State) -> type[Network]:
    for architecture, (name, side) in LAYOUTS.items():
        if name in state and state[name].ndim == 4 and state[name].shape[2:] == (side, side):
            return architecture
    found = ", ".join(f"{name} {tuple(value.shape)}" for name, value in list(state.items())[:3])
    expected = ", ".join(f"{name} of {side}×{side} ({kind.__name__})" for kind, (name, side) in LAYOUTS.items())
    raise ValueError(
        f"it has no layout of the original code: found {len(state)} tensors ({found} …), expected one of {expected}"
    )


def _norm(state: State, architecture: type[Network], wanted: Norm | None) -> tuple[Norm, list[str]]:
    if wanted not in (None, *get_args(Norm)):
        raise ValueError(f"norm must be {', '.join(get_args(Norm))}, got {wanted!r}")
    if any(name.endswith(".weight") and value.ndim == 1 for name, value in state.items()):
        if wanted not in (None, "batch"):
            raise ValueError(f"it holds the weights of batch norms, which norm {wanted} does not fit: leave it out")
        return "batch", []
    if wanted == "batch":
        raise ValueError("it holds no weights of norms, which norm batch does not fit: its norm is instance or none")
    if wanted is not None:
        return wanted, []
    if _BIAS[architecture] in state:
        return "instance", []
    return "none", ["neither norm weights nor their biases are in the file: it was trained without norm"]


def _resnet_dropout(state: State, wanted: float | None) -> float:
    # A dropout layer moves the second convolution of a residual block one place on.
    shown = any(name.endswith(".conv_block.6.weight") and value.ndim == 4 for name, value in state.items())
    if wanted is None:
        return ORIGINAL_DROPOUT if shown else 0.0
    if (wanted > 0) != shown:
        has = "has" if shown else "has no"
        raise ValueError(f"its residual blocks show that it {has} dropout, which dropout {wanted} does not fit")
    return wanted


def _sizes(state: State, architecture: type[Network]) -> dict[str, int]:
    """Width, channels and depth."""

    def shape(name: str) -> torch.Size:
        if name not in state or state[name].ndim != 4:
            raise ValueError(f"it looks like a {architecture.__name__}, but there is no convolution {name}")
        return state[name].shape

    width, in_channels = shape(LAYOUTS[architecture][0])[:2]
    sizes = {"in_channels": in_channels, "width": width}
    if architecture is UNetGenerator:
        levels = 1
        while f"{_unet_prefix(levels)}model.1.weight" in state:
            levels += 1
        return {**sizes, "levels": levels, "out_channels": shape("model.model.3.weight")[1]}
    if architecture is ResNetGenerator:
        blocks = len({name.split(".")[1] for name in state if ".conv_block." in name})
        return {**sizes, "blocks": blocks, "out_channels": shape(f"model.{17 + blocks}.weight")[0]}
    if architecture is PatchDiscriminator:
        return {**sizes, "layers": sum(value.ndim == 4 for value in state.values()) - 2}
    return sizes


# --- names, there and here --------------------------------------------------------------------------------------------


def original_names(network: Network) -> dict[str, str]:
    """{our name of a tensor: the original's}, in the order of both state dicts, of one of LAYOUTS."""
    return {name: _original_name(name, network) for name in network.state_dict()}


def biases_of_instance_norm(network: Network) -> set[str]:
    """Our names of those biases that the original has under instance norm, and under no other."""
    convs = [name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    always = {  # a bias whatever the norm: those that no norm follows, as far as the original gives them one
        UNetGenerator: {convs[-1]},
        ResNetGenerator: {convs[-1]},
        PatchDiscriminator: {convs[0], convs[-1]},
        PixelDiscriminator: {convs[0]},
    }[type(network)]
    return {f"{name}.bias" for name in convs if name not in always}


def _original_name(name: str, network: Network) -> str:
    if isinstance(network, UNetGenerator):
        return _unet_name(name, levels=len(network.downs))
    if isinstance(network, PixelDiscriminator):
        return name.replace("layers.", "net.", 1)
    if isinstance(network, ResNetGenerator):
        name = re.sub(r"^(layers\.\d+\.)layers\.", r"\1conv_block.", name)
    return name.replace("layers.", "model.", 1)


def _unet_name(name: str, *, levels: int) -> str:
    """downs.LEVEL.PLACE.what or ups.(levels − 1 − LEVEL).PLACE.what -> one block: down, norm, (inner), up, norm."""
    side, number, place, what = name.split(".")
    if side == "downs":
        return f"{_unet_prefix(int(number))}model.{place}.{what}"
    level = levels - 1 - int(number)
    # Before the up half: at the ends two layers (outermost: down, inner; innermost: leaky ReLU, down), else four.
    before = 2 if level in (0, levels - 1) else 4
    return f"{_unet_prefix(level)}model.{before + int(place)}.{what}"


def _unet_prefix(level: int) -> str:
    """The original nests each level in the one above it."""
    return "model." if level == 0 else "model.model.1." + "model.3." * (level - 1)
