"""The networks are the papers': counts, receptive fields, shapes, initialisation, what stands where."""

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from img2img_hub import Network, PatchDiscriminator, PixelDiscriminator, ResNetGenerator, UNetGenerator
from img2img_hub.networks.blocks import (
    BatchNorm2d,
    Dropout,
    ResizeConv2d,
    constant_kernels,
    set_norm_statistics,
    set_variation,
)

ALL = sorted(Network.registry.values(), key=lambda network: network.__name__)


# FIDELITY: millions of parameters of the original at three channels, and tensors in its published files.
@pytest.mark.parametrize(
    ("network", "arguments", "parameters", "tensors"),
    [
        (ResNetGenerator, {}, 11_378_179, 48),
        (ResNetGenerator, {"blocks": 6}, 7_837_699, 36),
        (UNetGenerator, {}, 54_413_955, 82),
        (UNetGenerator, {"levels": 7}, 41_828_995, 70),
        (UNetGenerator, {"norm": "instance"}, None, 32),
        (PatchDiscriminator, {"in_channels": 3}, 2_765_633, 22),
        (PatchDiscriminator, {"in_channels": 6}, 2_768_705, 22),
        (PatchDiscriminator, {"in_channels": 3, "norm": "instance"}, 2_764_737, 10),
    ],
)
def test_size_is_that_of_the_original(network, arguments, parameters, tensors):
    with torch.device("meta"):
        made = network(**arguments)
    assert parameters in (made.parameter_count, None)
    assert len(made.state_dict()) == tensors


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_receptive_field_of_the_patch_discriminator(layers, field):
    discriminator = PatchDiscriminator(in_channels=1, layers=layers, width=1, norm="none")
    assert discriminator.receptive_field == field
    # and as seen by a gradient: one logit in the middle depends on exactly that many pixels
    for layer in discriminator.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1e-2)
    image = torch.ones(1, 1, 640, 640, requires_grad=True)
    logits = discriminator(image)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    seen = image.grad[0, 0].nonzero()
    assert (seen.max(dim=0).values - seen.min(dim=0).values + 1).tolist() == [field, field]


def test_patch_discriminator_gives_30_by_30_logits_and_no_sigmoid():
    logits = PatchDiscriminator(width=4)(torch.randn(2, 6, 256, 256) * 50)
    assert logits.shape == (2, 1, 30, 30)
    assert not any(isinstance(layer, nn.Sigmoid) for layer in PatchDiscriminator(width=4).modules())


def test_pixel_discriminator_sees_one_pixel():
    discriminator = PixelDiscriminator(in_channels=2, width=4, norm="none")
    image = torch.zeros(1, 2, 5, 5)
    changed = image.clone()
    changed[0, 0, 2, 2] = 1.0
    difference = (discriminator(changed) - discriminator(image)).nonzero()
    assert difference.tolist() == [[0, 0, 2, 2]]


@pytest.mark.parametrize("upsample", ["transpose", "resize", "bilinear"])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_generators_keep_the_size_and_stay_in_range(norm, upsample):
    source = torch.randn(2, 2, 32, 64)
    for network in (
        UNetGenerator(in_channels=2, out_channels=1, levels=4, width=4, norm=norm, upsample=upsample),
        ResNetGenerator(in_channels=2, out_channels=1, blocks=1, width=4, norm=norm, upsample=upsample),
    ):
        output = network(source)
        assert output.shape == (2, 1, 32, 64)
        assert output.abs().max() <= 1


@pytest.mark.parametrize(
    ("between", "border"), [("nearest", "reflect"), ("nearest", "replicate"), ("bilinear", "replicate")]
)
def test_resize_conv_is_times_two_and_a_convolution_over_a_repeated_border(between, border):
    fast = ResizeConv2d(5, 7, bias=True, between=between)
    plain = nn.Sequential(nn.Upsample(scale_factor=2, mode=between), nn.Conv2d(5, 7, 3, padding=1, padding_mode=border))
    plain[1].load_state_dict(fast.state_dict())
    images = torch.randn(2, 5, 6, 9)
    assert torch.allclose(fast(images), plain(images), atol=1e-5)
    assert torch.allclose(fast(images[:, :, :1, :1]), plain(images[:, :, :1, :1]), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("between", ["resize", "bilinear"])
def test_kernels_are_computed_once_where_no_weight_changes_and_anew_after(between, dtype, monkeypatch):
    network, other = (UNetGenerator(width=4, levels=5, upsample=between).eval() for _ in range(2))
    count, compute = [], ResizeConv2d.kernel
    monkeypatch.setattr(ResizeConv2d, "kernel", lambda layer: count.append(layer) or compute(layer))
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        expected = network(image)
        count.clear()
        with constant_kernels(network, other):
            assert len(count) == len(set(count)) == 2 * 5
            made = [network(image) for _ in range(3)]
            assert len(count) == 2 * 5
        for output in made:  # in half precision the kernels are rounded at another place
            assert torch.allclose(output.float(), expected.float(), atol=0 if dtype == torch.float32 else 0.02)
        with pytest.raises(RuntimeError), constant_kernels(network):
            raise RuntimeError("on the way")
        for layer in network.modules():
            if isinstance(layer, ResizeConv2d):
                layer.weight.data.mul_(-1)  # as a fused optimizer does, nothing is noted in the tensor
        assert not torch.allclose(network(image).float(), expected.float(), atol=0.02)


def test_bilinear_unet_interpolates_but_for_the_outermost_level():
    network = UNetGenerator(levels=5, width=4, upsample="bilinear")
    kinds = [layer.between for block in network.ups for layer in block if isinstance(layer, ResizeConv2d)]
    assert kinds == ["bilinear", "bilinear", "bilinear", "bilinear", "nearest"]


def test_unet_is_laid_out_as_in_the_paper():
    network = UNetGenerator()
    down = [next(layer for layer in block if isinstance(layer, nn.Conv2d)) for block in network.downs]
    assert [conv.out_channels for conv in down] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert {(conv.kernel_size, conv.stride, conv.padding) for conv in down} == {((4, 4), (2, 2), (1, 1))}
    assert all(conv.bias is None for conv in down)
    normed = [any(isinstance(layer, BatchNorm2d) for layer in block) for block in network.downs]
    assert normed == [False, True, True, True, True, True, True, False]
    up_normed = [any(isinstance(layer, BatchNorm2d) for layer in block) for block in network.ups]
    assert up_normed == [True] * 7 + [False]
    dropped = [any(isinstance(layer, Dropout) for layer in block) for block in network.ups]
    assert dropped == [False, True, True, True, False, False, False, False]
    assert all(block[0].negative_slope == 0.2 for block in network.downs[1:])
    assert sum(isinstance(layer, Dropout) for layer in UNetGenerator(levels=7).modules()) == 2


def test_unet_equals_a_recursive_writing_of_the_paper():
    """Skips join the right levels: the same weights in a network written the other way round, block within block."""
    network = UNetGenerator(levels=4, width=4, norm="none", dropout=0.0).eval()

    def block(level, x):
        inner = network.downs[level](x)
        if level < 3:
            inner = torch.cat([inner, block(level + 1, inner)], dim=1)
        return network.ups[3 - level](inner)

    source = torch.randn(1, 3, 32, 32)
    assert torch.equal(network(source), block(0, source))


def test_resnet_is_laid_out_as_in_the_paper():
    network = ResNetGenerator(norm="batch")
    convs = [layer for layer in network.layers if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert [(conv.kernel_size[0], conv.stride[0], conv.out_channels) for conv in convs] == [
        (7, 1, 64),
        (3, 2, 128),
        (3, 2, 256),
        (3, 2, 128),
        (3, 2, 64),
        (7, 1, 3),
    ]
    assert [conv.bias is None for conv in convs] == [True] * 5 + [False]
    assert not any(isinstance(layer, nn.LeakyReLU) for layer in network.modules())
    kinds = [type(layer).__name__ for layer in network.layers[10].layers]
    assert kinds == ["ReflectionPad2d", "Conv2d", "BatchNorm2d", "ReLU", "ReflectionPad2d", "Conv2d", "BatchNorm2d"]
    x = torch.full((1, 256, 4, 4), -1.0)
    assert network.layers[10](x).min() < 0, "a ReLU after the sum would cut this off"


def plain_resnet(convs, x):
    """The original's ResNet generator under instance norm, layer by layer."""

    def normed(x):
        return F.relu(F.instance_norm(x))

    def reflected(x, conv, border):
        return F.conv2d(F.pad(x, (border,) * 4, mode="reflect"), conv.weight, conv.bias)

    first, *convs, last = convs
    x = normed(reflected(x, first, 3))
    for conv in convs[:2]:
        x = normed(F.conv2d(x, conv.weight, conv.bias, stride=2, padding=1))
    for one, two in zip(convs[2:-2:2], convs[3:-2:2], strict=True):
        x = x + F.instance_norm(reflected(normed(reflected(x, one, 1)), two, 1))
    for conv in convs[-2:]:
        x = normed(F.conv_transpose2d(x, conv.weight, conv.bias, stride=2, padding=1, output_padding=1))
    return torch.tanh(reflected(x, last, 3))


def plain_unet(convs, x):
    """The original's U-Net without dropout under instance norm: what is above one level, around what is below it."""
    down, up = convs[0], convs[-1]
    outermost, innermost = down.in_channels == 3, len(convs) == 2
    inner = F.conv2d(x if outermost else F.leaky_relu(x, 0.2), down.weight, down.bias, stride=2, padding=1)
    if not outermost and not innermost:
        inner = F.instance_norm(inner)
    inner = inner if innermost else plain_unet(convs[1:-1], inner)
    out = F.conv_transpose2d(F.relu(inner), up.weight, up.bias, stride=2, padding=1)
    return torch.tanh(out) if outermost else torch.cat([x, F.instance_norm(out)], dim=1)


def plain_patch_discriminator(convs, x):
    for index, (conv, stride) in enumerate(zip(convs, (2, 2, 2, 1, 1), strict=True)):
        x = F.conv2d(x, conv.weight, conv.bias, stride=stride, padding=1)
        if 0 < index < 4:
            x = F.instance_norm(x)
        if index < 4:
            x = F.leaky_relu(x, 0.2)
    return x


def plain_pixel_discriminator(convs, x):
    one, two, three = convs
    x = F.leaky_relu(F.conv2d(x, one.weight, one.bias), 0.2)
    x = F.leaky_relu(F.instance_norm(F.conv2d(x, two.weight, two.bias)), 0.2)
    return F.conv2d(x, three.weight, three.bias)


@pytest.mark.parametrize(
    ("network", "plain"),
    [
        (lambda: ResNetGenerator(blocks=2, width=4), plain_resnet),
        (lambda: UNetGenerator(levels=5, width=4, norm="instance", dropout=0.0), plain_unet),
        (lambda: PatchDiscriminator(width=4, norm="instance"), plain_patch_discriminator),
        (lambda: PixelDiscriminator(width=4, norm="instance"), plain_pixel_discriminator),
    ],
)
def test_networks_compute_what_the_originals_do_layer_by_layer(network, plain):
    torch.manual_seed(0)
    made = network().double().train()
    for parameter in made.parameters():
        parameter.data.normal_(0, 0.1)
    convs = [layer for layer in made.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    x = torch.randn(2, made.in_channels, 64, 64, dtype=torch.float64)
    expected = plain(convs, x)
    assert expected.std() > 1e-2
    assert torch.allclose(made(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_normed_convolution_has_a_bias_only_under_instance_norm(norm):
    for network in (UNetGenerator(width=2, norm=norm), ResNetGenerator(width=2, norm=norm)):
        convs = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
        assert [conv.bias is not None for conv in convs[:-1]] == [norm == "instance"] * (len(convs) - 1)
        assert convs[-1].bias is not None
    critic = [layer for layer in PatchDiscriminator(width=2, norm=norm).layers if isinstance(layer, nn.Conv2d)]
    assert [conv.bias is not None for conv in critic] == [True, *[norm == "instance"] * 3, True]


def test_initialisation_is_the_papers():
    torch.manual_seed(0)
    for network in (UNetGenerator(width=16), ResNetGenerator(norm="batch"), PatchDiscriminator()):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                if layer.weight.numel() > 10_000:
                    assert abs(layer.weight.std().item() - 0.02) < 1e-3
                assert layer.bias is None or not layer.bias.any()
            elif isinstance(layer, BatchNorm2d):
                assert abs(layer.weight.mean().item() - 1) < 0.02
                assert 0.005 < layer.weight.std().item() < 0.04
                assert not layer.bias.any()


@pytest.mark.parametrize("network", ALL, ids=lambda network: network.__name__)
def test_arguments_are_keyword_only_scalars(network):
    for parameter in inspect.signature(network).parameters.values():
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert isinstance(parameter.default, int | float | str)
    assert not {"config", "module"} & set(inspect.signature(network).parameters)


def test_image_statistics_are_each_images_own():
    network = UNetGenerator(levels=4, width=4).train()
    network(torch.randn(8, 3, 32, 32) * 3)  # running averages that fit nothing
    network.eval()
    batch = torch.randn(3, 3, 32, 32)
    set_norm_statistics(network, "image")
    together = network(batch)
    alone = torch.cat([network(image[None]) for image in batch])
    assert torch.allclose(together, alone, atol=1e-5)
    set_norm_statistics(network, "running")
    assert not torch.allclose(network(batch), together, atol=1e-3)
    # and they are what training at batch size 1 normalises with
    set_norm_statistics(network, "image")
    reference = UNetGenerator(levels=4, width=4, dropout=0.0).train()
    reference.load_state_dict(network.state_dict())
    assert torch.allclose(reference(batch[:1]), alone[:1], atol=1e-5)
    with pytest.raises(ValueError, match="'image' or 'running'"):
        set_norm_statistics(network, "batch")


def test_variation_switches_dropout_on_in_eval_mode():
    network = UNetGenerator(levels=6, width=4).eval()
    source = torch.randn(1, 3, 64, 64)
    assert torch.equal(network(source), network(source))
    set_variation(network, True)
    assert not torch.equal(network(source), network(source))
    set_variation(network, False)
    assert torch.equal(network(source), network(source))


def test_refining_sees_the_source_at_full_resolution_and_interpolates_at_all_levels():
    torch.manual_seed(0)
    network = UNetGenerator(levels=3, width=4, in_channels=2, out_channels=1, upsample="bilinear", refine_channels=5)
    assert [up[1].between for up in network.ups] == ["bilinear"] * 3
    plain = UNetGenerator(levels=3, width=4, in_channels=2, out_channels=1, upsample="bilinear")
    # The last up-sampling makes 5 channels, not 1, of 8; then come (2 + 5) × 5 and 5 × 1 kernels of 3×3, and biases.
    extra = 8 * 4 * 9 + 4 + (7 * 5 * 9 + 5) + (5 * 9 + 1)
    assert network.parameter_count - plain.parameter_count == extra
    assert plain.refine is None

    source = torch.randn(1, 2, 16, 24)
    made = network.eval()(source)
    assert made.shape == (1, 1, 16, 24)
    assert made.abs().max() < 1
    # Past the decoder: with that silent, what is left depends on the source, and on 5×5 pixels of it.
    with torch.no_grad():
        network.ups[-1][1].weight.zero_()
        network.ups[-1][1].bias.zero_()
    source.requires_grad_(True)
    network(source)[0, 0, 8, 12].backward()
    seen = source.grad[0].abs().sum(0).nonzero()
    assert seen.min(0).values.tolist() == [6, 10]
    assert seen.max(0).values.tolist() == [10, 14]


def test_noise_is_drawn_in_training_zero_in_eval_and_can_be_given():
    network = UNetGenerator(levels=3, width=4, noise_channels=2, dropout=0.0).train()
    source = torch.randn(1, 3, 16, 16)
    assert not torch.equal(network(source), network(source))
    network.eval()
    assert torch.equal(network(source), network(source, torch.zeros(1, 2, 16, 16)))
    assert not torch.equal(network(source), network(source, torch.ones(1, 2, 16, 16)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: UNetGenerator(width=0), "width must be a whole number from 1 to 512, got 0"),
        (lambda: UNetGenerator(width=2.5), "width must be a whole number"),
        (lambda: UNetGenerator(levels=99), "levels"),
        (lambda: ResNetGenerator(blocks=-1), "blocks"),
        (lambda: ResNetGenerator(dropout=1.0), "dropout"),
        (lambda: ResNetGenerator(width=4, norm="group"), "'batch', 'instance' or 'none', got 'group'"),
        (lambda: UNetGenerator(width=4, upsample="cubic"), "'transpose', 'resize' or 'bilinear', got 'cubic'"),
        (lambda: PatchDiscriminator(layers=0), "layers"),
        (lambda: UNetGenerator(levels=4, width=4)(torch.zeros(1, 3, 40, 32)), "multiples of 16, got 40×32"),
        (lambda: ResNetGenerator(blocks=1, width=4)(torch.zeros(1, 3, 10, 16)), "multiples of 4"),
    ],
)
def test_what_cannot_work_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
