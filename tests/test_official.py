"""Checkpoints of the original PyTorch code: every layout computes the same here, and goes back as it was."""

import os
from collections import OrderedDict
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from img2img_hub import PatchDiscriminator, PixelDiscriminator, ResNetGenerator, Translator, UNetGenerator
from img2img_hub.networks.blocks import set_norm_statistics
from img2img_hub.official.file import read_official, save_official, to_official
from img2img_hub.official.layouts import find_layout, original_names
from tests.conftest import picture
from tests.originals import assert_same, original_patch, original_pixel, original_resnet, original_unet, save, trained

# name: (the original's module and what it must become here, both by their width, pixels that they take)
LAYOUTS = {}
for norm in ("batch", "instance", "none"):
    for drop in (False, True):
        name = f"{norm} norm, {'' if drop else 'no '}dropout"
        for levels in (5, 7, 8):
            arguments = {"levels": levels, "norm": norm}
            LAYOUTS[f"unet_{2**levels}, {name}"] = (
                partial(original_unet, **arguments, bands=2, made=3, dropout=drop),
                partial(UNetGenerator, **arguments, in_channels=2, out_channels=3, dropout=0.5),  # it does not show
                2**levels,
            )
        for blocks in (1, 6, 9):
            arguments = {"blocks": blocks, "norm": norm}
            LAYOUTS[f"resnet_{blocks}, {name}"] = (
                partial(original_resnet, **arguments, bands=3, made=1, dropout=drop),
                partial(ResNetGenerator, **arguments, in_channels=3, out_channels=1, dropout=0.5 if drop else 0.0),
                20,
            )
    for layers in range(1, 7):
        LAYOUTS[f"discriminator of {layers} layers, {norm} norm"] = (
            partial(original_patch, layers=layers, bands=6, norm=norm),
            partial(PatchDiscriminator, layers=layers, in_channels=6, norm=norm),
            4 * 2**layers + 9,
        )
    LAYOUTS[f"pixel discriminator, {norm} norm"] = (
        partial(original_pixel, bands=6, norm=norm),
        partial(PixelDiscriminator, in_channels=6, norm=norm),
        9,
    )


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- every layout -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("original", "tensors"),
    [
        (lambda: original_unet(8, 64, 3, 3, "batch", True), 82),
        (lambda: original_unet(8, 64, 3, 3, "instance", False), 32),
        (lambda: original_unet(7, 64, 3, 3, "batch", True), 70),
        (lambda: original_resnet(9, 64, 3, 3, "instance", False), 48),
        (lambda: original_resnet(6, 64, 3, 3, "instance", False), 36),
        (lambda: original_patch(3, 64, 6, "batch"), 22),
        (lambda: original_patch(3, 64, 3, "instance"), 10),
    ],
)
def test_the_originals_written_here_have_as_many_tensors_as_the_published_files(original, tensors):
    with torch.device("meta"):
        assert len(original().state_dict()) == tensors


def test_the_originals_written_here_have_the_names_of_the_published_files():
    with torch.device("meta"):
        unet = original_unet(8, 64, 3, 3, "batch", True).state_dict()
        resnet = original_resnet(9, 64, 3, 3, "instance", False).state_dict()
        dropped = original_resnet(6, 64, 3, 3, "batch", True).state_dict()
        patch = original_patch(3, 64, 6, "batch").state_dict()
        pixel = original_pixel(64, 6, "batch").state_dict()
    inner = "model.model.1." + 6 * "model.3."
    assert unet["model.model.0.weight"].shape == (64, 3, 4, 4)
    assert unet["model.model.3.weight"].shape == (128, 3, 4, 4)
    assert "model.model.3.bias" in unet
    assert {f"{inner}model.{name}" for name in ("1.weight", "3.weight", "4.weight", "4.bias")} <= set(unet)
    assert unet["model.model.1.model.5.weight"].shape == (256, 64, 4, 4)
    assert {"model.10.conv_block.1.weight", "model.18.conv_block.5.bias"} <= set(resnet)
    assert [tuple(resnet[f"model.{n}.weight"].shape) for n in (1, 19, 22, 26)] == [
        (64, 3, 7, 7),
        (256, 128, 3, 3),
        (128, 64, 3, 3),
        (3, 64, 7, 7),
    ]
    assert {"model.2.weight", "model.17.weight", "model.15.conv_block.6.weight", "model.15.conv_block.7.bias"} <= set(
        dropped
    )
    assert "model.1.bias" not in dropped
    assert [name for name in patch if name.endswith("bias")] == [f"model.{n}.bias" for n in (0, 3, 6, 9, 11)]
    assert [name for name, value in pixel.items() if value.ndim == 4] == [
        "net.0.weight",
        "net.2.weight",
        "net.5.weight",
    ]
    assert "net.0.bias" in pixel


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_checkpoint_computes_what_the_original_computed_and_goes_back_as_it_was(layout):
    make, ours, size = LAYOUTS[layout]
    original = trained(make(width=4))
    path = save(original.state_dict())
    read = read_official(path)
    assert read.network.config == ours(width=4).config
    assert not read.network.training
    assert all(parameter.requires_grad for parameter in read.network.parameters())
    image = torch.rand(1, read.network.in_channels, size, size) * 2 - 1
    with torch.inference_mode():
        expected = original(image.clone())
        assert expected.std() > 1e-3
        assert (read.network(image) - expected).abs().max() <= 1e-6 * max(1, expected.abs().max())
    assert_same(to_official(read.network), original.state_dict())


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if "none norm" not in layout])
def test_names_and_shapes_at_full_width(layout):
    make, ours, _ = LAYOUTS[layout]
    with torch.device("meta"):
        state, network = make(width=64).state_dict(), ours(width=64)
    names = original_names(network)
    found = [(names[name], value.shape) for name, value in network.state_dict().items()]
    assert found == [(name, value.shape) for name, value in state.items()]
    found = find_layout(state)
    arguments, _ = found.arguments(state, dropout=None, norm=None)
    assert found.network is type(network)
    assert arguments.items() <= network.config.items()


@pytest.mark.parametrize("levels", [5, 8])
def test_batch_norm_by_the_images_own_statistics_is_the_originals_test_mode(levels):
    original = trained(original_unet(levels, 4, 3, 3, "batch", True)).train()
    for layer in original.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()
    network = read_official(save(trained(original_unet(levels, 4, 3, 3, "batch", True)).state_dict())).network
    set_norm_statistics(network, "image")
    image = torch.rand(1, 3, 2**levels, 2**levels) * 2 - 1
    with torch.no_grad():
        expected = original(image.clone())
        assert (network(image) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize(
    "network",
    [
        UNetGenerator(levels=6, width=4),
        UNetGenerator(levels=5, width=4, norm="instance", dropout=0.0),
        ResNetGenerator(blocks=2, width=4, norm="batch", dropout=0.5),
        ResNetGenerator(blocks=2, width=4),
        PatchDiscriminator(layers=2, width=4),
        PixelDiscriminator(width=4, norm="instance"),
    ],
    ids=lambda network: type(network).__name__,
)
def test_a_network_of_ours_loads_in_the_original_and_computes_the_same(network):
    network.half().eval()  # a file is float32 whatever the network is
    save_official(network, "out.pth")
    assert os.listdir() == ["out.pth"]
    config = network.config
    norm, wide = config["norm"], config["width"]
    if isinstance(network, UNetGenerator):
        original = original_unet(config["levels"], wide, 3, 3, norm, config["dropout"] > 0)
    elif isinstance(network, ResNetGenerator):
        original = original_resnet(config["blocks"], wide, 3, 3, norm, config["dropout"] > 0)
    elif isinstance(network, PatchDiscriminator):
        original = original_patch(config["layers"], wide, 6, norm)
    else:
        original = original_pixel(wide, 6, norm)
    state = torch.load("out.pth", weights_only=True)
    assert type(state) is OrderedDict
    assert list(state) == list(original.state_dict())
    assert {value.dtype for value in state.values()} <= {torch.float32, torch.int64}
    original.load_state_dict(state)
    image = torch.rand(1, network.in_channels, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network.float()(image), original.eval()(image.clone()), atol=1e-6)


# --- quirks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_the_prefixes_of_wrappers_are_stripped(prefix):
    original = trained(original_patch(1, 4, 3, "batch"))
    read = read_official(save({prefix + name: value for name, value in original.state_dict().items()}))
    assert_same(to_official(read.network), original.state_dict())


@pytest.mark.parametrize("old_format", [False, True])
def test_statistics_of_old_instance_norms_are_dropped(old_format):
    original = trained(original_resnet(2, 4, 3, 3, "old instance", False))
    state = original.state_dict()
    assert sum("running" in name for name in state) == 18
    read = read_official(save(state, _use_new_zipfile_serialization=not old_format))
    assert read.network.config == ResNetGenerator(blocks=2, width=4).config
    assert "27 running statistics of instance norms were dropped" in read.notes[0]
    image = torch.rand(1, 3, 20, 20)
    with torch.no_grad():  # an instance norm normalises by the image, as the original's test.py has it
        assert torch.allclose(read.network(image), original.train()(image), atol=1e-6)


def test_statistics_of_batch_norms_stay_and_missing_counters_start_at_zero():
    original = trained(original_unet(5, 4, 3, 3, "batch", True))
    state = {name: value for name, value in original.state_dict().items() if "num_batches" not in name}
    read = read_official(save(state))
    back = to_official(read.network)
    assert_same({name: value for name, value in back.items() if "num_batches" not in name}, state)
    assert not any(value for name, value in back.items() if "num_batches" in name)
    assert any("counters" in note for note in read.notes)


def test_weights_become_float32_with_memory_of_their_own():
    state = trained(original_pixel(4, 3, "instance")).half().state_dict()
    state["net.2.bias"] = state["net.0.weight"].flatten()[:8]  # a view of another tensor
    network = read_official(save(state)).network
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    assert len({value.untyped_storage().data_ptr() for value in network.parameters()}) == 6


def test_a_unets_dropout_is_recorded_and_acts_only_in_variations():
    path = save(trained(original_unet(6, 4, 3, 3, "instance", False)).state_dict())
    translator = Translator.from_official(path, device="cpu")
    assert translator.network.config["dropout"] == 0.5
    photo = picture(seed=1, size=(64, 64))
    assert translator(photo).tobytes() == translator(photo).tobytes()
    assert translator(photo, seed=1).tobytes() != translator(photo).tobytes()
    without = Translator.from_official(path, dropout=0.0, device="cpu")
    assert without(photo, seed=1).tobytes() == without(photo).tobytes() == translator(photo).tobytes()


def test_what_is_inferred_can_be_overridden():
    path = save(trained(original_resnet(1, 4, 3, 3, "instance", False)).state_dict())
    settings = Translator.from_official(path, device="cpu").settings
    assert (settings.family, settings.resize, settings.working_size) == ("cyclegan", "native", 256)
    translator = Translator.from_official(
        path, norm="none", family="pix2pix", norm_statistics="running", working_size=512, device="cpu"
    )
    settings = translator.settings
    assert translator.network.config["norm"] == "none"
    assert (settings.family, settings.norm_statistics, settings.working_size) == ("pix2pix", "running", 512)
    path = save(trained(original_unet(7, 4, 3, 1, "batch", True)).state_dict())
    settings = Translator.from_official(path, device="cpu").settings
    assert (settings.family, settings.resize, settings.working_size) == ("pix2pix", "fit", 128)
    assert (settings.source_channels, settings.target_channels, settings.norm_statistics) == (3, 1, "image")
