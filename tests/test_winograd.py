"""Winograd's convolutions give PyTorch's numbers, forwards, backwards and twice backwards, and only in training."""

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from img2img_hub import Architecture, FastCUT, ResNetGenerator
from img2img_hub.networks.blocks import Conv2d
from img2img_hub.networks.resnet import ResidualBlock
from img2img_hub.networks.winograd import ReflectedConvolution, is_faster
from tests.runs import assert_same_end, interrupt_at

pytest_plugins = ["tests.starting"]


def tensors(*, count=1, channels=64, made=64, height=32, width=32, bias=True):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(count, channels, height, width, generator=draw)
    kernel = torch.randn(made, channels, 3, 3, generator=draw) * 0.02
    return x, kernel, torch.randn(made, generator=draw) if bias else None


def plain(x, kernel, bias):
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, bias)


def results(function, inputs, *, dtype=torch.float32):
    """The output, and the gradients of a sum of it that weighs every pixel otherwise."""
    inputs = [None if tensor is None else tensor.to(dtype, copy=True).requires_grad_() for tensor in inputs]
    output = function(*inputs)
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
def test_values_and_gradients_are_those_of_the_plain_convolution(shape):
    inputs = tensors(**shape)
    exact = results(plain, inputs, dtype=torch.float64)
    for found, expected in zip(results(ReflectedConvolution.apply, inputs), exact, strict=True):
        assert found.is_contiguous()
        assert found.shape == expected.shape
        assert distance(found, expected) < 1e-5
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_no_result_lies_in_memory_that_the_next_convolution_uses():
    inputs = tensors()
    first = results(ReflectedConvolution.apply, inputs)
    before = [tensor.clone() for tensor in first]
    results(ReflectedConvolution.apply, [None if tensor is None else tensor + 1 for tensor in inputs])
    assert all(map(torch.equal, first, before))


def test_the_same_twice_is_the_same_to_the_last_bit():
    inputs = tensors(count=2, channels=128, made=128)
    first = results(ReflectedConvolution.apply, inputs)
    results(ReflectedConvolution.apply, tensors(height=48))  # the memory holds other numbers in between
    assert all(map(torch.equal, first, results(ReflectedConvolution.apply, inputs)))


def test_only_the_gradients_that_are_wanted():
    x, kernel, bias = tensors()
    all_three = results(ReflectedConvolution.apply, (x, kernel, bias))[1:]
    for wanted in range(3):
        inputs = [tensor.clone().requires_grad_(place == wanted) for place, tensor in enumerate((x, kernel, bias))]
        output = ReflectedConvolution.apply(*inputs)
        (output * torch.randn(output.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
        assert [tensor.grad is not None for tensor in inputs] == [place == wanted for place in range(3)]
        assert torch.equal(inputs[wanted].grad, all_three[wanted])


def test_differentiates_twice():
    def slope(function):
        x, kernel, bias = (tensor.clone().requires_grad_() for tensor in tensors())
        (of_x,) = torch.autograd.grad((function(x, kernel, bias) ** 3).sum(), x, create_graph=True)
        return torch.autograd.grad((of_x**2).sum(), (x, kernel, bias))

    for found, expected in zip(slope(ReflectedConvolution.apply), slope(plain), strict=True):
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
    assert "ReflectedConvolutionBackward" in names
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


def test_where_it_is_faster_and_nothing_looks_at_the_layers():
    convolution = Conv2d(128, 128, 3)
    x = torch.randn(1, 128, 32, 32)
    assert is_faster(x, convolution)
    assert not is_faster(x[..., :31], convolution), "few pixels"
    assert not is_faster(x[:, :127], Conv2d(127, 128, 3)), "few channels"
    assert not is_faster(x.double(), convolution.double())
    convolution.float()
    with torch.no_grad():
        assert not is_faster(x, convolution)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_faster(x, convolution)
    assert not is_faster(x, nn.utils.parametrizations.spectral_norm(Conv2d(128, 128, 3))), "another kernel in each call"
    assert not is_faster(x.requires_grad_(False), Conv2d(128, 128, 3).requires_grad_(False)), "nothing to learn"
    handle = convolution.register_forward_hook(lambda *_: None)
    assert not is_faster(x, convolution), "somebody waits for the call"
    handle.remove()
    assert is_faster(x, convolution)


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
    forward = ReflectedConvolution.forward
    monkeypatch.setattr(
        ReflectedConvolution, "forward", staticmethod(lambda *inputs: counted.append(1) or forward(*inputs))
    )
    options = {"architecture": wide, "image_size": 128, "max_steps": 3, "checkpoint_steps": 1, "num_samples": 1}
    whole = start(FastCUT(head_width=8), "whole", **options)
    assert counted, "the fast way was taken"
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        start(FastCUT(head_width=8), "cut", **options)
    cut = start(FastCUT(head_width=8), "cut", **options, resume=True)
    assert_same_end(whole, cut, step=3)
