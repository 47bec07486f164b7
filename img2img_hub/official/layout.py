"""What a layout is: how the original code writes one architecture, and how its tensors are called here.

    python -c "from img2img_hub.official.layouts import LAYOUTS; print([layout.describe() for layout in LAYOUTS])"

The layers stand in nearly the same order there and here, so that one rule a layout turns a name of ours into the
original's.
"""

import inspect
import re
from collections.abc import Mapping
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn

from img2img_hub.networks import Network
from img2img_hub.networks.antialias import FixedFilter
from img2img_hub.networks.blocks import Norm

ORIGINAL_DROPOUT = 0.5  # the only probability that the original code knows

State = Mapping[str, Tensor]

_SPECTRAL = {
    "parametrizations.weight.original": "weight_orig",
    "parametrizations.weight.0._u": "weight_u",
    "parametrizations.weight.0._v": "weight_v",
}


class Layout:
    """One architecture in a state dict of the original."""

    network: ClassVar[type[Network]]
    mark: ClassVar[str]
    """A weight that tells it from the other layouts, with its kernel."""
    kernel: ClassVar[tuple[int, ...]]
    under: ClassVar[str] = ""
    """By what name the original's files hold the state dict; "" where it is all that they hold."""
    always_biased: ClassVar[tuple[int, ...]] = (-1,)
    """The convolutions that no norm follows, as far as the original gives them a bias whatever the norm."""

    free: ClassVar[frozenset[str]] = frozenset({"in_channels", "out_channels", "width", "norm", "dropout"})
    """What the original's options can say. Any other argument must have its default, which is what the original does,
    or what `needed` says."""
    needed: ClassVar[dict[str, Any]] = {}
    elsewhere: ClassVar[frozenset[str]] = frozenset()
    """Tensors of ours that the original keeps outside its networks."""
    asks: ClassVar[frozenset[str]] = frozenset()
    """What, beside dropout and norm, a user may have to say, for the file does not."""

    def recognises(self, state: State) -> bool:
        return self.mark in state and state[self.mark].ndim >= 2 and state[self.mark].shape[2:] == self.kernel

    def writes(self, network: Network) -> bool:
        """Whether the original code has such a network, as far as its class says."""
        return type(network) is self.network

    def describe(self) -> str:
        of = f" of {'×'.join(map(str, self.kernel))}" if self.kernel else ""
        return f"{self.mark}{of} ({self.network.__name__})"

    def arguments(
        self, state: State, *, dropout: float | None, norm: Norm | None, **asked: Any
    ) -> tuple[dict[str, Any], list[str]]:
        """The network's arguments as far as they show, and notes on what does not; `dropout`, `norm` and what is
        `asked` are wishes, None where nobody said."""
        for key, value in asked.items():
            if value is not None and key not in self.asks:
                raise ValueError(f"it is a {self.network.__name__}, to which {key} {value} says nothing: leave it out")
        found, notes = self._norm(state, norm)
        sizes = self.sizes(state)
        probability, more = self.dropout(state, dropout)
        said, others = self.answers(state, sizes, asked)
        return sizes | found | probability | said, notes + more + others

    def answers(self, state: State, sizes: dict[str, Any], asked: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Arguments that the user says, and notes; may change `sizes`."""
        return {}, []

    def mend(self, state: State) -> tuple[State, list[str]]:
        """The state dict of an older PyTorch as one of today, and notes."""
        return state, []

    def check(self, network: Network) -> None:
        """Refuse what the original code cannot build. Raises ValueError."""
        name = type(network).__name__
        for key, parameter in inspect.signature(type(network)).parameters.items():
            wanted, found = self.needed.get(key, parameter.default), network.config[key]
            if key not in self.free and found != wanted:
                raise ValueError(f"this {name} has {key} {found!r}, the original code knows {wanted!r} only")

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

    def order(self, theirs: str) -> Any:
        """What the original's names are sorted by; equal ones stay in the order of ours."""
        return 0

    def filters(self, network: Network) -> dict[str, Tensor]:
        """{the original's name: value} of the fixed filters, which its state dicts hold and ours do not."""
        return {
            self.name(f"{name}.filt", network): layer.kernel
            for name, layer in network.named_modules()
            if isinstance(layer, FixedFilter)
        }

    def instance_biases(self, network: Network) -> set[str]:
        """Our names of those biases that the original has under instance norm, and under no other."""
        convs = [name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
        always = {convs[place] for place in self.always_biased}
        return {f"{name}.bias" for name in convs if name not in always}

    def _norm(self, state: State, wanted: Norm | None) -> tuple[dict[str, Any], list[str]]:
        norm, notes = self._norm_of(state, wanted)
        return {"norm": norm}, notes

    def _norm_of(self, state: State, wanted: Norm | None) -> tuple[Norm, list[str]]:
        if wanted not in (None, *get_args(Norm)):
            raise ValueError(f"norm must be {', '.join(get_args(Norm))}, got {wanted!r}")
        if has_norm_weights(state):
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


def former_spectral(ours: str) -> str:
    """The end of a name of ours as PyTorch's former spectral norm has it."""
    for end, theirs in _SPECTRAL.items():
        ours = ours.replace(end, theirs)
    return ours


def has_norm_weights(state: State) -> bool:
    return any(name.endswith(".weight") and value.ndim == 1 for name, value in state.items())


def places_of(what: str, state: State, *, module: str = "model", ndim: int | None = None) -> set[int]:
    """N of all the names MODULE.N.what, of tensors of so many axes; `what` is a regular expression."""
    found = (
        re.fullmatch(rf"{module}\.(\d{{1,4}})\.{what}", name)
        for name, value in state.items()
        if ndim in (None, value.ndim)
    )
    return {int(match[1]) for match in found if match}


def largest_numbers(pattern: str, state: State) -> tuple[int, ...]:
    """Of each group of a regular expression the largest number in the names that begin so, of which there is one."""
    found = [tuple(map(int, match.groups())) for name in state if (match := re.match(pattern, name))]
    return tuple(max(numbers) for numbers in zip(*found, strict=True))


def layer_and_place(place: int) -> tuple[int, int]:
    """Of a layer of our stack of convolutions, norms and leaky ReLUs, the first without a norm: which layer it is of
    and where it stands in that."""
    return (0, 0) if place == 0 else divmod(place + 1, 3)  # 2 3, 5 6 …: convolution, norm
