"""Networks of super-resolution: sizes, what each computes written out plainly, how they start, what they refuse.

python -m pytest tests/test_sr_networks.py
"""

import json
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from img2img_hub import Architecture, Network
from img2img_hub.networks import (
    DISCRIMINATORS,
    GENERATORS,
    CompactGenerator,
    ModifiedSRResNetGenerator,
    RRDBGenerator,
    SRGANDiscriminator,
    SRResNetGenerator,
    UNetDiscriminator,
)
from img2img_hub.networks.blocks import BatchNorm2d, set_norm_statistics
from img2img_hub.objectives.losses import adversarial
from img2img_hub.translation.engine import Engine


# FIDELITY_CUT_SR_INPAINT_VIDEO 16, 17, 19, 20, 23, 24: parameters and tensors of the originals.
@pytest.mark.parametrize(
    ("network", "arguments", "parameters", "tensors"),
    [
        (SRResNetGenerator, {}, 1_547_350, 225),
        (SRResNetGenerator, {"scale": 2}, 1_399_637, 222),
        (ModifiedSRResNetGenerator, {}, 1_517_571, None),
        (RRDBGenerator, {}, 16_697_987, 702),
        (RRDBGenerator, {"blocks": 6}, 4_467_779, None),
        (RRDBGenerator, {"scale": 2}, 16_697_987 + 9 * 9 * 64, 702),  # x2plus: 12 channels in
        (RRDBGenerator, {"scale": 1}, 16_697_987 + 45 * 9 * 64, 702),  # 48 channels in
        (RRDBGenerator, {"scale": 2, "unshuffle": False}, 16_697_987 - 36_928, 700),
        (CompactGenerator, {}, 621_424, None),
        (CompactGenerator, {"blocks": 32}, 1_213_296, None),
        (SRGANDiscriminator, {}, 23_563_649, None),
        (UNetDiscriminator, {}, 4_376_897, None),
    ],
)
def test_size_is_that_of_the_original(network, arguments, parameters, tensors):
    with torch.device("meta"):
        made = network(**arguments)
    assert made.parameter_count == parameters
    assert len(made.state_dict()) == (tensors or len(made.state_dict()))


def convolutions(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def lively(network):
    """With every tensor drawn at random, averages and slopes too, in eval mode. Small, so that rounding stays so."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith(("_u", "_v")):
                continue  # vectors of length 1
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif value.is_floating_point():
                value.normal_(0, 0.3 if value.dim() < 2 else 1.5 * value[0].numel() ** -0.5)
    network.train()
    for _ in range(20):  # which power iterations need
        for layer in network.modules():
            if hasattr(layer, "parametrizations"):
                _ = layer.weight
    return network.eval()


def assert_same_state(one, other):
    states = one.state_dict(), other.state_dict()
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def conv(x, layer, **options):
    return F.conv2d(x, layer.weight, layer.bias, **({"padding": layer.kernel_size[0] // 2} | options))


def normed(x, layer):
    return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias)


def shuffled(x, factor):
    """Channel c · factor² + row · factor + column becomes pixel (row, column) of its block in channel c."""
    count, channels, height, width = x.shape
    x = x.reshape(count, channels // factor**2, factor, factor, height, width).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(count, channels // factor**2, height * factor, width * factor)


def unshuffled(x, factor):
    count, channels, height, width = x.shape
    x = x.reshape(count, channels, height // factor, factor, width // factor, factor).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(count, channels * factor**2, height // factor, width // factor)


def repeated(x, factor):
    return x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def plain_srresnet(network, image):
    """Reads [0, 1], gives [-1, 1]."""
    first, *convs, last = convolutions(network)
    norms = [layer for layer in network.modules() if isinstance(layer, BatchNorm2d)]
    slopes = [layer.weight for layer in network.modules() if isinstance(layer, nn.PReLU)]
    x = start = F.prelu(conv(image, first), slopes.pop(0))
    for _ in range(network.config["blocks"]):
        y = F.prelu(normed(conv(x, convs.pop(0)), norms.pop(0)), slopes.pop(0))
        x = x + normed(conv(y, convs.pop(0)), norms.pop(0))
    x = start + normed(conv(x, convs.pop(0)), norms.pop(0))
    factors = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[network.scale]
    for factor in factors:
        x = F.prelu(shuffled(conv(x, convs.pop(0)), factor), slopes.pop(0))
    assert not convs
    return conv(x, last)


def plain_msrresnet(network, image):
    first, *convs, high, last = convolutions(network)
    x = F.leaky_relu(conv(image, first), 0.1)
    for _ in range(network.config["blocks"]):
        x = x + conv(F.relu(conv(x, convs.pop(0))), convs.pop(0))
    for factor in {2: [2], 3: [3], 4: [2, 2]}[network.scale]:
        x = F.leaky_relu(shuffled(conv(x, convs.pop(0)), factor), 0.1)
    enlarged = F.interpolate(image, scale_factor=network.scale, mode="bilinear", align_corners=False)
    return conv(F.leaky_relu(conv(x, high), 0.1), last) + enlarged


def plain_rrdb(network, image):
    def activated(x):
        return F.leaky_relu(x, 0.2)

    first, *convs, high, last = convolutions(network)
    factor = {1: 4, 2: 2}.get(network.scale, 1) if network.config["unshuffle"] else 1
    start = x = conv(unshuffled(image, factor), first)
    for _ in range(network.config["blocks"]):
        y = x
        for _ in range(3):
            one = activated(conv(y, convs.pop(0)))
            two = activated(conv(torch.cat([y, one], 1), convs.pop(0)))
            three = activated(conv(torch.cat([y, one, two], 1), convs.pop(0)))
            four = activated(conv(torch.cat([y, one, two, three], 1), convs.pop(0)))
            five = conv(torch.cat([y, one, two, three, four], 1), convs.pop(0))
            y = y + 0.2 * five
        x = x + 0.2 * y
    x = start + conv(x, convs.pop(0))
    for _ in range(int(math.log2(network.scale * factor))):
        x = activated(conv(repeated(x, 2), convs.pop(0)))
    assert not convs
    return conv(activated(conv(x, high)), last)


def plain_compact(network, image):
    *convs, last = convolutions(network)
    slopes = [layer.weight for layer in network.modules() if isinstance(layer, nn.PReLU)]
    assert len(convs) == len(slopes) == network.config["blocks"] + 1
    x = image
    for layer, slope in zip(convs, slopes, strict=True):
        assert len(slope) == network.config["width"]
        x = F.prelu(conv(x, layer), slope)
    return shuffled(conv(x, last), network.scale) + repeated(image, network.scale)


TINY = {"width": 6, "blocks": 2}
BUILT = [
    *((SRResNetGenerator, {**TINY, "scale": scale}, plain_srresnet) for scale in (2, 3, 4, 8)),
    (SRResNetGenerator, {**TINY, "in_channels": 1, "out_channels": 2, "blocks": 0}, plain_srresnet),
    *((ModifiedSRResNetGenerator, {**TINY, "scale": scale}, plain_msrresnet) for scale in (2, 3, 4)),
    *((RRDBGenerator, {**TINY, "growth": 4, "scale": scale}, plain_rrdb) for scale in (1, 2, 4, 8)),
    *((RRDBGenerator, {**TINY, "growth": 4, "scale": each, "unshuffle": False}, plain_rrdb) for each in (1, 2, 4)),
    (RRDBGenerator, {**TINY, "growth": 4, "in_channels": 1, "out_channels": 3, "scale": 2}, plain_rrdb),
    *((CompactGenerator, {**TINY, "scale": scale}, plain_compact) for scale in (1, 2, 3, 4, 8)),
]


@pytest.mark.parametrize(("network", "arguments", "plain"), BUILT)
def test_it_computes_what_is_written_plainly(network, arguments, plain):
    made = lively(network(**arguments))
    image = torch.rand(2, made.in_channels, 12, 8)
    with torch.no_grad():
        found = made(image * 2 - 1)
        expected = plain(made, image)
    if network is not SRResNetGenerator:
        expected = expected * 2 - 1
    assert found.shape == (2, made.out_channels, 12 * made.scale, 8 * made.scale)
    assert expected.std() > 0.05
    assert expected.abs().max() > 1, "nothing is cut off"
    assert (found - expected).abs().max() <= 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize(("network", "arguments", "plain"), BUILT)
def test_saved_it_is_loaded_and_the_gradient_reaches_everything(network, arguments, plain, tmp_path):
    made = lively(network(**arguments))
    made.save_pretrained(tmp_path)
    loaded = Network.from_pretrained(tmp_path)
    assert type(loaded) is network
    assert loaded.config == made.config
    image = torch.rand(1, made.in_channels, 8, 12) * 2 - 1
    output = loaded(image)
    assert_same_state(loaded, made)
    assert torch.allclose(output, made(image), atol=1e-5)
    (output * torch.randn_like(output)).sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in loaded.parameters())


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: SRGANDiscriminator(width=2, crop=32), 32),
        (lambda: SRGANDiscriminator(width=2, crop=0, in_channels=1), 41),
        (lambda: UNetDiscriminator(width=2), 40),
    ],
)
def test_judges_are_saved_and_loaded(make, size, tmp_path):
    made = lively(make())
    made.save_pretrained(tmp_path)
    loaded = Network.from_pretrained(tmp_path)
    assert loaded.config == made.config
    image = torch.rand(2, made.in_channels, size, size)
    assert_same_state(loaded, made)
    assert torch.allclose(loaded(image), made(image), atol=1e-5)  # sums of a CPU go by where in memory they begin
    adversarial(loaded(image), real=True, kind="vanilla").backward()
    assert all(parameter.grad is not None for parameter in loaded.parameters())


# --- how they start ---------------------------------------------------------------------------------------------------


def test_dense_convolutions_start_a_tenth_as_wide_and_others_as_pytorch_draws_them():
    torch.manual_seed(0)
    network = RRDBGenerator(blocks=1)
    dense = {id(layer) for layer in convolutions(network.body)}
    for layer in convolutions(network):
        fan_in = layer.weight[0].numel()
        if id(layer) in dense:
            assert (layer.bias == 0).all()
            assert layer.weight.std().item() == pytest.approx(0.1 * (2 / fan_in) ** 0.5, rel=0.03)
        else:
            assert layer.bias.abs().max() > 0
            assert layer.weight.std().item() == pytest.approx((3 * fan_in) ** -0.5, rel=0.1)


def test_msrresnet_starts_a_tenth_as_wide_and_so_as_a_bilinear_enlargement():
    torch.manual_seed(0)
    network = ModifiedSRResNetGenerator()
    for layer in convolutions(network):
        assert (layer.bias == 0).all()
        assert layer.weight.std().item() == pytest.approx(0.1 * (2 / layer.weight[0].numel()) ** 0.5, rel=0.1)
    image = torch.rand(1, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        enlarged = F.interpolate(image, scale_factor=4, mode="bilinear", align_corners=False)
        assert torch.allclose(network(image), enlarged, atol=1e-3)


def test_srresnet_has_one_slope_a_layer_and_norms_that_start_as_nothing():
    network = SRResNetGenerator(blocks=2)
    slopes = [layer.weight for layer in network.modules() if isinstance(layer, nn.PReLU)]
    assert [slope.tolist() for slope in slopes] == [[0.25]] * 5
    norms = [layer for layer in network.modules() if isinstance(layer, BatchNorm2d)]
    assert len(norms) == 5
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)
    assert [layer.bias is None for layer in convolutions(network)] == [False, *[True] * 5, False, False, False]
    set_norm_statistics(network, "image")  # as for any network here


def test_training_under_gradients_is_the_same_whatever_convolution_a_cpu_takes():
    """Of 128 channels and more they are Winograd's in training."""
    torch.manual_seed(0)
    network = SRGANDiscriminator(width=64, crop=64).train()
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    found = network(image)
    with torch.no_grad():
        expected = network(image)
    assert torch.allclose(found, expected, atol=1e-4)


# --- judges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crop", [32, 48, 0])
def test_srgans_judge_equals_a_plain_writing_of_it(crop):
    network = lively(SRGANDiscriminator(width=3, crop=crop))
    convs = convolutions(network)
    norms = [layer for layer in network.modules() if isinstance(layer, BatchNorm2d)]
    assert [layer.weight.shape[0] // 3 for layer in convs] == [1, 1, 2, 2, 4, 4, 8, 8]
    assert [layer.bias is None for layer in convs] == [False, *[True] * 7]
    size = crop or 40
    image = torch.rand(2, 3, size, size) * 2 - 1
    with torch.no_grad():
        x = F.leaky_relu(conv(image, convs[0]), 0.2)
        stages = [x]
        for number, (layer, norm) in enumerate(zip(convs[1:], norms, strict=True), 1):
            x = F.leaky_relu(normed(conv(x, layer, stride=[1, 2][number % 2]), norm), 0.2)
            stages.append(x)
        x = x.mean((2, 3)) if crop == 0 else x.reshape(2, -1)
        first, last = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
        assert first.out_features == 2 * 8 * 3
        expected = last(F.leaky_relu(first(x), 0.2))
        found, ((*seen,),) = network(image, features=True)
        assert torch.equal(found, network(image))
    assert found.shape == (2, 1, 1, 1)
    assert torch.allclose(found[..., 0, 0], expected, atol=1e-5)
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(seen, stages, strict=True))


def test_the_u_net_equals_a_plain_writing_of_it():
    network = lively(UNetDiscriminator(width=3))
    layers = convolutions(network)
    assert [hasattr(layer, "parametrizations") for layer in layers] == [False, *[True] * 8, False]
    assert [layer.bias is None for layer in layers] == [False, *[True] * 8, False]
    for layer in layers[1:-1]:
        with torch.no_grad():
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)

    def act(x, number, **options):
        return F.leaky_relu(conv(x, layers[number], **options), 0.2)

    def double(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    image = torch.rand(2, 3, 24, 32)
    with torch.no_grad():
        zero = act(image, 0)
        one = act(zero, 1, stride=2, padding=1)
        two = act(one, 2, stride=2, padding=1)
        three = act(two, 3, stride=2, padding=1)
        four = act(double(three), 4)
        five = act(double(four + two), 5)
        six = act(double(five + one), 6)
        seven = act(six + zero, 7)
        eight = act(seven, 8)
        expected = conv(eight, layers[9])
        found, ((*stages,),) = network(image * 2 - 1, features=True)
        assert torch.equal(found, network(image * 2 - 1))
    assert found.shape == (2, 1, 24, 32)
    assert expected.std() > 1e-3
    assert torch.allclose(found, expected, atol=1e-5)
    for seen, own in zip(stages, (zero, one, two, three, four, five, six, seven, eight), strict=True):
        assert torch.allclose(seen, own, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (13, 9), (31, 40)])
def test_the_u_net_judges_images_of_any_size(size):
    assert UNetDiscriminator(width=2)(torch.rand(1, 3, *size)).shape == (1, 1, *size)


def test_srgans_judge_of_a_crop_refuses_other_sizes_and_the_other_takes_them():
    network = SRGANDiscriminator(width=2, crop=32)
    assert network.min_size == 32
    with pytest.raises(ValueError, match=r"judges crops of 32×32, got 48×32: .*crop 0 for any size"):
        network(torch.zeros(1, 3, 48, 32))
    free = SRGANDiscriminator(width=2, crop=0).train()
    assert free(torch.rand(1, 3, free.min_size, free.min_size)).shape == (1, 1, 1, 1)


# --- how they are asked for -------------------------------------------------------------------------------------------


def test_names_and_flags():
    names = {"srresnet": SRResNetGenerator, "msrresnet": ModifiedSRResNetGenerator, "rrdb": RRDBGenerator}
    assert (names | {"compact": CompactGenerator}).items() <= GENERATORS.items()
    assert {"srgan": SRGANDiscriminator, "unet": UNetDiscriminator}.items() <= DISCRIMINATORS.items()
    flags = Architecture.__dataclass_fields__.keys()
    assert "growth" in flags
    family = {"scale", "unshuffle", "crop"}
    assert not flags & (family | {f"discriminator_{name}" for name in family})


@pytest.mark.parametrize(("scale", "multiple"), [(1, 4), (2, 2), (4, 1), (8, 1)])
def test_rrdb_says_of_what_its_sides_are_multiples(scale, multiple):
    network = RRDBGenerator(scale=scale, blocks=1, width=2, growth=2).eval()
    assert (network.scale, network.multiple) == (scale, multiple)
    assert RRDBGenerator(scale=scale, blocks=1, width=2, growth=2, unshuffle=False).multiple == 1
    if multiple > 1:
        with pytest.raises(ValueError, match=f"multiples of {multiple}, got {2 * multiple}×{multiple + 1}"):
            network(torch.zeros(1, 3, 2 * multiple, multiple + 1))
    with torch.no_grad():
        made = Engine(network)(torch.rand(1, 3, 9, 7) * 2 - 1)
    assert made.shape == (1, 3, 9 * scale, 7 * scale)


@pytest.mark.parametrize(
    ("make", "changes", "says"),
    [
        (SRResNetGenerator, {"scale": 1}, "scale must be 2, 3, 4 or 8, got 1"),
        (SRResNetGenerator, {"scale": 10**9}, "scale must be 2, 3, 4 or 8, got 1000000000"),
        (SRResNetGenerator, {"scale": 4.0}, "scale must be 2, 3, 4 or 8, got 4.0"),
        (SRResNetGenerator, {"scale": [4]}, r"scale must be 2, 3, 4 or 8, got \[4\]"),
        (SRResNetGenerator, {"blocks": 10**6}, "blocks must be a whole number from 0 to 64"),
        (SRResNetGenerator, {"norm": "batch"}, "has norm, which a SRResNetGenerator of this version does not know"),
        (ModifiedSRResNetGenerator, {"scale": 8}, "scale must be 2, 3 or 4, got 8"),
        (ModifiedSRResNetGenerator, {"out_channels": 1}, "got in_channels 3 and out_channels 1: make them equal"),
        (CompactGenerator, {"scale": True}, "scale must be 1, 2, 3, 4 or 8, got True"),
        (CompactGenerator, {"scale": -4}, "scale must be"),
        (CompactGenerator, {"out_channels": 4}, "a CompactGenerator adds the enlarged source"),
        (CompactGenerator, {"width": 10**6}, "width must be a whole number from 1 to 512"),
        (RRDBGenerator, {"scale": 3}, "scale must be 1, 2, 4 or 8, got 3"),
        (RRDBGenerator, {"scale": "4"}, "scale must be"),
        (RRDBGenerator, {"unshuffle": 2}, "unshuffle must be true or false, got 2"),
        (RRDBGenerator, {"growth": 0}, "growth must be a whole number from 1 to 512, got 0"),
        (RRDBGenerator, {"blocks": 64, "width": 512, "growth": 512}, "more than 2,000,000,000 are refused"),
        (RRDBGenerator, {"scale": None}, "lacks scale of a RRDBGenerator"),
        (lambda **given: SRGANDiscriminator(**given, crop=32), {"crop": 100}, "crop must be a multiple of 16 and at"),
        (lambda **given: SRGANDiscriminator(**given, crop=32), {"crop": 16}, "at least 32, or 0 for crops of any size"),
        (lambda **given: SRGANDiscriminator(**given, crop=32), {"crop": 10**6}, "crop must be a whole number from 0"),
        (UNetDiscriminator, {"in_channels": 10**9}, "in_channels"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(make, changes, says, tmp_path):
    make(width=2, **({"blocks": 1} if "Generator" in str(make) else {})).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | changes
    config = {key: value for key, value in config.items() if value is not None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=says) as refusal:
        Network.from_pretrained(tmp_path)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(f"{tmp_path}: ")


def test_a_deep_compact_network_begins_near_its_source_and_its_first_layer_learns():
    torch.manual_seed(0)
    network = CompactGenerator(blocks=32)
    source = torch.rand(1, 3, 16, 16) * 2 - 1
    made = network(source)
    nearest = F.interpolate(source, scale_factor=4, mode="nearest")
    assert 0.001 < (made - nearest).abs().mean() < 0.5
    (made - nearest - 0.1).square().mean().backward()
    first, last = network.layers[0].weight.grad, network.layers[-1].weight.grad
    assert first.abs().mean() > 0.01 * last.abs().mean(), "a signal that comes through"
