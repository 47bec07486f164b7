"""GauGAN's networks are the paper's and its authors': counts, layers, norms, where spectral norm stands, the style.

python -m pytest tests/test_spade.py
"""

import math
import re
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from img2img_hub import Network, SpadeGenerator
from img2img_hub.networks import StyleEncoder
from img2img_hub.networks.blocks import Conv2d, initialise_xavier, normalise_spectrally, set_norm_statistics
from img2img_hub.networks.spade import SpadeNorm
from tests.runs import ROOT

TINY = {"width": 2, "hidden": 4}


def lively(network):
    """With weights and statistics that leave nothing at 0 or 1; but for what spectral norm has measured already."""
    made = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point() and "parametrizations" not in name:
                drawn = torch.randn(value.shape, generator=made)
                value.copy_(drawn.abs() + 0.5 if "var" in name else 0.3 * drawn)
    return network


# --- layers, as counted in the authors' networks ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parameters", "tensors"),
    [
        ({"in_channels": 184}, 97_480_899, 234),  # COCO-Stuff: 182 classes, unknown, edges
        ({"in_channels": 151}, 96_492_483, 234),  # ADE20K
        ({"in_channels": 36, "depth": "more"}, 93_048_003, 234),  # Cityscapes
        ({"in_channels": 12}, 92_329_155, 234),
        ({"in_channels": 12, "width": 16}, 10_760_691, 234),
        ({"in_channels": 12, "width": 8}, 4_463_419, 234),
        ({"in_channels": 36, "depth": "most"}, None, 272),
        ({"in_channels": 184, "latent": 256}, 97_480_899 + 16_842_752 - 1_696_768, 234),
    ],
)
def test_generator_is_of_the_original_size(arguments, parameters, tensors):
    with torch.device("meta"):
        made = SpadeGenerator(**arguments)
    assert made.parameter_count == parameters or parameters is None
    assert len(made.state_dict()) == tensors


def test_style_encoder_is_of_the_original_size():
    with torch.device("meta"):
        made = StyleEncoder()
    assert made.parameter_count == 10_463_424
    convolutions = [layer for layer in made.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [64, 128, 256, 512, 512, 512]
    assert all(is_parametrized(layer) and layer.bias is None for layer in convolutions)


@pytest.mark.parametrize(
    ("depth", "channels", "multiple", "doubled"),
    [
        ("normal", [32, 32, 32, 32, 16, 8, 4, 2], 32, {1, 3, 4, 5, 6}),
        ("more", [32, 32, 32, 32, 16, 8, 4, 2], 64, {1, 2, 3, 4, 5, 6}),
        ("most", [32, 32, 32, 32, 16, 8, 4, 2, 1], 128, {1, 2, 3, 4, 5, 6, 7}),
    ],
)
def test_blocks_and_doublings(depth, channels, multiple, doubled):
    network = SpadeGenerator(depth=depth, **TINY)
    found = [
        (block.conv_0.in_channels, block.conv_0.out_channels, block.conv_1.out_channels) for block in network.blocks
    ]
    pairs = list(pairwise(channels))
    assert found == [(inner, min(inner, outer), outer) for inner, outer in pairs]
    assert [block.conv_skip is not None for block in network.blocks] == [inner != outer for inner, outer in pairs]
    assert (network.multiple, network.doubled) == (multiple, doubled)
    assert network.image.in_channels == channels[-1]


def test_spectral_norm_stands_on_the_blocks_convolutions_alone():
    network = SpadeGenerator(latent=3, **TINY)
    found = {name for name, layer in network.named_modules() if is_parametrized(layer)}
    assert found == {
        f"blocks.{number}.{name}"
        for number in range(7)
        for name in ("conv_0", "conv_1", *(["conv_skip"] if number >= 3 else []))
    }
    assert not any(is_parametrized(layer) for layer in SpadeGenerator(spectral_norm=False, **TINY).modules())


@pytest.mark.parametrize("latent", [0, 64])
def test_weights_begin_as_xavier_would_have_them_0_02_times_as_wide(latent):
    torch.manual_seed(0)
    networks = [SpadeGenerator(in_channels=5, width=8, hidden=64, latent=latent), StyleEncoder(width=16)]
    layers = [layer for network in networks for layer in network.modules()]
    seen = 0
    for layer in layers:
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        weight = layer.parametrizations.weight.original if is_parametrized(layer) else layer.weight
        assert layer.bias is None or not layer.bias.any()
        if weight.numel() > 4000:
            field = weight[0, 0].numel()
            wanted = 0.02 * math.sqrt(2 / (field * (weight.shape[0] + weight.shape[1])))
            assert weight.std().item() == pytest.approx(wanted, rel=0.06)
            seen += 1
    assert seen > 30


# --- what they compute, written out -----------------------------------------------------------------------------------


def convolved(x, weights, name, **options):
    return F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), **options)


def steered(x, map, weights, name):
    mean, variance = weights[f"{name}.norm.running_mean"], weights[f"{name}.norm.running_var"]
    normal = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
    small = map[:, :, :: map.shape[2] // x.shape[2], :: map.shape[3] // x.shape[3]]
    read = convolved(small, weights, f"{name}.shared", padding=1).clamp(min=0)
    gamma = convolved(read, weights, f"{name}.gamma", padding=1)
    return normal * (1 + gamma) + convolved(read, weights, f"{name}.beta", padding=1)


def leaky(x):
    return torch.where(x > 0, x, 0.2 * x)


def doubled(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize(("depth", "halvings"), [("normal", 5), ("more", 6), ("most", 7)])
@pytest.mark.parametrize("latent", [0, 3])
def test_generator_computes_what_the_paper_says(depth, halvings, latent):
    torch.manual_seed(0)
    network = lively(SpadeGenerator(in_channels=4, depth=depth, latent=latent, latent_side=2, **TINY)).double().eval()
    network.image.weight.data *= 0.01  # within what tanh tells apart
    side = 2 ** (halvings + 1)
    source, z = torch.randn(2, 4, side, side).double(), torch.randn(2, 3).double()
    weights = network.state_dict()
    for name in [name for name in weights if name.endswith(".original")]:
        u, v = (weights[name.replace("original", f"0._{letter}")] for letter in "uv")
        plain = name.replace("parametrizations.weight.original", "weight")
        weights[plain] = weights[name] / (u @ weights[name].flatten(1) @ v)

    x = (
        convolved(source[:, :, :: 2**halvings, :: 2**halvings], weights, "start", padding=1)
        if not latent
        else (z @ weights["start.weight"].T + weights["start.bias"]).reshape(2, 32, 2, 2)
    )
    for number in range(8 if depth == "most" else 7):
        if number not in ((0, 2) if depth == "normal" else (0,)):
            x = doubled(x)
        name = f"blocks.{number}"
        y = convolved(leaky(steered(x, source, weights, f"{name}.norm_0")), weights, f"{name}.conv_0", padding=1)
        y = convolved(leaky(steered(y, source, weights, f"{name}.norm_1")), weights, f"{name}.conv_1", padding=1)
        x = y + (
            convolved(steered(x, source, weights, f"{name}.norm_skip"), weights, f"{name}.conv_skip")
            if number >= 3
            else x
        )
    expected = convolved(leaky(x), weights, "image", padding=1).tanh()
    with torch.no_grad():
        made = network(source, latent=z) if latent else network(source)
    assert made.shape == (2, 3, side, side)
    assert 0.1 < expected.std() < 0.9
    torch.testing.assert_close(made, expected)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_norm_is_without_gain_and_bias_and_steered_by_the_map(norm):
    layer = SpadeNorm(3, map_channels=2, hidden=4, norm=norm)
    initialise_xavier(layer.modules())
    assert not any(name.startswith("norm.") for name, _ in layer.named_parameters())
    x, map = torch.randn(2, 3, 5, 6) * 3 + 1, torch.randn(2, 2, 5, 6)
    axes = (0, 2, 3) if norm == "batch" else (2, 3)
    normal = (x - x.mean(axes, keepdim=True)) / (x.var(axes, keepdim=True, correction=0) + 1e-5).sqrt()
    # γ and β start at nearly nothing
    torch.testing.assert_close(layer(x, map), normal, rtol=0, atol=0.02)
    nn.init.constant_(layer.gamma.bias, 0.5)
    nn.init.constant_(layer.beta.bias, -2.0)
    torch.testing.assert_close(layer(x, map), normal * 1.5 - 2, rtol=0, atol=0.05)


def test_running_averages_are_used_at_test_time_unless_the_image_s_own_are_wanted():
    network = SpadeGenerator(**TINY).train()
    for _ in range(3):
        network(torch.randn(2, 3, 64, 64))
    source = torch.randn(1, 3, 64, 64)
    network.eval()
    with torch.no_grad():
        plain = network(source)
        set_norm_statistics(network, "image")
        assert not torch.allclose(network(source), plain)


def test_several_gpus_share_the_statistics_of_the_norms_without_parameters():
    network = nn.SyncBatchNorm.convert_sync_batchnorm(SpadeGenerator(**TINY))
    converted = [layer for layer in network.modules() if isinstance(layer, nn.SyncBatchNorm)]
    assert len(converted) == 7 * 2 + 4
    assert all(layer.weight is None and layer.running_mean is not None for layer in converted)


def test_style_encoder_computes_what_the_paper_says():
    encoder = lively(StyleEncoder(width=2, latent=5)).eval()
    image = torch.randn(2, 3, 40, 30)
    x = F.interpolate(image, (256, 256), mode="bilinear")
    for layer in (layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d)):
        x = F.conv2d(x, layer.weight, stride=2, padding=1)
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
        x = leaky((x - mean) / (variance + 1e-5).sqrt())
    assert x.shape == (2, 16, 4, 4)
    with torch.no_grad():
        mean, log_variance = encoder(image)
    for made, layer in ((mean, encoder.mean), (log_variance, encoder.log_variance)):
        assert made.shape == (2, 5)
        torch.testing.assert_close(made, layer(x.flatten(1)), rtol=1e-3, atol=1e-4)


# --- z ----------------------------------------------------------------------------------------------------------------


def test_latent_is_zero_unless_given_and_changes_the_image():
    network = lively(SpadeGenerator(latent=6, latent_side=2, **TINY)).eval()
    source = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        plain = network(source)
        assert torch.equal(plain, network(source, latent=torch.zeros(2, 6)))
        assert not torch.allclose(plain, network(source, latent=torch.ones(2, 6)))


def test_latent_of_other_sizes_repeats_the_first_features():
    network = lively(SpadeGenerator(latent=6, latent_side=2, **TINY)).eval()
    z = torch.randn(1, 6)
    begun = []
    network.blocks[0].register_forward_pre_hook(lambda _, inputs: begun.append(inputs[0]))
    with torch.no_grad():
        network(torch.randn(1, 3, 64, 64), latent=z)
        network(torch.randn(1, 3, 64, 128), latent=z)
    assert torch.equal(begun[1], begun[0].repeat_interleave(2, 3))


def test_generator_without_latent_takes_none():
    with pytest.raises(ValueError, match="has no latent"):
        SpadeGenerator(**TINY)(torch.randn(1, 3, 64, 64), latent=torch.zeros(1, 6))


# --- spectral norm ----------------------------------------------------------------------------------------------------


def test_spectral_norm_is_pytorchs_to_the_bit():
    ours, theirs = (Conv2d(3, 8, 3) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    torch.manual_seed(0)
    normalise_spectrally(ours)
    torch.manual_seed(0)
    spectral_norm(theirs)
    image = torch.randn(2, 3, 9, 9)
    for _ in range(3):
        for layer in (ours, theirs):
            (layer(image).square().mean() + layer(image).mean()).backward()
            weight = layer.parametrizations.weight.original
            weight.data -= 0.1 * weight.grad
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        for name, value in ours.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[name]), name
    assert torch.equal(ours.eval()(image), theirs.eval()(image))


def test_loading_takes_no_compiler(tmp_path):
    SpadeGenerator(**TINY).save_weights(tmp_path / "model")
    code = (
        f"import sys; from img2img_hub import Network; Network.from_pretrained({str(tmp_path / 'model')!r}); "
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


# --- as Hub models ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "network",
    [
        SpadeGenerator(in_channels=5, depth="most", norm="instance", **TINY),
        SpadeGenerator(latent=3, latent_side=2, **TINY),
        StyleEncoder(width=2, latent=3),
    ],
    ids=["most", "latent", "encoder"],
)
def test_saved_and_loaded_it_is_the_same(network, tmp_path):
    network = lively(network).eval()
    network.save_weights(tmp_path)
    again = Network.from_pretrained(tmp_path)
    assert again.config == network.config
    image = torch.randn(1, network.in_channels, 256, 256)
    with torch.no_grad():
        for one, other in zip(network(image), again(image), strict=True):
            torch.testing.assert_close(one, other)  # memory at other places rounds otherwise


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": "deep"}, "depth must be 'normal', 'more' or 'most', got 'deep'"),
        ({"norm": "none"}, "norm must be 'batch' or 'instance' in a SPADE generator, got 'none'"),
        ({"width": 3, "depth": "most"}, "width must be even for depth 'most', which ends in half of it, got 3"),
        ({"hidden": 0}, "hidden must be a whole number from 1 to 1024, got 0"),
        ({"latent": -1}, "latent must be a whole number from 0 to 8192, got -1"),
        ({"spectral_norm": 1}, "spectral_norm must be true or false, got 1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        SpadeGenerator(**(TINY | arguments))


@pytest.mark.parametrize("size", [(64, 80), (32, 64)])
def test_sizes_that_do_not_fit_are_refused(size):
    with pytest.raises(ValueError, match=r"multiples of 32 and at least 64, got"):
        SpadeGenerator(**TINY)(torch.zeros(1, 3, *size))
