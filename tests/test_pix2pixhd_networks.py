"""pix2pixHD's generators and encoder: sizes, biases, what they see, and how one stage grows out of another."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from img2img_hub import CoarseToFineGenerator, MultiScaleDiscriminator, Network, PatchDiscriminator
from img2img_hub.networks import InstanceEncoder
from img2img_hub.networks.instance_encoder import means_by_instance

HD = {"layout": "pix2pixhd"}
TINY = {"in_channels": 2, "width": 4, "blocks": 1, "enhancer_blocks": 1} | HD


def convolutions(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]


# FIDELITY_HD_SPADE A7: parameters and tensors of the originals.
@pytest.mark.parametrize(
    ("arguments", "parameters", "tensors"),
    [
        ({"in_channels": 36, "width": 64, "enhancers": 0}, 182_546_755, 56),
        ({"in_channels": 3, "width": 64, "enhancers": 0}, 182_443_267, 56),
        ({"in_channels": 36, "width": 32, "enhancers": 1}, 182_857_059, 74),
        ({"in_channels": 3, "width": 32, "enhancers": 1}, 182_701_827, 74),
        ({"in_channels": 3, "width": 32, "enhancers": 2}, 730_984_451, None),
    ],
)
def test_size_of_the_generators_is_that_of_the_originals(arguments, parameters, tensors):
    with torch.device("meta"):
        made = CoarseToFineGenerator(**arguments, **HD)
    assert made.parameter_count == parameters
    assert len(made.state_dict()) == (tensors or len(made.state_dict()))


def test_size_of_the_encoder_is_that_of_the_original():
    with torch.device("meta"):
        assert InstanceEncoder().parameter_count == 788_803


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_biases_are_kept_under_any_norm_and_start_as_pytorch_draws_them(norm):
    torch.manual_seed(0)
    for network in (
        CoarseToFineGenerator(width=8, blocks=1, norm=norm, **HD),
        CoarseToFineGenerator(width=8, blocks=1, enhancers=0, norm=norm, **HD),
        InstanceEncoder(norm=norm, halvings=2),
    ):
        for conv in convolutions(network):
            assert conv.bias is not None
            assert conv.bias.abs().max() > 0
            if conv.weight.numel() > 5000:
                assert abs(conv.weight.std().item() - 0.02) < 2e-3
    plain = convolutions(CoarseToFineGenerator(width=2, blocks=1, norm=norm))
    assert all((conv.bias == 0).all() for conv in plain if conv.bias is not None)
    assert sum(conv.bias is None for conv in plain) == (len(plain) - 1 if norm == "batch" else 0)


def normed(x):
    return F.relu(F.instance_norm(x))


def reflected(x, conv, border):
    return F.conv2d(F.pad(x, (border,) * 4, mode="reflect"), conv.weight, conv.bias)


def plain_global(convs, x, *, blocks):
    """The global generator without the layers that make the image."""
    first, *rest = convs
    x = normed(reflected(x, first, 3))
    for conv in rest[:4]:
        x = normed(F.conv2d(x, conv.weight, conv.bias, stride=2, padding=1))
    rest = rest[4:]
    for one, two in zip(rest[: 2 * blocks : 2], rest[1 : 2 * blocks : 2], strict=True):
        x = x + F.instance_norm(reflected(normed(reflected(x, one, 1)), two, 1))
    for conv in rest[2 * blocks : 2 * blocks + 4]:
        x = normed(F.conv_transpose2d(x, conv.weight, conv.bias, stride=2, padding=1, output_padding=1))
    return x


def test_the_global_generator_alone_equals_a_plain_writing_of_it():
    torch.manual_seed(0)
    network = CoarseToFineGenerator(**TINY | {"enhancers": 0, "blocks": 2})
    assert (network.multiple, network.min_size, network.outermost) == (16, 32, [])
    image = torch.randn(2, 2, 32, 48)
    convs = convolutions(network)
    expected = torch.tanh(reflected(plain_global(convs, image, blocks=2), convs[-1], 3))
    assert torch.allclose(network(image), expected, atol=1e-5)
    with pytest.raises(ValueError, match="multiples of 16 and at least 32, got 40×32"):
        network(image[..., :32].repeat(1, 1, 2, 1)[:, :, :40])


def test_an_old_config_is_loaded_and_means_the_old_biases(tmp_path):
    network = CoarseToFineGenerator(width=2, blocks=1)
    network.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config.pop("layout"), config.pop("feature_channels")) == ("pix2pix", 0)
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert Network.from_pretrained(tmp_path).config == network.config


# --- features ---------------------------------------------------------------------------------------------------------


def test_means_are_of_each_instance_of_each_sample():
    torch.manual_seed(0)
    features = torch.randn(3, 2, 4, 5, requires_grad=True)
    instances = torch.randint(-1, 3, (3, 1, 4, 5), dtype=torch.int32)
    instances[1] = 26_001  # class · 1000 + number, and one instance alone
    instances[2, 0, 0, 0] = 33_007
    made = means_by_instance(features, instances)
    for sample in range(3):
        for number in instances[sample].unique():
            inside = instances[sample, 0] == number
            for channel in range(2):
                values = made[sample, channel][inside]
                assert torch.allclose(values, features[sample, channel][inside].mean().expand_as(values), atol=1e-6)
    weights = torch.randn(3, 2, 4, 5)
    (slope,) = torch.autograd.grad((made * weights).sum(), features)
    assert torch.allclose(slope, means_by_instance(weights, instances), atol=1e-6), "shared alike"
    half = means_by_instance(features.bfloat16(), instances)
    assert half.dtype == torch.float32


def test_the_encoder_gives_one_value_an_instance():
    torch.manual_seed(0)
    network = InstanceEncoder(width=4, halvings=2)
    instances = torch.zeros(1, 1, 16, 24, dtype=torch.int32)
    instances[..., 12:] = 7
    features = network(torch.randn(1, 3, 16, 24), instances)
    assert features.shape == (1, 3, 16, 24)
    assert features.abs().max() <= 1
    assert len(features[0, 0].unique()) == 2


def test_the_generator_sees_features_beside_the_source_at_all_sizes():
    torch.manual_seed(0)
    wide = CoarseToFineGenerator(**TINY | {"in_channels": 5})
    network = CoarseToFineGenerator(**TINY, feature_channels=3)
    network.load_state_dict(wide.state_dict())
    source, features = torch.randn(2, 2, 64, 64), torch.randn(2, 3, 64, 64)
    assert network.in_channels == 2
    assert torch.equal(network(source, features), wide(torch.cat([source, features], 1)))
    assert torch.equal(network(source), network(source, torch.zeros_like(features)))


# --- the second stage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("less", [0, 1])
def test_an_enhancer_grows_around_a_smaller_generator(less):
    torch.manual_seed(0)
    small = CoarseToFineGenerator(**TINY | {"width": 8, "enhancers": less})
    large = CoarseToFineGenerator(**TINY | {"enhancers": less + 1})
    before = {name: value.clone() for name, value in large.state_dict().items()}
    said = large.take_over(small)
    assert said is not None
    assert "global generator" in said
    after = large.state_dict()
    known = {name: value for name, value in small.state_dict().items() if after.get(name) is not None}
    image_layers = len(convolutions(small)) - len([name for name in known if name.endswith("weight")])
    assert image_layers == 1, "all but the one that made the image"
    assert all(torch.equal(after[name], value) for name, value in known.items())
    untouched = {name for name in before if name not in known}
    assert all(torch.equal(after[name], before[name]) for name in untouched)
    outermost = {id(parameter) for parameter in large.outermost}
    assert untouched == {name for name, parameter in large.named_parameters() if id(parameter) in outermost}


def test_the_coarser_discriminators_take_over_and_the_finest_is_new():
    torch.manual_seed(0)
    arguments = {"in_channels": 3, "width": 2, "layers": 1, "layout": "pix2pixhd", "norm": "instance"}
    small, large = (MultiScaleDiscriminator(scales=scales, **arguments) for scales in (2, 3))
    new = large.judges[0].state_dict()["layers.0.weight"].clone()
    assert "2 scales" in str(large.take_over(small))
    assert torch.equal(large.judges[0].state_dict()["layers.0.weight"], new)
    image = torch.randn(1, 3, 32, 32)
    halved = F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
    assert all(map(torch.equal, large(image)[1:], small(halved)))


@pytest.mark.parametrize(
    ("network", "other"),
    [
        (CoarseToFineGenerator(**TINY), CoarseToFineGenerator(**TINY | {"enhancers": 0})),  # the width is another
        (CoarseToFineGenerator(**TINY), CoarseToFineGenerator(**TINY | {"enhancers": 0, "width": 8, "blocks": 2})),
        (CoarseToFineGenerator(**TINY | {"enhancers": 0, "width": 8}), CoarseToFineGenerator(**TINY)),
        (MultiScaleDiscriminator(width=2, scales=2), MultiScaleDiscriminator(width=2, scales=3)),
        (MultiScaleDiscriminator(width=2, scales=3), MultiScaleDiscriminator(width=4, scales=2)),
        (MultiScaleDiscriminator(width=2, scales=2), PatchDiscriminator(width=2)),
        (PatchDiscriminator(width=2), PatchDiscriminator(width=2, layers=2)),
    ],
)
def test_what_does_not_fit_is_not_taken_over(network, other):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert network.take_over(other) is None
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
