"""pix2pixHD's and SPADE's checkpoints: every layout computes the same here, and goes back as it was.

python -m pytest tests/test_official_hd.py
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from img2img_hub import CoarseToFineGenerator, MultiScaleDiscriminator, Network, SpadeGenerator
from img2img_hub.networks import InstanceEncoder, StyleEncoder
from img2img_hub.networks.blocks import set_norm_statistics
from img2img_hub.official.file import read_official, save_official, to_official
from img2img_hub.official.layouts import find_layout
from tests.originals import assert_same, save
from tests.originals_hd import (
    OriginalHD,
    OriginalHDScales,
    OriginalSpadeGenerator,
    OriginalSpadeScales,
    OriginalStyleEncoder,
    as_before_1_0,
    original_hd_encoder,
    spectral,
)

# name: (the original's module, what it must become here, pixels a side, what the user says)
LAYOUTS: dict[str, tuple[Callable[..., nn.Module], Callable[..., Network], int, dict[str, object]]] = {}
for norm in ("batch", "instance"):
    for enhancers in (0, 1, 2):
        many = {"enhancers": enhancers, "blocks": 2, "enhancer_blocks": 3, "norm": norm}
        LAYOUTS[f"HD G, {enhancers} enhancers, {norm}"] = (
            partial(OriginalHD, **many, width=2, bands=5, made=3),
            partial(
                CoarseToFineGenerator,
                **(many | ({} if enhancers else {"enhancer_blocks": 3})),
                width=2,
                in_channels=5,
                layout="pix2pixhd",
            ),
            128,
            {},
        )
    LAYOUTS[f"HD E, {norm}"] = (
        partial(original_hd_encoder, width=2, bands=3, made=3, norm=norm),
        partial(InstanceEncoder, width=2, norm=norm),
        32,
        {},
    )
    for scales, layers in ((1, 3), (2, 3), (3, 2)):
        for by_layer in (True, False):
            LAYOUTS[f"HD D, {scales} scales, {layers} layers, {norm}, {'by layer' if by_layer else 'apart'}"] = (
                partial(OriginalHDScales, scales, layers, width=4, bands=6, norm=norm, by_layer=by_layer),
                partial(MultiScaleDiscriminator, scales=scales, layers=layers, width=4, norm=norm, layout="pix2pixhd"),
                64,
                {},
            )
    for depth, size in (("normal", 64), ("more", 128), ("most", 256)):
        for latent in (0, 3):
            for normed in (True, False):
                LAYOUTS[f"SPADE G, {depth}, {norm}{', VAE' * bool(latent)}{', spectral' * normed}"] = (
                    partial(OriginalSpadeGenerator, 2, 4, 3, norm=norm, depth=depth, latent=latent, spectral=normed),
                    partial(
                        SpadeGenerator,
                        **{"width": 2, "in_channels": 4, "hidden": 8, "depth": depth, "norm": norm, "latent": latent},
                        spectral_norm=normed,
                        latent_side=2 if latent else 8,
                    ),
                    size,
                    {} if depth == "most" else {"depth": depth},
                )
    for scales, layers in ((1, 3), (2, 3), (2, 4)):
        for normed in (True, False):
            LAYOUTS[f"SPADE D, {scales} scales, {layers} layers, {norm}{', spectral' * normed}"] = (
                partial(OriginalSpadeScales, scales, layers, width=4, bands=6, norm=norm, normed=normed),
                partial(
                    MultiScaleDiscriminator,
                    **{"scales": scales, "layers": layers, "width": 4, "norm": norm, "spectral_norm": normed},
                    layout="spade",
                ),
                64,
                {},
            )
LAYOUTS["SPADE E"] = (
    partial(OriginalStyleEncoder, 2, 3, 5),
    partial(StyleEncoder, width=2, latent=5),
    96,
    {},
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(original: nn.Module) -> nn.Module:
    """With every tensor that it saves drawn at random but the vectors of spectral norms, which two steps have found.
    Not so large that layer after layer multiplies what is rounded."""
    torch.manual_seed(0)
    for name, value in original.state_dict().items():
        if name.endswith("num_batches_tracked"):
            value.fill_(7)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif not name.endswith(("weight_u", "weight_v")):
            value.normal_(0, 0.3 if value.dim() < 2 else min(0.3, value[0].numel() ** -0.5))
    for layer in original.modules():
        for hook in layer._forward_pre_hooks.values():
            for _ in range(2):
                hook(layer, None)
    return original.eval()


def computed(network: nn.Module, image: Tensor, latent: int) -> tuple[Tensor, ...]:
    with torch.inference_mode():
        if isinstance(network, InstanceEncoder):
            return (network.layers(image),)
        style = torch.linspace(-1, 1, 2 * latent).view(2, -1) if latent else None
        made = network(image, style) if latent else network(image)
    return made if isinstance(made, tuple) else (made,)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_checkpoint_computes_what_the_original_computed_and_goes_back_as_it_was(name):
    make, ours, size, says = LAYOUTS[name]
    original = trained(make())
    state = original.state_dict()
    read = read_official(save(state), **says)
    assert read.network.config == ours().config
    assert not read.network.training
    set_norm_statistics(read.network, "running")
    back = to_official(read.network)
    if name.endswith("apart"):  # that is how the code is told by an option; it is written as it is without
        by_layer = OriginalHDScales(*make.args, **(make.keywords | {"by_layer": True})).state_dict()
        assert list(back) == list(by_layer)
        assert sorted(float(v.double().sum()) for v in back.values()) == sorted(
            float(v.double().sum()) for v in state.values()
        )
    else:
        assert_same(back, state)
    save_official(read.network, "back.pth")
    assert_same(read_official("back.pth", **says).network.state_dict(), read.network.state_dict())

    image = torch.rand(2, read.network.in_channels, size, size) * 2 - 1
    latent = int(read.network.config.get("latent", 0)) if name.startswith("SPADE G") else 0
    for found, expected in zip(computed(read.network, image, latent), computed(original, image, latent), strict=True):
        assert expected.std() > 1e-3
        assert float((found - expected).abs().max()) <= 1e-5 * max(1, float(expected.abs().max()))


@pytest.mark.parametrize(
    ("make", "tensors", "parameters", "config"),
    [
        (partial(OriginalHD, 64, 36, 3, "instance", 0, 9, 3), 56, 182_546_755, {"width": 64, "enhancers": 0}),
        (partial(OriginalHD, 32, 36, 3, "instance", 1, 9, 3), 74, 182_857_059, {"width": 32, "enhancers": 1}),
        (partial(OriginalHD, 32, 3, 3, "instance", 2, 9, 3), None, 730_984_451, {"width": 32, "enhancers": 2}),
        (partial(original_hd_encoder, 16, 3, 3, "instance"), None, 788_803, {"width": 16, "halvings": 4}),
        (partial(OriginalHDScales, 2, 3, 64, 39, "instance"), 20, 5_603_202, {"scales": 2, "in_channels": 39}),
        (
            partial(OriginalSpadeGenerator, 64, 184, 3, "batch", "normal", hidden=128),
            234,
            97_480_899,
            {"width": 64, "hidden": 128, "in_channels": 184},
        ),
        (
            partial(OriginalSpadeGenerator, 64, 36, 3, "batch", "more", hidden=128),
            234,
            93_048_003,
            {"width": 64, "in_channels": 36},
        ),
        (partial(OriginalSpadeGenerator, 64, 36, 3, "batch", "most", hidden=128), 272, None, {"depth": "most"}),
        (partial(OriginalSpadeScales, 2, 4, 64, 184 + 3, "instance"), None, None, {"layers": 4, "layout": "spade"}),
        (partial(OriginalStyleEncoder, 64, 3, 256), None, 10_463_424, {"width": 64, "latent": 256}),
    ],
)
def test_the_originals_written_here_are_as_large_as_the_published_ones(make, tensors, parameters, config):
    with torch.device("meta"):
        original = make()
    state = original.state_dict()
    assert tensors in (None, len(state))
    assert parameters in (None, sum(parameter.numel() for parameter in original.parameters()))
    layout = find_layout(state)
    depth = None if "depth" in config or layout.network is not SpadeGenerator else "normal"
    found, _ = layout.arguments(state, dropout=None, norm=None, depth=depth, features=None)
    assert config.items() <= found.items()


def test_vectors_that_old_files_lack_are_computed_to_the_same_weights():
    original = trained(OriginalSpadeScales(2, 3, 4, 6, "instance"))
    read = read_official(save(as_before_1_0(original.state_dict())))
    assert any(note.startswith("6 vectors v of its spectral norms") for note in read.notes)
    image = torch.rand(1, 6, 64, 64)
    for found, expected in zip(computed(read.network, image, 0), computed(original, image, 0), strict=True):
        assert torch.allclose(found, expected, atol=1e-5)
    assert spectral(nn.Conv2d(1, 1, 1), on=False).weight.shape == (1, 1, 1, 1)


def test_channels_that_are_features_are_said():
    state = trained(OriginalHD(2, 5, 3, "instance", 0, 1, 3)).state_dict()
    assert read_official(save(state)).network.config["feature_channels"] == 0
    read = read_official(save(state), features=3).network
    assert (read.config["in_channels"], read.config["feature_channels"]) == (2, 3)
    assert_same(to_official(read), state)
    with pytest.raises(ValueError, match="features must be 0 to 4, got 5"):
        read_official(save(state), features=5)


GLOBAL = partial(OriginalHD, 2, 5, 3, "instance", 0, 1, 3)
SPADE = partial(OriginalSpadeGenerator, 2, 4, 3, "batch", depth="normal")


@pytest.mark.parametrize(
    ("make", "change", "says", "message"),
    [
        (SPADE, None, {}, r"say --depth normal .*or --depth more"),
        (SPADE, None, {"depth": "most"}, "has no blocks up_4, which depth most does not fit"),
        (partial(SPADE, depth="most"), None, {"depth": "more"}, "has blocks up_4, which depth more does not fit"),
        (SPADE, None, {"depth": "normal", "norm": "instance"}, "are batch norms, which norm instance does not fit"),
        (SPADE, None, {"depth": "normal", "dropout": 0.5}, "SpadeGenerator, which has no dropout"),
        (SPADE, None, {"depth": "normal", "features": 3}, "SpadeGenerator, to which features 3 says nothing"),
        (SPADE, lambda s: s.pop("up_2.conv_s.weight_u"), {"depth": "normal"}, r"1 tensors are missing \(first: up_2"),
        (
            SPADE,
            lambda s: s.update({"a.weight_orig": torch.zeros(4), "a.weight_u": torch.zeros(4)}),
            {"depth": "normal"},
            r"2 are not its own \(first: a\.weight_orig",
        ),
        (
            partial(SPADE, latent=3),
            lambda s: s.update({"fc.weight": torch.zeros(64, 3), "fc.bias": torch.zeros(64)}),
            {"depth": "normal"},
            "begins as 2 pixels, of an image wider than high",
        ),
        (GLOBAL, None, {"norm": "none"}, "CoarseToFineGenerator of pix2pixHD, which has none without norm"),
        (GLOBAL, None, {"depth": "normal"}, "to which depth normal says nothing"),
        (GLOBAL, lambda s: s.pop("model.16.conv_block.1.bias"), {}, r"1 tensors are missing \(first: model\.16"),
        (
            GLOBAL,
            lambda s: s.update({"model.17.weight": s.pop("model.13.weight")}),
            {},
            "its global generator halves 3 times, and those here 4 times",
        ),
        (
            partial(OriginalHDScales, 2, 3, 4, 6, "instance"),
            lambda s: s.pop("scale1_layer4.0.bias"),
            {},
            r"missing \(first: scale1_layer4\.0\.bias",
        ),
        (
            partial(OriginalSpadeScales, 2, 3, 4, 6, "instance"),
            lambda s: s.update({"discriminator_0.model9.0.weight": torch.zeros(1)}),
            {},
            "layers must be a whole number from 1 to 6, got 8",
        ),
        (partial(OriginalStyleEncoder, 2, 3, 5), lambda s: s.pop("fc_mu.weight"), {}, "no linear layer fc_mu"),
        (partial(OriginalStyleEncoder, 2, 3, 5), None, {"norm": "none"}, "whose norms are instance norms"),
    ],
)
def test_what_does_not_fit_or_is_not_said_is_refused(make, change, says, message):
    state = dict(trained(make()).state_dict())
    if change:
        change(state)
    with pytest.raises(ValueError, match=message) as error:
        read_official(save(state), **says)
    assert str(error.value).startswith("latest_net_G.pth: ")


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: CoarseToFineGenerator(width=2, blocks=1, norm="none"), "norm 'none', the original code knows no such"),
        (lambda: CoarseToFineGenerator(width=2, blocks=1, dropout=0.5), "dropout 0.5"),
        (lambda: CoarseToFineGenerator(width=2, blocks=1, norm="batch"), "layout 'pix2pix' and batch norm"),
        (lambda: MultiScaleDiscriminator(width=2), "a MultiScaleDiscriminator has no place"),
        (lambda: MultiScaleDiscriminator(width=2, layout="pix2pixhd", spectral_norm=True), "spectral_norm True"),
        (lambda: MultiScaleDiscriminator(width=2, layout="spade", norm="none"), "norm 'none'"),
    ],
)
def test_what_the_originals_cannot_build_is_not_written(network, message):
    with pytest.raises(ValueError, match=message):
        to_official(network())
