"""Antialiased networks and the features that CUT compares images by, against plain code.

python -m pytest tests/test_antialias.py
"""

import inspect
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub import Network, PatchDiscriminator, ResNetGenerator
from img2img_hub.networks.antialias import BlurDown, BlurUp
from img2img_hub.networks.blocks import initialise_xavier


def blurred(x: Tensor) -> Tensor:
    """Pixel by pixel: weights 1 2 1 along either axis at every second pixel, the border reflected."""
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
    made = x.new_zeros(*x.shape[:2], (x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2)
    for row in range(made.shape[2]):
        for column in range(made.shape[3]):
            for i, one in enumerate((1, 2, 1)):
                for j, other in enumerate((1, 2, 1)):
                    made[:, :, row, column] += one * other / 16 * padded[:, :, 2 * row + i, 2 * column + j]
    return made


@pytest.mark.parametrize("size", [(8, 10), (7, 9), (2, 3)])
def test_down_is_a_blur_at_every_second_pixel(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    assert torch.allclose(BlurDown(3)(x), blurred(x), rtol=0, atol=1e-6)
    assert torch.allclose(BlurDown(3)(torch.full((1, 3, *size), 0.7)), torch.tensor(0.7)), "no border of its own"


@pytest.mark.parametrize("size", [(8, 10), (7, 9), (1, 2)])
def test_up_is_bilinear(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size) * 2 - 1
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    assert (BlurUp(3)(x) - expected).abs().max() <= 5e-7


@pytest.mark.parametrize(
    ("network", "arguments", "parameters", "tensors"),
    [
        (ResNetGenerator, {}, 11_378_179, 48),
        (ResNetGenerator, {"blocks": 6}, 7_837_699, 36),
        (PatchDiscriminator, {"in_channels": 3, "norm": "instance"}, 2_764_737, 10),
    ],
)
def test_filters_are_neither_parameters_nor_saved(
    network: type[Network], arguments: dict, parameters: int, tensors: int
) -> None:
    with torch.device("meta"):
        made = network(**arguments, antialias=True)
    assert made.parameter_count == parameters
    assert len(made.state_dict()) == tensors


def plain_resnet(convs: list, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """CUT's generator under instance norm, layer by layer: its output, and what CUT compares."""

    def normed(x: Tensor) -> Tensor:
        return F.relu(F.instance_norm(x))

    first, *convs, last = convs
    x = F.pad(x, (3,) * 4, mode="reflect")
    features = [x]
    x = normed(F.conv2d(x, first.weight, first.bias))
    for conv in convs[:2]:
        x = F.conv2d(x, conv.weight, conv.bias, padding=1)
        features.append(x)
        x = blurred(normed(x))
    for one, two in zip(convs[2:-2:2], convs[3:-2:2], strict=True):
        inner = normed(F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), one.weight, one.bias))
        x = x + F.instance_norm(F.conv2d(F.pad(inner, (1,) * 4, mode="reflect"), two.weight, two.bias))
        features.append(x)
    for conv in convs[-2:]:
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = normed(F.conv2d(x, conv.weight, conv.bias, padding=1))
    return torch.tanh(F.conv2d(F.pad(x, (3,) * 4, mode="reflect"), last.weight, last.bias)), features


def plain_discriminator(convs: list, x: Tensor) -> Tensor:
    for index, conv in enumerate(convs):
        x = F.conv2d(x, conv.weight, conv.bias, padding=1)
        if 0 < index < 4:
            x = F.instance_norm(x)
        if index < 4:
            x = F.leaky_relu(x, 0.2)
        if index < 3:
            x = blurred(x)
    return x


def with_large_weights(network: Network) -> tuple[Network, list[nn.Module]]:
    torch.manual_seed(0)
    made = network.double().train()
    for parameter in made.parameters():
        parameter.data.normal_(0, 0.1)
    return made, [layer for layer in made.modules() if isinstance(layer, nn.Conv2d)]


def test_the_generator_and_its_features_are_the_papers_layer_by_layer() -> None:
    network, convs = with_large_weights(ResNetGenerator(blocks=6, width=4, antialias=True))
    x = torch.randn(2, 3, 16, 24, dtype=torch.float64)
    expected, features = plain_resnet(convs, x)
    assert expected.std() > 1e-2
    assert torch.allclose(network(x), expected, rtol=0, atol=1e-10)
    made = network(x, taps=network.feature_taps)
    assert len(made) == 5
    for one, other in zip(made, [*features[:4], features[7]], strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-10)


def test_the_discriminator_is_the_papers_layer_by_layer() -> None:
    network, convs = with_large_weights(PatchDiscriminator(in_channels=3, width=4, norm="instance", antialias=True))
    x = torch.randn(2, 3, 40, 48, dtype=torch.float64)
    assert torch.allclose(network(x), plain_discriminator(convs, x), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("layers", "field"), [(1, 18), (2, 40), (3, 84), (4, 172)])
def test_receptive_field_and_smallest_image_of_the_discriminator(layers: int, field: int) -> None:
    network = PatchDiscriminator(in_channels=1, layers=layers, width=1, norm="none", antialias=True)
    assert network.receptive_field == field
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1e-2)
    image = torch.ones(1, 1, 640, 640, requires_grad=True)
    logits = network(image)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert image.grad is not None
    seen = image.grad[0, 0].nonzero()
    assert (seen.max(dim=0).values - seen.min(dim=0).values + 1).tolist() == [field, field]
    assert network(torch.zeros(1, 1, network.min_size, network.min_size)).shape == (1, 1, 1, 1)


def test_the_discriminator_gives_30_by_30_logits() -> None:
    assert PatchDiscriminator(width=4, antialias=True)(torch.zeros(1, 6, 256, 256)).shape == (1, 1, 30, 30)


# --- features ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("antialias", "taps", "sides"),
    [(True, (0, 4, 8, 12, 16), (262, 256, 128, 64, 64)), (False, (0, 4, 7, 10, 14), (262, 128, 64, 64, 64))],
)
def test_features_of_256_pixels(antialias: bool, taps: tuple[int, ...], sides: tuple[int, ...]) -> None:
    network = ResNetGenerator(width=4, antialias=antialias)
    assert network.feature_taps == taps
    with torch.no_grad():
        features = network(torch.randn(1, 3, 256, 256), taps=taps)
    assert tuple(feature.shape[1] for feature in features) == network.feature_channels == (3, 8, 16, 16, 16)
    assert tuple(feature.shape[2:] for feature in features) == tuple((side, side) for side in sides)
    assert all(feature.min() < 0 for feature in features), "no ReLU after a feature works in its place"
    bare = ResNetGenerator(width=4, antialias=antialias, norm="none")  # nothing lies between a convolution and its ReLU
    with torch.no_grad():
        assert all(feature.min() < 0 for feature in bare(torch.randn(1, 3, 64, 64), taps=taps))


@pytest.mark.parametrize(
    ("blocks", "taps"), [(0, (0, 4, 8)), (1, (0, 4, 8, 12)), (3, (0, 4, 8, 12, 14)), (9, (0, 4, 8, 12, 16))]
)
def test_a_generator_of_few_blocks_has_its_last_one_in_place_of_the_fifth(blocks: int, taps: tuple[int, ...]) -> None:
    network = ResNetGenerator(width=2, blocks=blocks, antialias=True)
    assert network.feature_taps == taps
    features = network(torch.zeros(1, 3, 16, 16), taps=taps)
    assert tuple(feature.shape[1] for feature in features) == network.feature_channels


def test_features_are_computed_no_further_than_the_last_asked_for_and_come_in_the_order_asked() -> None:
    network = ResNetGenerator(width=2, blocks=6, self_attention=True)
    ran: list[nn.Module] = []
    for layer in network.layers:
        layer.register_forward_hook(lambda layer, *_: ran.append(layer))
    source = torch.randn(1, 3, 16, 16)
    block, image = network(source, taps=(14, 0))
    names = [name for name, layer in network.layers.named_children() if layer in ran]
    assert names == [*map(str, range(13)), "attention", "13", "14"], "an attention in between has no number"
    assert torch.equal(image, F.pad(source, (3,) * 4, mode="reflect"))
    assert torch.equal(block, network(source, taps=(14,))[0])
    with pytest.raises(ValueError, match="has layers 0 to 24, so there is no tap 25, 99"):
        network(source, taps=(0, 25, 99))


# --- as models of the Hub ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "network",
    [
        ResNetGenerator(width=2, blocks=1, antialias=True),
        ResNetGenerator(width=2, blocks=1, antialias=True, upsample="bilinear", norm="batch"),
        PatchDiscriminator(in_channels=3, width=2, antialias=True, spectral_norm=True),
    ],
    ids=lambda network: type(network).__name__,
)
def test_what_is_saved_is_loaded(network: Network, tmp_path: Path) -> None:
    network.eval().save_pretrained(tmp_path)
    loaded = Network.from_pretrained(tmp_path)
    source = torch.randn(1, 3, 32, 32)
    assert torch.allclose(loaded(source), network(source), rtol=0, atol=1e-6)
    assert torch.equal(network.copy_as_saved(dtype="float32")(source), network(source))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"antialias": "yes"}))
    with pytest.raises(ValueError, match="antialias must be true or false, got 'yes'"):
        Network.from_pretrained(tmp_path)


@pytest.mark.parametrize("network", [ResNetGenerator, PatchDiscriminator])
def test_a_config_from_before_means_without(network: type[Network], tmp_path: Path) -> None:
    assert inspect.signature(network).parameters["antialias"].default is False
    made = network(width=2).eval()
    made.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["antialias"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = Network.from_pretrained(tmp_path)
    assert loaded.config == made.config
    source = torch.randn(1, made.in_channels, 32, 32)
    assert torch.allclose(loaded(source), made(source), rtol=0, atol=1e-6)


def test_xavier_initialisation_is_the_authors() -> None:
    torch.manual_seed(0)
    network = ResNetGenerator(norm="batch", antialias=True)
    gains = {name: value.clone() for name, value in network.named_parameters() if value.ndim == 1}
    initialise_xavier(network.modules())
    weight = network.layers[12].layers[1].weight  # type: ignore[union-attr, index]
    assert weight.std().item() == pytest.approx(4.2e-4, rel=0.02), "256 to 256 channels, 3×3"
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            fans = layer.weight[0].numel() + layer.weight[:, 0].numel()
            assert layer.weight.std().item() == pytest.approx(0.02 * (2 / fans) ** 0.5, rel=0.05)
            assert layer.bias is None or not layer.bias.any()
    assert all(torch.equal(value, network.get_parameter(name)) for name, value in gains.items()), "norms stay"
