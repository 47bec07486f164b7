"""How SPADE's code writes GauGAN's generator, its image encoder and its discriminators.

    python -m img2img_hub convert latest_net_G.pth --depth normal --edges False --unknown False \\
        --output models/ade20k

Spectral norm is PyTorch's former one: weight_orig, and the vectors weight_u and weight_v. The present one has the same
values under other names, so that a network computes the same in eval mode. Files of before PyTorch 1.0 have no
weight_v, but the weight that was computed, which says how long that vector is to be.
"""

import math
import re
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from img2img_hub.networks import MultiScaleDiscriminator, Network, SpadeGenerator, StyleEncoder
from img2img_hub.networks.blocks import Norm
from img2img_hub.official.layout import (
    Layout,
    State,
    former_spectral,
    has_norm_weights,
    largest_numbers,
    layer_and_place,
)

BARE_NORM = ".param_free_norm"
"""The end of the name of a batch norm that has no weight, but running averages."""

_BLOCKS = ("head_0", "G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3", "up_4")
_INSIDE = ("conv_0", "conv_1", "conv_s", "norm_0", "norm_1", "norm_s")
_OF_NORM = ("param_free_norm", "mlp_shared", "mlp_gamma", "mlp_beta")
_WEIGHTS = ("weight", "bias", "weight_orig", "weight_u", "weight_v")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_ORDER = ("fc", *_BLOCKS, "conv_img", *_INSIDE, *_OF_NORM, "fc_mu", "fc_var", *_WEIGHTS, *_STATISTICS)
"""Of the original's names in its state dicts; others are numbered."""
_OURS = {
    "start": "fc",
    "image": "conv_img",
    "conv_skip": "conv_s",
    "norm_skip": "norm_s",
    "norm": "param_free_norm",
    "shared": "mlp_shared.0",
    "gamma": "mlp_gamma",
    "beta": "mlp_beta",
    "mean": "fc_mu",
    "log_variance": "fc_var",
}


class _Gaugan(Layout):
    kernel = (3, 3)

    def recognises(self, state: State) -> bool:
        """By the mark, with or without spectral norm."""
        found = state.get(self.mark, state.get(f"{self.mark}_orig"))
        return found is not None and found.ndim == 4 and found.shape[2:] == self.kernel

    def mend(self, state: State) -> tuple[State, list[str]]:
        """With the vectors v that were not saved before PyTorch 1.0."""
        mended, count = dict(state), 0
        for name, u in state.items():
            layer, _, what = name.rpartition(".")
            weight, v = state.get(f"{layer}.weight_orig"), f"{layer}.weight_v"
            if what != "weight_u" or weight is None or v in state:
                continue
            if weight.ndim < 2 or weight.shape[:1] != u.shape:
                continue
            mended[v] = _right_vector(weight, u, mended.pop(f"{layer}.weight", None))
            count += 1
        vectors = "v of its spectral norms, which PyTorch before 1.0 did not save, are computed"
        return mended, [f"{count} vectors {vectors}"] if count else []

    def instance_biases(self, network: Network) -> set[str]:
        return set()

    def shape(self, state: State, name: str) -> Any:
        return super().shape(state, name if name in state else f"{name}_orig")

    def order(self, theirs: str) -> Any:
        words = theirs.split(".")
        return [(1, _ORDER.index(word)) if word in _ORDER else (0, int(re.sub(r"\D", "", word))) for word in words]


def _right_vector(weight: Tensor, u: Tensor, computed: Tensor | None) -> Tensor:
    """v for u, so that weight / (u · W v) is the weight that was computed, if that is known."""
    matrix, u = weight.float().flatten(1), u.float()
    v = F.normalize(matrix.T @ u, dim=0, eps=1e-12)
    if computed is None or computed.shape != weight.shape:
        return v
    sigma = weight.float().norm() / computed.float().norm()
    return v * sigma / (u @ (matrix @ v))


class SpadeGeneratorLayout(_Gaugan):
    network = SpadeGenerator
    mark = "head_0.conv_0.weight"
    free = frozenset({*Layout.free, "hidden", "depth", "spectral_norm", "latent", "latent_side"})
    asks = frozenset({"depth"})

    def sizes(self, state: State) -> dict[str, Any]:
        width = self.shape(state, self.mark)[1] // 16
        hidden, in_channels = self.shape(state, "head_0.norm_0.mlp_shared.0.weight")[:2]
        sizes = {"in_channels": in_channels, "out_channels": self.shape(state, "conv_img.weight")[0], "width": width}
        sizes |= {"hidden": hidden, "spectral_norm": f"{self.mark}_orig" in state, "latent": 0, "latent_side": 8}
        start = state.get("fc.weight")
        if start is not None and start.ndim == 2:
            sizes["latent"], pixels = start.shape[1], start.shape[0] // max(16 * width, 1)
            sizes["latent_side"] = math.isqrt(pixels)
            if sizes["latent_side"] ** 2 != pixels:
                raise ValueError(
                    f"it is a {self.network.__name__} whose style begins as {pixels} pixels, of an image wider than "
                    "high: those here begin with a square"
                )
        return sizes

    def answers(self, state: State, sizes: dict[str, Any], asked: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        most, depth = any(name.startswith("up_4.") for name in state), asked.get("depth")
        if most and depth in (None, "most"):
            return {"depth": "most"}, []
        if most or depth == "most":
            raise ValueError(
                f"it has {'' if most else 'no '}blocks up_4, which depth {depth} does not fit: leave it out"
            )
        if depth is None:
            raise ValueError(
                "it is a SPADE generator, whose file does not show how often it doubles: say --depth normal (5 times, "
                "as the released models of COCO-Stuff and ADE20K, 256×256) or --depth more (6 times, as that of "
                "Cityscapes, 512×256)"
            )
        return {"depth": depth}, []

    def _norm_of(self, state: State, wanted: Norm | None) -> tuple[Norm, list[str]]:
        found: Norm = "batch" if f"head_0.norm_0{BARE_NORM}.running_mean" in state else "instance"
        if wanted not in (None, found):
            raise ValueError(f"its norms are {found} norms, which norm {wanted} does not fit: leave it out")
        return found, []

    def name(self, ours: str, network: Network) -> str:
        part, *rest = former_spectral(ours).split(".")
        if part == "blocks":
            part = _BLOCKS[int(rest.pop(0))]
        return ".".join(_OURS.get(word, word) for word in (part, *rest))


class SpadeJudges(_Gaugan):
    """Discriminators of several scales; 0 is the finest one, as here."""

    network = MultiScaleDiscriminator
    mark, kernel = "discriminator_0.model0.0.weight", (4, 4)
    free = frozenset({"in_channels", "scales", "layers", "width", "norm", "spectral_norm"})
    needed: ClassVar[dict[str, Any]] = {"layout": "spade"}

    def writes(self, network: Network) -> bool:
        return super().writes(network) and network.config["layout"] == "spade"

    def check(self, network: Network) -> None:
        super().check(network)
        if network.config["norm"] == "none":
            raise ValueError(f"this {type(network).__name__} has norm 'none', the original code knows no such network")

    def sizes(self, state: State) -> dict[str, Any]:
        scales, last = largest_numbers(r"discriminator_(\d)\.model(\d)\.", state)
        spectral = "discriminator_0.model1.0.0.weight_orig" in state
        return super().sizes(state) | {
            **{"scales": scales + 1, "layers": last - 1, "layout": "spade", "spectral_norm": spectral}
        }

    def _norm_of(self, state: State, wanted: Norm | None) -> tuple[Norm, list[str]]:
        if wanted == "none":
            raise ValueError("its middle layers have no biases, so that a norm follows them: leave norm none out")
        return super()._norm_of(state, wanted or (None if has_norm_weights(state) else "instance"))

    def name(self, ours: str, network: Network) -> str:
        _, scale, _, place, what = former_spectral(ours).split(".")
        layer, inside = layer_and_place(int(place))
        last = layer == network.config["layers"] + 1
        return f"discriminator_{scale}.model{layer}.{'' if layer == 0 or last else '0.'}{inside}.{what}"


class StyleEncoderLayout(_Gaugan):
    network = StyleEncoder
    mark = "layer1.0.weight"
    free = frozenset({"in_channels", "width", "latent"})

    def sizes(self, state: State) -> dict[str, Any]:
        mean = state.get("fc_mu.weight")
        if mean is None or mean.ndim != 2:
            raise ValueError(f"it looks like a {self.network.__name__}, but there is no linear layer fc_mu.weight")
        return super().sizes(state) | {"latent": mean.shape[0]}

    def _norm(self, state: State, wanted: Norm | None) -> tuple[dict[str, Any], list[str]]:
        if wanted not in (None, "instance"):
            raise ValueError(
                f"it is a {self.network.__name__}, whose norms are instance norms: leave norm {wanted} out"
            )
        return {}, []

    def name(self, ours: str, network: Network) -> str:
        part, *rest = former_spectral(ours).split(".")
        if part == "layers":
            return f"layer{int(rest[0]) // 3 + 1}.0.{rest[-1]}"
        return ".".join(_OURS.get(word, word) for word in (part, *rest))
