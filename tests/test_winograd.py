"""Winograd's convolutions give PyTorch's numbers, forwards, backwards and twice backwards, and only in training."""

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from img2img_hub import Architecture, FastCUT, ResNetGenerator
from img2img_hub.networks.blocks import Conv2d
from img2img_hub.networks.resnet import ResidualBlock
from img2img_hub.networks.spade import SpadeNorm
from img2img_hub.networks.winograd import BorderedConvolution, is_faster
from tests.runs import assert_same_end, interrupt_at

pytest_plugins = ["tests.starting"]


def tensors(*, count=1, channels=64, made=64, height=32, width=32, bias=True):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(count, channels, height, width, generator=draw)
    kernel = torch.randn(made, channels, 3, 3, generator=draw) * 0.02
    return x, kernel, torch.randn(made, generator=draw) if bias else None


both_borders = pytest.mark.parametrize("border", ["reflect", "constant"])


def plain(x, kernel, bias, border):
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode=border), kernel, bias)


def results(function, inputs, *, border="reflect", dtype=torch.float32):
    """The output, and the gradients of a sum of it that weighs every pixel otherwise."""
    inputs = [None if tensor is None else tensor.to(dtype, copy=True).requires_grad_() for tensor in inputs]
    output = function(*inputs, border)
    (output * torch.randn(output.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    return [output.detach()] + [tensor.grad for tensor in inputs if tensor is not None]


def distance(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize(
    "shape",
    [
        {"channels": 256, "made": 256, "height": 64, "width": 64},
        {"count": 3, "channels": 8, "made": 12, "height": 32, "width": 40},
        {"count": 2, "channels": 12, "made": 8, "height": 33, "width": 38},  # no multiples of a tile
        {"channels": 8, "made": 8, "height": 2, "width": 3, "bias": False},
    ],
    ids=str,
)
@both_borders
def test_values_and_gradients_are_those_of_the_plain_convolution(shape, border):
    inputs = tensors(**shape)
    exact = results(plain, inputs, border=border, dtype=torch.float64)
    for found, expected in zip(results(BorderedConvolution.apply, inputs, border=border), exact, strict=True):
        assert found.is_contiguous()
        assert found.shape == expected.shape
        assert distance(found, expected) < 1e-5
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_no_result_lies_in_memory_that_the_next_convolution_uses():
    inputs = tensors()
    first = results(BorderedConvolution.apply, inputs)
    before = [tensor.clone() for tensor in first]
    results(BorderedConvolution.apply, [None if tensor is None else tensor + 1 for tensor in inputs])
    assert all(map(torch.equal, first, before))


def test_the_same_twice_is_the_same_to_the_last_bit():
    inputs = tensors(count=2, channels=128, made=128)
    first = results(BorderedConvolution.apply, inputs)
    results(BorderedConvolution.apply, tensors(height=48))  # the memory holds other numbers in between
    assert all(map(torch.equal, first, results(BorderedConvolution.apply, inputs)))


@pytest.mark.parametrize("height", [32, 33], ids=["whole tiles", "a border"])
@pytest.mark.parametrize("with_bias", [True, False])
def test_a_result_may_be_written_over(height, with_bias):
    """As SPADE's norms do, and any activation in place."""

    def slopes(function):
        inputs = [tensor.clone().requires_grad_() for tensor in tensors(height=height)]
        output = function(*inputs[:2], inputs[2] if with_bias else None, "constant")
        F.relu(output.add_(1), inplace=True).square().sum().backward()
        return [tensor.grad for tensor in inputs if tensor.grad is not None]

    for found, expected in zip(slopes(BorderedConvolution.apply), slopes(plain), strict=True):
        assert distance(found, expected) < 1e-4


def test_a_spade_norm_of_the_papers_width_learns_by_it():
    torch.manual_seed(0)
    norm = SpadeNorm(128, map_channels=4, hidden=128, norm="batch")
    x, map = torch.randn(1, 128, 64, 64), torch.rand(1, 4, 64, 64)
    output = norm(x, map)
    assert "BorderedConvolutionBackward" in {type(node).__name__ for node in nodes(output.grad_fn)}
    output.square().sum().backward()
    read = F.relu(norm.shared(map))
    with torch.no_grad():
        expected = norm.norm(x) * (1 + norm.gamma(read)) + norm.beta(read)
    assert distance(output, expected) < 1e-5
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in norm.parameters())


@both_borders
def test_only_the_gradients_that_are_wanted(border):
    x, kernel, bias = tensors()
    all_three = results(BorderedConvolution.apply, (x, kernel, bias), border=border)[1:]
    for wanted in range(3):
        inputs = [tensor.clone().requires_grad_(place == wanted) for place, tensor in enumerate((x, kernel, bias))]
        output = BorderedConvolution.apply(*inputs, border)
        (output * torch.randn(output.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
        assert [tensor.grad is not None for tensor in inputs] == [place == wanted for place in range(3)]
        assert torch.equal(inputs[wanted].grad, all_three[wanted])


@both_borders
def test_differentiates_twice(border):
    def slope(function):
        x, kernel, bias = (tensor.clone().requires_grad_() for tensor in tensors())
        (of_x,) = torch.autograd.grad((function(x, kernel, bias, border) ** 3).sum(), x, create_graph=True)
        return torch.autograd.grad((of_x**2).sum(), (x, kernel, bias))

    for found, expected in zip(slope(BorderedConvolution.apply), slope(plain), strict=True):
        assert distance(found, expected) < 1e-4


def test_a_generator_trains_with_it_and_translates_without_it():
    torch.manual_seed(0)
    network = ResNetGenerator(width=32, blocks=2)
    source = torch.randn(1, 3, 128, 128)
    fast = []
    for layer in network.modules():
        if isinstance(layer, Conv2d) and layer.kernel_size == (3, 3) and layer.stride == (1, 1):
            fast.append(layer)
    assert len(fast) == 4
    output = network(source)
    names = {type(node).__name__ for node in nodes(output.grad_fn)}
    assert "BorderedConvolutionBackward" in names
    assert "ConvolutionBackward0" in names, "of the encoder and the decoder"
    with torch.no_grad():
        plainly = network(source)
        by_layers = source
        for layer in network.layers:
            inner = getattr(layer, "layers", None)
            by_layers = layer(by_layers) if inner is None else by_layers + inner(by_layers)
    assert torch.equal(plainly, by_layers), "translation keeps its numbers to the last bit"
    assert distance(output, plainly) < 1e-4


def nodes(last):
    found, left = set(), [last]
    while left:
        node = left.pop()
        if node is not None and node not in found:
            found.add(node)
            left += [before for before, _ in node.next_functions]
    return found


def winograds(layer, x):
    """Whether the layer's result comes from Winograd."""
    return "BorderedConvolutionBackward" in {type(node).__name__ for node in nodes(layer(x).grad_fn)}


def test_where_it_is_faster():
    kernel = torch.randn(128, 128, 3, 3, requires_grad=True)
    x = torch.randn(1, 128, 32, 32)
    assert is_faster(x, kernel)
    assert not is_faster(x[..., :31], kernel), "few pixels"
    assert not is_faster(x[:, :127], kernel[:, :127]), "few channels"
    assert not is_faster(x.double(), kernel.double())
    with torch.no_grad():
        assert not is_faster(x, kernel)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_faster(x, kernel)
    assert not is_faster(x, kernel.detach()), "nothing to learn"


@pytest.mark.parametrize(
    "other",
    [{"stride": 2}, {"padding": 0}, {"padding": 2}, {"dilation": 2}, {"groups": 2}, {"padding_mode": "reflect"}],
    ids=str,
)
def test_a_border_of_zeros_and_no_other_way_to_convolve(other):
    x = torch.randn(1, 256, 32, 32)
    assert winograds(Conv2d(256, 128, 3, padding=1), x)
    assert not winograds(Conv2d(256, 128, **({"kernel_size": 3, "padding": 1} | other)), x)
    assert not winograds(Conv2d(256, 128, 1, padding=1), x)


def test_the_two_borders_of_layers():
    x = torch.randn(2, 128, 32, 40)
    zeros, block = Conv2d(128, 128, 3, padding=1), ResidualBlock(128, norm="none", dropout=0.0)
    first, second = (layer for layer in block.layers if isinstance(layer, Conv2d))
    inner = plain(x, first.weight, first.bias, "reflect").relu()
    assert distance(zeros(x), plain(x, zeros.weight, zeros.bias, "constant")) < 1e-5
    assert distance(block(x) - x, plain(inner, second.weight, second.bias, "reflect")) < 1e-5


def test_nothing_looks_at_the_layers():
    block, x = ResidualBlock(128, norm="none", dropout=0.0), torch.randn(1, 128, 32, 32)
    assert winograds(block, x)
    convolutions = [layer for layer in block.layers if isinstance(layer, Conv2d)]
    handles = [convolution.register_forward_hook(lambda *_: None) for convolution in convolutions]
    assert not winograds(block, x), "somebody waits for the call"
    for handle in handles:
        handle.remove()
    assert winograds(block, x)
    for convolution in convolutions:
        nn.utils.parametrizations.spectral_norm(convolution)
    assert not winograds(block, x), "another kernel in each call"


def test_vmap_and_tracing_get_the_plain_convolution():
    block = ResidualBlock(128, norm="none", dropout=0.0)
    images = torch.randn(3, 1, 128, 32, 32)
    expected = [image + block.layers(image) for image in images]

    assert torch.allclose(torch.vmap(block)(images), torch.stack(expected), atol=1e-5)
    traced = torch.jit.trace(block, images[0], check_trace=False)
    assert "PythonOp" not in str(traced.inlined_graph)
    assert torch.equal(traced(images[1]), expected[1])
    graph = make_fx(block)(images[0])
    assert torch.ops.aten.convolution.default in {node.target for node in graph.graph.nodes}


def test_a_run_of_enough_channels_resumes_bit_for_bit(start, monkeypatch):
    wide = Architecture(width=32, blocks=1, discriminator_layers=1, discriminator_width=4)
    counted = []
    forward = BorderedConvolution.forward
    monkeypatch.setattr(
        BorderedConvolution, "forward", staticmethod(lambda *inputs: counted.append(1) or forward(*inputs))
    )
    options = {"architecture": wide, "image_size": 128, "max_steps": 3, "checkpoint_steps": 1, "num_samples": 1}
    whole = start(FastCUT(head_width=8), "whole", **options)
    assert counted, "the fast way was taken"
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        start(FastCUT(head_width=8), "cut", **options)
    cut = start(FastCUT(head_width=8), "cut", **options, resume=True)
    assert_same_end(whole, cut, step=3)
