"""The discriminators of pix2pixHD and SPADE: sizes, counts, biases, what is divided, what they give on request."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from img2img_hub import MultiScaleDiscriminator, Network, PatchDiscriminator, PixelDiscriminator
from img2img_hub.networks.blocks import BatchNorm2d, initialise_xavier
from img2img_hub.objectives.calls import call_each

HD = {"norm": "instance", "layout": "pix2pixhd"}
SPADE = {"norm": "instance", "layout": "spade", "spectral_norm": True, "scales": 2}


def convolutions(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


# FIDELITY_HD_SPADE A7, B8: parameters and tensors of the originals.
@pytest.mark.parametrize(
    ("arguments", "parameters", "tensors"),
    [
        (HD | {"in_channels": 39, "scales": 2}, 5_603_202, 20),
        (HD | {"in_channels": 39, "scales": 3}, 8_404_803, 30),
        (HD | {"in_channels": 6, "scales": 2}, 5_535_618, 20),
        (HD | {"in_channels": 6, "scales": 3}, 8_303_427, 30),
        (SPADE | {"in_channels": 184 + 3}, 5_904_514, 2 * (2 + 3 * 3 + 2)),
        (SPADE | {"in_channels": 12 + 3}, 5_552_258, 2 * (2 + 3 * 3 + 2)),
    ],
)
def test_size_is_that_of_the_original(arguments, parameters, tensors):
    with torch.device("meta"):
        made = MultiScaleDiscriminator(**arguments)
    assert made.parameter_count == parameters
    assert len(made.state_dict()) == tensors


@pytest.mark.parametrize(("layout", "scales"), [("pix2pixhd", 3), ("spade", 2)])
def test_256_pixels_give_as_many_logits_as_the_originals(layout, scales):
    network = MultiScaleDiscriminator(in_channels=5, width=2, norm="instance", layout=layout, scales=scales)
    logits = network(torch.randn(1, 5, 256, 256))
    assert [tuple(scale.shape) for scale in logits] == [(1, 1, side, side) for side in (35, 19, 11)[:scales]]
    convs = convolutions(network.judges[0])
    assert [(conv.stride, conv.padding) for conv in convs] == [((step,) * 2, (2, 2)) for step in (2, 2, 2, 1, 1)]


@pytest.mark.parametrize("layout", ["pix2pixhd", "spade"])
def test_channels_end_at_512_whatever_the_width(layout):
    with torch.device("meta"):
        wide = PatchDiscriminator(width=32, layers=6, layout=layout)
    assert [conv.out_channels for conv in convolutions(wide)] == [32, 64, 128, 256, 512, 512, 512, 1]
    with torch.device("meta"):
        plain = PatchDiscriminator(width=32, layers=4)
    assert [conv.out_channels for conv in convolutions(plain)] == [32, 64, 128, 256, 256, 1]


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_pix2pixhd_has_biases_under_any_norm_and_they_start_as_pytorch_draws_them(norm):
    torch.manual_seed(0)
    network = PatchDiscriminator(width=32, norm=norm, layout="pix2pixhd")
    for conv in convolutions(network):
        assert abs(conv.weight.std().item() - 0.02) < 3e-3
        bound = conv.weight[0].numel() ** -0.5
        assert 0 < conv.bias.abs().max() <= bound
    gains = [layer for layer in network.modules() if isinstance(layer, BatchNorm2d)]
    assert len(gains) == (3 if norm == "batch" else 0)
    assert all((gain.bias == 0).all() and gain.weight.std() > 0.01 for gain in gains)
    zeroed = PatchDiscriminator(width=32, norm=norm)
    assert all((conv.bias == 0).all() for conv in convolutions(zeroed) if conv.bias is not None)


def test_spade_divides_the_middle_layers_only_which_have_no_biases():
    network = PatchDiscriminator(width=4, norm="instance", layout="spade", spectral_norm=True)
    convs = convolutions(network)
    assert [hasattr(conv, "parametrizations") for conv in convs] == [False, True, True, True, False]
    assert [conv.bias is None for conv in convs] == [False, True, True, True, False]
    before = network.layers[2].parametrizations.weight.original.clone()
    torch.manual_seed(0)
    initialise_xavier(network.modules())
    after = network.layers[2].parametrizations.weight.original
    bound = 0.02 * (2 / (16 * 4 + 16 * 8)) ** 0.5
    assert not torch.equal(before, after)
    assert after.std().item() == pytest.approx(bound, rel=0.1), "what is divided is drawn, not the quotient"


def test_pix2pixs_layout_is_the_default_and_that_of_old_configs(tmp_path):
    for network in (PatchDiscriminator(width=4, layers=1), MultiScaleDiscriminator(width=4, layers=1)):
        network.save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        assert config.pop("layout") == "pix2pix"
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert Network.from_pretrained(tmp_path).config == network.config
    with pytest.raises(ValueError, match="layout must be one of pix2pix, pix2pixhd, spade, got 'cut'"):
        PatchDiscriminator(layout="cut")  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", ["instance", "none"])
@pytest.mark.parametrize(("scales", "smallest"), [(1, 2), (2, 3), (3, 5)])
def test_the_smallest_image_is_judged(norm, scales, smallest):
    network = MultiScaleDiscriminator(in_channels=3, width=2, norm=norm, layout="pix2pixhd", scales=scales)
    assert network.min_size == smallest
    assert network.train()(torch.randn(1, 3, smallest, smallest))[-1].isfinite().all()
    if norm == "instance":
        with pytest.raises(ValueError, match="more than 1 spatial"):
            network(torch.randn(1, 3, smallest - 1, smallest - 1))


@pytest.mark.parametrize("layout", ["pix2pix", "pix2pixhd", "spade"])
def test_stages_are_what_each_layer_but_the_last_makes(layout):
    torch.manual_seed(0)
    network = MultiScaleDiscriminator(in_channels=3, width=4, norm="instance", layout=layout, scales=2)
    image = torch.randn(2, 3, 64, 64)
    logits, stages = network(image, features=True)
    assert all(map(torch.equal, logits, network(image)))
    assert [len(scale) for scale in stages] == [4, 4]
    border = 1 if layout == "pix2pix" else 2
    for scale, own in enumerate(stages):
        x = image if scale == 0 else F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
        convs = convolutions(network.judges[scale])
        for number, (conv, stage) in enumerate(zip(convs[:-1], own, strict=True)):
            x = F.conv2d(x, conv.weight, conv.bias, stride=2 if number < 3 else 1, padding=border)
            x = F.leaky_relu(F.instance_norm(x) if number else x, 0.2)
            assert torch.allclose(stage, x, atol=1e-5)
        assert torch.allclose(logits[scale], F.conv2d(x, convs[-1].weight, convs[-1].bias, padding=border), atol=1e-5)


@pytest.mark.parametrize(
    ("network", "channels"),
    [
        (PatchDiscriminator(in_channels=3, width=4, layers=2, norm="instance"), [4, 8, 16]),
        (PatchDiscriminator(in_channels=3, width=4, layers=2, norm="instance", antialias=True), [4, 8, 16]),
        (PixelDiscriminator(in_channels=3, width=4, norm="instance"), [4, 8]),
    ],
)
def test_a_discriminator_of_one_scale_gives_stages_of_one(network, channels):
    image = torch.randn(2, 3, 32, 32)
    logits, stages = network(image, features=True)
    assert torch.equal(logits, network(image))
    ((*own,),) = stages
    assert [stage.shape[1] for stage in own] == channels


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_fakes_and_targets_in_one_call_give_each_its_stages(norm):
    torch.manual_seed(0)
    network = MultiScaleDiscriminator(in_channels=3, width=2, layers=1, norm=norm, scales=2)
    images = [torch.randn(count, 3, 16, 16) for count in (2, 3)]
    for image, (logits, stages) in zip(images, call_each(network, *images, features=True), strict=True):
        alone, own = network(image, features=True)
        pairs = [*zip(logits, alone, strict=True)]
        for scale, other in zip(stages, own, strict=True):
            pairs += zip(scale, other, strict=True)
        assert len(pairs) == 2 + 4
        assert all(torch.allclose(one, two, atol=1e-6) for one, two in pairs)
