"""Networks that fill holes: sizes, what each computes written out plainly, strips, exports, what they refuse.

python -m pytest tests/test_inpaint_networks.py
"""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from img2img_hub import Architecture, Network, PatchDiscriminator, ResNetGenerator, Translator
from img2img_hub.networks import (
    DISCRIMINATORS,
    GENERATORS,
    ContextUNetGenerator,
    DilatedResNetGenerator,
    TwoBranchDiscriminator,
)
from img2img_hub.networks.blocks import BatchNorm2d, set_norm_statistics, set_variation
from img2img_hub.networks.dilated_resnet import DilatedConv2d
from img2img_hub.objectives.calls import call_each
from img2img_hub.objectives.losses import adversarial, feature_matching, fooling
from img2img_hub.runtimes.export import export_model
from img2img_hub.strips.layers import Normalise
from img2img_hub.strips.recording import NotByRows, record
from img2img_hub.strips.stages import compute_rows
from img2img_hub.translation import engine as engine_module
from img2img_hub.translation.engine import Engine


def convolutions(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]


def lively(network):
    """With every tensor drawn at random, averages too, in eval mode."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif value.is_floating_point():
                value.normal_(0, 0.3 if value.dim() < 2 else 1.5 * value[0].numel() ** -0.5)
        for layer in network.modules():
            if isinstance(layer, BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
    return network.eval()


def conv(kernel, inner, outer, bias=True):
    """Parameters of a convolution."""
    return kernel * kernel * inner * outer + outer * bias


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("blocks", "dilated", "norm"), [(9, 3, "instance"), (6, 0, "batch"), (4, 4, "none")])
def test_dilation_adds_no_parameter(blocks, dilated, norm):
    with torch.device("meta"):
        made = DilatedResNetGenerator(blocks=blocks, dilated=dilated, norm=norm)
    bias = norm != "batch"
    ends = conv(7, 4, 64, bias) + conv(7, 64, 3)
    way = sum(conv(3, one, two, bias) for one, two in ((64, 128), (128, 256), (256, 128), (128, 64)))
    gains = 2 * (64 + 128 + 256 + 128 + 64 + 2 * blocks * 256) if norm == "batch" else 0
    assert made.parameter_count == ends + way + 2 * blocks * conv(3, 256, 256, bias) + gains
    with torch.device("meta"):
        plain = ResNetGenerator(in_channels=4, blocks=blocks, norm=norm, upsample="resize")
    assert {name: value.shape for name, value in made.state_dict().items()} == {
        name: value.shape for name, value in plain.state_dict().items()
    }


@pytest.mark.parametrize(("layers", "norm"), [(3, "batch"), (3, "instance"), (1, "none"), (5, "batch")])
def test_two_branches_are_counted_by_hand(layers, norm):
    with torch.device("meta"):
        made = TwoBranchDiscriminator(layers=layers, norm=norm)
        patches = PatchDiscriminator(in_channels=3, layers=layers, norm=norm)
    bias, gains = norm != "batch", 2 * (norm == "batch")
    wide = [64, 128, 256, 512, 512, 512, 512][: layers + 2]
    first = min(layers, 2)
    whole = conv(1, wide[-1], 1) + conv(4, wide[-2], wide[-1])
    whole += sum(conv(4, wide[n - 1], wide[n], bias) + gains * wide[n] for n in range(first, layers + 1))
    assert made.parameter_count == patches.parameter_count + whole


def test_the_context_u_net_is_as_large_as_what_people_run():
    """FIDELITY_CUT_SR_INPAINT_VIDEO 27: 29.26 million, where every convolution has a bias; with no mask."""
    with torch.device("meta"):
        made = ContextUNetGenerator(in_channels=6, norm="instance")
        batch = ContextUNetGenerator(norm="batch")
    down = conv(4, 3, 64) + conv(4, 64, 128) + conv(4, 128 + 3, 256) + conv(4, 256, 512) + 2 * conv(4, 512, 512)
    up = conv(4, 512, 512) + conv(4, 1024, 512) + conv(4, 1024, 256) + conv(4, 512, 128) + conv(4, 256 + 3, 64)
    assert made.parameter_count == down + up + conv(4, 128, 3)
    assert round(made.parameter_count / 1e6, 2) == 29.26
    normed = 128 + 256 + 512 + 512 + 512 + 512 + 256 + 128 + 64  # a gain and a bias in place of a bias
    assert batch.parameter_count == made.parameter_count + normed + 4 * 4 * 64  # a mask


# --- dilated ----------------------------------------------------------------------------------------------------------


def reflected(x, layer, border, dilation=1):
    return F.conv2d(F.pad(x, (border,) * 4, mode="reflect"), layer.weight, layer.bias, dilation=dilation)


def plain_dilated(network, x, dilations):
    first, one, two, *convs, three, four, last = convolutions(network)
    x = F.relu(F.instance_norm(reflected(x, first, 3)))
    for layer in (one, two):
        x = F.relu(F.instance_norm(F.conv2d(x, layer.weight, layer.bias, stride=2, padding=1)))
    for dilation in dilations:
        far, near = convs.pop(0), convs.pop(0)
        y = F.relu(F.instance_norm(reflected(x, far, dilation, dilation)))
        x = x + F.instance_norm(reflected(y, near, 1))
    assert not convs
    for layer in (three, four):
        larger = F.pad(x.repeat_interleave(2, 2).repeat_interleave(2, 3), (1,) * 4, mode="replicate")
        x = F.relu(F.instance_norm(F.conv2d(larger, layer.weight, layer.bias)))
    return torch.tanh(reflected(x, last, 3))


@pytest.mark.parametrize(
    ("blocks", "dilated", "dilations"),
    [
        (9, 3, [1, 1, 1, 2, 4, 8, 1, 1, 1]),
        (4, 1, [1, 2, 1, 1]),
        (2, 2, [2, 4]),
        (3, 0, [1, 1, 1]),
        (0, 0, []),
    ],
)
def test_the_dilated_resnet_computes_what_is_written_plainly(blocks, dilated, dilations):
    network = lively(DilatedResNetGenerator(blocks=blocks, dilated=dilated, width=4)).double()
    assert list(network.dilations) == dilations
    image = torch.rand(2, 4, 48, 40, dtype=torch.float64) * 2 - 1
    expected = plain_dilated(network, image, dilations)
    assert expected.shape == (2, 3, 48, 40)
    assert expected.std() > 0.1
    assert torch.allclose(network(image), expected, rtol=0, atol=1e-10)


def test_without_dilated_blocks_it_is_the_resnet():
    plain = lively(ResNetGenerator(in_channels=4, width=4, blocks=3, upsample="bilinear"))
    network = DilatedResNetGenerator(width=4, blocks=3, dilated=0, upsample="bilinear").eval()
    network.load_state_dict(plain.state_dict())
    image = torch.rand(1, 4, 32, 24)
    assert torch.equal(network(image), plain(image))


def test_training_under_gradients_is_the_same_whatever_convolution_a_cpu_takes():
    """Of 128 channels and more undilated 3×3 ones are Winograd's in training; dilated ones must not be."""
    torch.manual_seed(0)
    network = DilatedResNetGenerator(width=32, blocks=3, dilated=1).train()
    image = torch.rand(1, 4, 128, 128) * 2 - 1
    found = network(image)
    with torch.no_grad():
        expected = network(image)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("dilated", "smallest"), [(0, 8), (1, 12), (2, 20), (3, 36), (4, 68)])
def test_the_smallest_image_is_that_of_the_widest_border(dilated, smallest):
    network = DilatedResNetGenerator(blocks=dilated, dilated=dilated, width=2)
    assert (network.multiple, network.min_size) == (4, smallest)
    assert network.train()(torch.rand(1, 4, smallest, smallest)).isfinite().all()
    with pytest.raises(ValueError, match=f"multiples of 4 and at least {smallest}, got {smallest - 4}×{smallest}"):
        network(torch.rand(1, 4, smallest - 4, smallest))
    with pytest.raises(ValueError, match="got 402×400; pad the image"):
        network(torch.rand(1, 4, 402, 400))
    network.min_size = 4  # PyTorch agrees
    with pytest.raises((RuntimeError, ValueError), match=r"[Pp]adding size|more than 1 spatial"):
        network(torch.rand(1, 4, smallest - 4, smallest - 4))


# --- strips -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def by_strips(monkeypatch):
    monkeypatch.setattr(engine_module, "_ALWAYS_FITS", 0)


def part_of(network, share, height, width):
    return share * Engine(network).bytes_a_pixel * height * width / 2**30


@pytest.mark.parametrize("share", [1 / 5, 2 / 3])
@pytest.mark.parametrize(
    "arguments", [{"blocks": 5}, {"blocks": 3, "norm": "batch"}, {"blocks": 2, "dilated": 2, "upsample": "bilinear"}]
)
def test_exact_strips_give_what_the_image_at_once_gives(arguments, share, by_strips):
    network = lively(DilatedResNetGenerator(width=4, **arguments))
    set_norm_statistics(network, "image")
    batch = torch.rand(1, 4, 386, 250) * torch.linspace(0.2, 2, 386)[:, None] - 1
    engine = Engine(network, tiles="exact", memory=part_of(network, share, 386, 250))
    assert not engine.fits(386, 250)
    at_once = Engine(network, memory=100)(batch)
    assert at_once.std() > 0.02
    assert (engine(batch) - at_once).abs().max() < 1e-4


def test_a_translator_of_little_memory_gives_the_same_picture(by_strips):
    network = lively(DilatedResNetGenerator(width=4, blocks=5, in_channels=3))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (390, 260, 3), dtype=np.uint8))
    at_once = np.asarray(Translator(network, memory=100)(image)).astype(int)
    little = Translator(network, tiles="exact", memory=part_of(network, 1 / 4, 390, 260))
    assert np.abs(np.asarray(little(image)).astype(int) - at_once).max() <= 1  # a value may round the other way
    assert at_once.std() > 5


def test_a_recorded_network_has_the_shapes_of_the_real_one_and_takes_as_much_memory_as_without_dilation():
    network = lively(DilatedResNetGenerator(width=4, blocks=5))
    layers = record(network, height=128, width=96)
    shapes = []
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm2d):
            module.register_forward_hook(lambda _, inputs, __: shapes.append(tuple(inputs[0].shape[1:])))
    network(torch.zeros(1, 4, 128, 96))
    norms = [layer for layer in layers if isinstance(layer, Normalise)]
    assert [(layer.channels, layer.height, layer.width) for layer in norms] == shapes
    plain = DilatedResNetGenerator(width=4, blocks=5, dilated=0)
    assert Engine(network).bytes_a_pixel < 1.1 * Engine(plain).bytes_a_pixel
    efforts = [sum(one.values * one.effort for one in record(each, height=128, width=96)) for each in (network, plain)]
    assert efforts[0] == efforts[1]


def test_what_is_recorded_of_a_dilated_convolution_is_that_convolution():
    torch.manual_seed(0)
    layer = DilatedConv2d(5, 7, dilation=3, bias=True)
    layers = record(layer, height=20, width=16)
    image = torch.rand(2, 5, 20, 16)
    with torch.no_grad():
        expected = F.conv2d(image, layer.weight, layer.bias, dilation=3)
        for first, last in ((0, 14), (0, 1), (5, 9), (13, 14)):
            found = compute_rows(layers, layers[-1], (first, last), lambda _, rows: image[:, :, slice(*rows)])
            assert torch.allclose(found, expected[:, :, first:last], atol=1e-5)


# --- two branches -----------------------------------------------------------------------------------------------------


def convolved(x, layer, stride=2):
    return F.conv2d(x, layer.weight, layer.bias, stride=stride, padding=1)


@pytest.mark.parametrize(("layers", "channels"), [(1, [4, 8, 16]), (2, [4, 8, 16, 32]), (3, [4, 8, 16, 32, 32])])
def test_both_verdicts_and_their_stages_are_what_is_written_plainly(layers, channels):
    network = lively(TwoBranchDiscriminator(width=4, layers=layers, norm="instance")).double()
    convs = convolutions(network)
    first = min(layers, 2)
    whole, patches = convs[first : first + len(channels) - first + 1], convs[len(channels) + 1 :]
    assert [layer.out_channels for layer in (*convs[:first], *whole)] == [*channels, 1]
    assert [layer.out_channels for layer in patches] == [*channels[first : layers + 1], 1]
    image = torch.randn(2, 3, 70, 64, dtype=torch.float64)

    common, x = [], image
    for number, layer in enumerate(convs[:first]):
        x = convolved(x, layer)
        common.append(x := F.leaky_relu(F.instance_norm(x) if number else x, 0.2))
    wide = [*common]
    for layer in whole[:-2]:
        wide.append(F.leaky_relu(F.instance_norm(convolved(wide[-1], layer)), 0.2))
    wide.append(F.leaky_relu(convolved(wide[-1], whole[-2]), 0.2))
    verdict = wide[-1].mean((2, 3)) @ whole[-1].weight[:, :, 0, 0].T + whole[-1].bias
    small = [*common]
    for number, layer in enumerate(patches[:-1]):
        stride = 1 if number == len(patches) - 2 else 2
        small.append(F.leaky_relu(F.instance_norm(convolved(small[-1], layer, stride)), 0.2))
    judged = convolved(small[-1], patches[-1], 1)

    logits, stages = network(image, features=True)
    assert all(map(torch.equal, logits, network(image)))
    assert logits[0].shape == (2, 1, 1, 1)
    assert torch.allclose(logits[0][..., 0, 0], verdict, rtol=0, atol=1e-10)
    assert torch.allclose(logits[1], judged, rtol=0, atol=1e-10)
    assert verdict.std() > 1e-2 < judged.std()
    for found, expected in zip(stages, (wide, small), strict=True):
        assert len(found) == len(expected)
        assert all(torch.allclose(*pair, rtol=0, atol=1e-10) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_shared_layers_and_patch_branch_are_a_patch_discriminator(norm):
    network = lively(TwoBranchDiscriminator(width=4, norm=norm))
    plain = PatchDiscriminator(in_channels=3, width=4, norm=norm).eval()
    states = [*network.shared.state_dict().values(), *network.patches.state_dict().values()]
    plain.load_state_dict(dict(zip(plain.state_dict(), states, strict=True)))
    image = torch.rand(2, 3, 256, 256)
    found = network(image)[1]
    assert found.shape == (2, 1, 30, 30)
    assert torch.allclose(found, plain(image), atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize(("layers", "smallest"), [(1, 8), (2, 16), (3, 32), (4, 64)])
def test_pictures_of_any_size_are_judged_from_the_smallest_on(layers, smallest, norm):
    network = TwoBranchDiscriminator(width=2, layers=layers, norm=norm).train()
    assert network.min_size == smallest
    for height, width in ((smallest, smallest), (smallest + 5, 3 * smallest + 1)):
        whole, patches = network(torch.rand(2, 3, height, width))
        assert whole.shape == (2, 1, 1, 1)
        assert patches.isfinite().all()
        assert min(patches.shape[2:]) >= 2
    with pytest.raises((RuntimeError, ValueError)):
        network(torch.rand(2, 3, smallest - 1, smallest - 1))


def test_the_losses_take_both_verdicts_and_calls_are_split():
    torch.manual_seed(0)
    network = TwoBranchDiscriminator(width=2, layers=2, norm="instance")
    images = [torch.randn(count, 3, 32, 32) for count in (2, 3)]
    (fake, own), (real, other) = call_each(network, *images, features=True)
    for image, logits in zip(images, (fake, real), strict=True):
        assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(logits, network(image), strict=True))
    one = sum(F.softplus(-each).mean() for each in real) / 2
    assert torch.allclose(adversarial(real, real=True, kind="vanilla"), one)
    loss = fooling(fake, kind="hinge") + feature_matching(own, [tuple(each[:2] for each in part) for part in other])
    (loss + adversarial(real, real=True, kind="lsgan")).backward()
    lacking = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert not lacking


# --- context ----------------------------------------------------------------------------------------------------------


def plain_context(network, source):
    """Six levels under instance norm."""
    covered, context = source[:, :4], source[:, 4:, ::4, ::4]
    downs, ups = convolutions(network.downs), convolutions(network.ups)

    def down(x, level, norm=F.instance_norm):
        return F.leaky_relu(norm(convolved(x, downs[level])), 0.2)

    def up(x, level):
        layer = ups[level]
        return F.relu(F.instance_norm(F.conv_transpose2d(x, layer.weight, layer.bias, stride=2, padding=1)))

    one = down(covered, 0, nn.Identity())
    two = torch.cat([down(one, 1), context], 1)
    three = down(two, 2)
    four = down(three, 3)
    five = down(four, 4)
    six = down(five, 5, nn.Identity())
    x = torch.cat([five, up(six, 0)], 1)
    x = torch.cat([four, up(x, 1)], 1)
    x = torch.cat([three, up(x, 2)], 1)
    x = torch.cat([two, up(x, 3)], 1)
    x = torch.cat([one, up(x, 4)], 1)
    return torch.tanh(F.conv_transpose2d(x, ups[5].weight, ups[5].bias, stride=2, padding=1))


def with_context(covered, small):
    return torch.cat([covered, small.repeat_interleave(4, 2).repeat_interleave(4, 3)], 1)


def test_the_context_u_net_computes_what_is_written_plainly():
    network = lively(ContextUNetGenerator(width=4, norm="instance")).double()
    source = with_context(torch.randn(2, 4, 128, 64).double(), torch.randn(2, 3, 32, 16).double())
    expected = plain_context(network, source)
    assert expected.shape == (2, 3, 128, 64)
    assert expected.std() > 0.1
    assert torch.allclose(network(source), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_small_picture_comes_back_to_the_bit(dtype):
    small = (torch.rand(1, 3, 64, 64) * 2 - 1).to(dtype)
    assert torch.equal(ContextUNetGenerator._shrunk(with_context(small[:, :0].repeat(1, 1, 4, 4), small)), small)


def test_of_the_context_only_means_count_and_only_behind_two_halvings():
    network = lively(ContextUNetGenerator(width=2, levels=3, norm="none"))
    source = torch.rand(1, 7, 32, 32)
    means = F.avg_pool2d(source[:, 4:], 4)
    assert torch.allclose(network(source), network(with_context(source[:, :4], means)), atol=1e-6)
    seen = []
    network.downs[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    network.downs[2].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    network(source)
    assert torch.equal(seen[0], source[:, :4])
    assert seen[1].shape == (1, 4 + 3, 8, 8)
    assert torch.allclose(seen[1][:, 4:], means, atol=1e-6)


def test_without_context_it_is_a_u_net_and_goes_by_strips(by_strips):
    network = lively(ContextUNetGenerator(width=4, in_channels=4, context_channels=0, levels=4))
    batch = torch.rand(1, 4, 250, 130)
    engine = Engine(network, tiles="exact", memory=part_of(network, 1 / 3, 250, 130))
    assert (engine(batch) - Engine(network, memory=100)(batch)).abs().max() < 1e-4
    with pytest.raises(NotByRows, match="getitem"):
        record(ContextUNetGenerator(width=2), height=64, width=64)


def test_dropout_is_from_the_third_level_down_and_up_to_the_fourth():
    network = ContextUNetGenerator(width=2)
    for parts, expected in ((network.downs, [0, 0, 1, 1, 1, 1]), (network.ups, [1, 1, 1, 0, 0, 0])):
        assert [sum(isinstance(layer, nn.Dropout) for layer in part) for part in parts] == expected
    source = torch.rand(1, 7, 64, 64)
    assert torch.equal(network.eval()(source), network(source))
    set_variation(network, True)
    assert not torch.equal(network(source), network(source))


# --- all of them ------------------------------------------------------------------------------------------------------

MAKE = {
    "dilated": lambda **more: DilatedResNetGenerator(
        **{"width": 2, "blocks": 3, "dilated": 1, "norm": "batch", **more}
    ),
    "two_branch": lambda **more: TwoBranchDiscriminator(**{"width": 2, "layers": 2, **more}),
    "context_unet": lambda **more: ContextUNetGenerator(**{"width": 2, "levels": 4, **more}),
}


@pytest.mark.parametrize("name", MAKE)
def test_saved_it_is_loaded_and_the_gradient_reaches_everything(name, tmp_path):
    made = lively(MAKE[name](norm="none", **({} if name != "context_unet" else {"dropout": 0.0})))
    made.save_pretrained(tmp_path)
    loaded = Network.from_pretrained(tmp_path)
    assert type(loaded) is type(made)
    assert loaded.config == made.config == json.loads((tmp_path / "config.json").read_text())
    image = torch.rand(2, made.in_channels, 32, 48)
    outputs = [each(image) if name == "two_branch" else (each(image),) for each in (made, loaded)]
    assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(*outputs, strict=True))
    sum((one * torch.randn_like(one)).sum() for one in outputs[1]).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in loaded.parameters())


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("name", MAKE)
def test_weights_start_as_elsewhere_and_biases_are_where_no_norm_brings_one(name, norm):
    torch.manual_seed(0)
    network = MAKE[name](width=16, norm=norm)
    for layer in convolutions(network):
        assert layer.bias is None or not layer.bias.any()
        if layer.weight.numel() > 10_000:
            assert abs(layer.weight.std().item() - 0.02) < 1e-3
    norms = sum(isinstance(layer, BatchNorm2d) for layer in network.modules())
    without = sum(layer.bias is None for layer in convolutions(network))
    assert norms == without
    assert (without > 2) == (norm == "batch")


@pytest.mark.parametrize("statistics", ["image", "running"])
@pytest.mark.parametrize("name", ["dilated", "context_unet"])
def test_an_export_gives_the_same_at_any_size(name, statistics, tmp_path):
    network = lively(MAKE[name]())
    set_norm_statistics(network, statistics)
    facts = export_model(network, tmp_path / "made.onnx", working_size=32, about={}, dynamic=True)
    assert all(check["max_abs_difference"] < 1e-4 for check in facts["checks"])
    session = onnxruntime.InferenceSession(str(tmp_path / "made.onnx"), providers=["CPUExecutionProvider"])
    source = torch.rand(2, network.in_channels, 48, 80) * 2 - 1
    with torch.no_grad():
        expected = network(source)
    assert expected.std() > 1e-2
    assert np.abs(session.run(None, {"source": source.numpy()})[0] - expected.numpy()).max() < 1e-4


def test_names_and_flags():
    assert {"dilated": DilatedResNetGenerator, "context_unet": ContextUNetGenerator}.items() <= GENERATORS.items()
    assert DISCRIMINATORS["two_branch"] is TwoBranchDiscriminator
    assert "dilated" in Architecture.__dataclass_fields__
    assert (DilatedResNetGenerator.knows_one_size, ContextUNetGenerator.knows_one_size) == (False, True)


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("dilated", {"dilated": 4}, "dilated must be at most the 3 blocks that there are, got 4"),
        ("dilated", {"dilated": 10**6}, "dilated must be a whole number from 0 to 6, got 1000000"),
        ("dilated", {"dilated": True}, "dilated must be a whole number from 0 to 6, got True"),
        ("dilated", {"blocks": -1}, "blocks must be a whole number from 0 to 64, got -1"),
        ("dilated", {"norm": "group"}, "norm must be 'batch', 'instance' or 'none', got 'group'"),
        ("dilated", {"upsample": ["resize"]}, "upsample"),
        ("dilated", {"dilated": None}, "lacks dilated of a DilatedResNetGenerator"),
        ("dilated", {"blocks": 64, "width": 512, "in_channels": 4096}, "more than 2,000,000,000 are refused"),
        ("dilated", {"dilations": [9]}, "has dilations, which a DilatedResNetGenerator of this version does not know"),
        ("two_branch", {"layers": 0}, "layers must be a whole number from 1 to 6, got 0"),
        ("two_branch", {"layers": 2.0}, "layers must be a whole number from 1 to 6, got 2.0"),
        ("two_branch", {"width": 10**9}, "width must be a whole number from 1 to 512"),
        ("two_branch", {"norm": None}, "lacks norm of a TwoBranchDiscriminator"),
        ("context_unet", {"context_channels": 7}, "context_channels are among the in_channels, got 7 of 7: leave at"),
        ("context_unet", {"context_channels": -1}, "context_channels must be a whole number from 0 to 4095, got -1"),
        ("context_unet", {"levels": 2}, "levels must be a whole number from 3 to 12, got 2"),
        ("context_unet", {"dropout": float("nan")}, "dropout must be a number from 0.0 to 0.95, got nan"),
        ("context_unet", {"context_channels": 2}, r"model\.safetensors does not fit config\.json"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(name, changes, says, tmp_path):
    MAKE[name]().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | changes
    config = {key: value for key, value in config.items() if value is not None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=says) as refusal:
        Network.from_pretrained(tmp_path)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(f"{tmp_path}: ")


def test_a_context_u_net_refuses_sizes_that_do_not_halve():
    with pytest.raises(ValueError, match="multiples of 64, got 96×64; pad the image"):
        ContextUNetGenerator(width=2)(torch.zeros(1, 7, 96, 64))
