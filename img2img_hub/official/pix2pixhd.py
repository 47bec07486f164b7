"""How pix2pixHD's code writes its generators, its encoder and its discriminators.

    python -m img2img_hub convert latest_net_G.pth --edges True --output models/cityscapes

The global generator's names are those of CycleGAN's ResNet, and so are the encoder's: how often they halve tells them
apart. An enhancer stands around the global generator as model1_1, what leads into it, and model1_2, what leads out.
"""

import re
from typing import Any, ClassVar

from img2img_hub.networks import CoarseToFineGenerator, InstanceEncoder, MultiScaleDiscriminator, Network
from img2img_hub.networks.blocks import Norm
from img2img_hub.networks.instance_encoder import MEMORY
from img2img_hub.official.layout import Layout, State, largest_numbers, layer_and_place, places_of

_HALVINGS = 4
_CYCLEGAN = 2


class _Biased(Layout):
    """Its convolutions have a bias beside any norm, and its networks a norm: batch or instance."""

    def instance_biases(self, network: Network) -> set[str]:
        return set()

    def check(self, network: Network) -> None:
        super().check(network)
        if network.config["norm"] == "none":
            raise ValueError(f"this {type(network).__name__} has norm 'none', the original code knows no such network")

    def _norm_of(self, state: State, wanted: Norm | None) -> tuple[Norm, list[str]]:
        if wanted == "none":
            raise ValueError(f"it is a {self.network.__name__} of pix2pixHD, which has none without norm: leave it out")
        return super()._norm_of(state, wanted)


class CoarseToFine(_Biased):
    network = CoarseToFineGenerator
    mark, kernel = "model.1.weight", (7, 7)
    free = (Layout.free - {"dropout"}) | {
        "blocks",
        "enhancers",
        "enhancer_blocks",
        "feature_channels",
        "layout",
        "styles",
    }
    elsewhere = frozenset({"centres"})  # features_clustered_010.npy
    asks = frozenset({"features"})

    def recognises(self, state: State) -> bool:
        alone = has_blocks(state) and not places_of("filt", state) and halvings(state) != _CYCLEGAN
        return ("model1_1.1.weight" in state or alone) and super().recognises(state)

    def describe(self) -> str:
        return f"{super().describe()}, of {_HALVINGS} halvings"

    def check(self, network: Network) -> None:
        super().check(network)
        if network.config["norm"] == "batch" and network.config["layout"] != "pix2pixhd":
            raise ValueError(
                f"this {type(network).__name__} has layout {network.config['layout']!r} and batch norm, so no biases "
                "before its norms, where the original code has them"
            )

    def sizes(self, state: State) -> dict[str, Any]:
        if (found := halvings(state)) != _HALVINGS:
            raise ValueError(
                f"it looks like a {self.network.__name__}, but its global generator halves {found} times, and those "
                f"here {_HALVINGS} times"
            )
        inner, in_channels = self.shape(state, self.mark)[:2]
        enhancers = max((int(name[5]) for name in state if re.match(r"model[1-9]_2\.", name)), default=0)
        outer = f"model{enhancers}_2" if enhancers else "model"
        convolutions = places_of("weight", state, module=outer, ndim=4)
        out_channels = self.shape(state, f"{outer}.{max(convolutions, default=0)}.weight")[0]
        width = self.shape(state, f"model{enhancers}_1.1.weight")[0] if enhancers else inner
        blocks = {"blocks": len(places_of(r"conv_block\..+", state))}
        if enhancers:
            blocks["enhancer_blocks"] = len(places_of(r"conv_block\..+", state, module=outer))
        found_sizes = {"in_channels": in_channels, "out_channels": out_channels, "width": width}
        return found_sizes | {"enhancers": enhancers, **blocks, "layout": "pix2pixhd"}

    def answers(self, state: State, sizes: dict[str, Any], asked: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        features = asked.get("features")
        if features is None:
            return {}, [
                "how many of its source's channels are features of an encoder (net_E) does not show: taken for none"
            ]
        if not 0 <= features < sizes["in_channels"]:
            raise ValueError(f"features must be 0 to {sizes['in_channels'] - 1}, got {features}")
        return {"in_channels": sizes["in_channels"] - features, "feature_channels": features}, []

    def norm_bias(self, state: State) -> str:
        return "model.1.bias"

    def name(self, ours: str, network: Network) -> str:
        part, number, rest = ours.split(".", 2)
        rest = rest.replace("layers.", "conv_block.", 1)
        if part == "coarse":
            return f"model.{number}.{rest}"
        side = 1 if part == "fronts" else 2
        return f"model{int(number) + 1}_{side}.{rest}"

    def order(self, theirs: str) -> Any:
        return theirs.partition(".")[0]  # model, model1_1, model1_2, model2_1 …


class InstanceEncoderLayout(_Biased):
    network = InstanceEncoder
    mark, kernel = "model.1.weight", (7, 7)
    free = (Layout.free - {"dropout"}) | {"halvings", "classes"}
    elsewhere = MEMORY

    def recognises(self, state: State) -> bool:
        plain = not has_blocks(state) and not places_of("filt", state) and halvings(state) != _CYCLEGAN
        return plain and super().recognises(state)

    def describe(self) -> str:
        return f"{super().describe()}, without blocks"

    def sizes(self, state: State) -> dict[str, Any]:
        found = halvings(state)
        out_channels = self.shape(state, f"model.{5 + 6 * found}.weight")[0]
        return super().sizes(state) | {"out_channels": out_channels, "halvings": found}

    def norm_bias(self, state: State) -> str:
        return "model.1.bias"


class _Scales(_Biased):
    """Discriminators of several scales; the highest number is of the finest one, which is our first."""

    network = MultiScaleDiscriminator
    kernel = (4, 4)
    free = frozenset({"in_channels", "scales", "layers", "width", "norm"})
    needed: ClassVar[dict[str, Any]] = {"layout": "pix2pixhd"}

    def writes(self, network: Network) -> bool:
        return super().writes(network) and network.config["layout"] == "pix2pixhd"

    def sizes(self, state: State) -> dict[str, Any]:
        return super().sizes(state) | {"layout": "pix2pixhd"}

    def scale(self, ours: str, network: Network) -> tuple[int, int, str]:
        """(the original's scale, the place in its stack, what) of our judges.SCALE.layers.PLACE.WHAT."""
        _, scale, _, place, what = ours.split(".")
        return int(network.config["scales"]) - 1 - int(scale), int(place), what

    def order(self, theirs: str) -> Any:
        return [int(number) for number in re.findall(r"\d+", theirs)]


class ScalesByLayer(_Scales):
    """As it writes them to match features: a module for each layer with its norm."""

    mark = "scale0_layer0.0.weight"

    def sizes(self, state: State) -> dict[str, Any]:
        scales, layers = largest_numbers(r"scale(\d)_layer(\d)\.", state)
        return super().sizes(state) | {"scales": scales + 1, "layers": layers - 1}

    def norm_bias(self, state: State) -> str:
        return "scale0_layer1.0.bias"

    def name(self, ours: str, network: Network) -> str:
        scale, place, what = self.scale(ours, network)
        layer, inside = layer_and_place(place)
        return f"scale{scale}_layer{layer}.{inside}.{what}"


class ScalesApart(_Scales):
    """As it writes them with --no_ganFeat_loss: a module for each scale."""

    mark = "layer0.0.weight"

    def writes(self, network: Network) -> bool:
        return False  # without that option its code reads the other ones

    def sizes(self, state: State) -> dict[str, Any]:
        scales, last = largest_numbers(r"layer(\d)\.(\d+)\.", state)
        return super().sizes(state) | {"scales": scales + 1, "layers": (last - 2) // 3}

    def norm_bias(self, state: State) -> str:
        return "layer0.2.bias"

    def name(self, ours: str, network: Network) -> str:
        scale, place, what = self.scale(ours, network)
        return f"layer{scale}.{place}.{what}"


def halvings(state: State) -> int:
    """How often a ResNet or an encoder of these names halves: convolutions model.4, model.7 … before the first block,
    or half of those before the last one."""
    count = 0
    while f"model.{4 + 3 * count}.weight" in state:
        count += 1
    return count if has_blocks(state) else count // 2


def has_blocks(state: State) -> bool:
    return bool(places_of(r"conv_block\..+", state))
