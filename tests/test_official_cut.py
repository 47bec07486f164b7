"""CUT's own checkpoints, _net_G.pth, _net_F.pth and _net_D.pth: read, computed and written back as they are.

python -m pytest tests/test_official_cut.py
"""

import os
from functools import partial
from pathlib import Path

import pytest
import torch

from img2img_hub import Network, PatchDiscriminator, ResNetGenerator, Translator
from img2img_hub.networks import PatchHeads
from img2img_hub.official.file import read_official, save_official, to_official
from img2img_hub.official.layouts import find_layout
from tests.conftest import picture
from tests.conftest import run_command as run
from tests.originals import (
    OriginalHeads,
    assert_same,
    original_cut_patch,
    original_cut_resnet,
    original_resnet,
    save,
    trained,
)

pytestmark = pytest.mark.usefixtures("here")

LAYOUTS = {}
for norm in ("batch", "instance", "none"):
    for blocks, drop in ((0, False), (1, True), (6, False), (9, False)):
        LAYOUTS[f"resnet_{blocks}, {norm} norm, {'' if drop else 'no '}dropout"] = (
            partial(original_cut_resnet, blocks=blocks, bands=3, made=3, norm=norm, dropout=drop),
            partial(ResNetGenerator, blocks=blocks, norm=norm, dropout=0.5 if drop else 0.0, antialias=True),
        )
    for layers in (1, 3, 5):
        LAYOUTS[f"discriminator of {layers} layers, {norm} norm"] = (
            partial(original_cut_patch, layers=layers, bands=3, norm=norm),
            partial(PatchDiscriminator, layers=layers, in_channels=3, norm=norm, antialias=True),
        )


def generator(**options):
    return trained(original_cut_resnet(**{"blocks": 1, "width": 4, "bands": 3, "made": 3, "dropout": False} | options))


def test_the_originals_written_here_are_the_published_files():
    """FIDELITY: numbers of tensors, and where they stand."""
    with torch.device("meta"):
        resnet = original_cut_resnet(9, 64, 3, 3, "instance", False).state_dict()
        heads = OriginalHeads((3, 128, 256, 256, 256), 256).state_dict()
        patch = original_cut_patch(3, 64, 3, "instance").state_dict()
        plain = original_cut_resnet(9, 64, 3, 3, "instance", False, down=False, up=False).state_dict()
    assert (len(resnet), len(heads), len(patch), len(plain)) == (52, 20, 13, 48)
    assert [name for name in resnet if "filt" in name] == [f"model.{place}.filt" for place in (7, 11, 21, 25)]
    assert [name for name in patch if "filt" in name] == [f"model.{place}.filt" for place in (2, 6, 10)]
    convolutions = [name for name in resnet if name.endswith("weight") and "block" not in name]
    assert convolutions == [f"model.{place}.weight" for place in (1, 4, 8, 22, 26, 30)]
    assert resnet["model.22.weight"].shape == (128, 256, 3, 3)
    assert {"model.12.conv_block.1.weight", "model.20.conv_block.5.bias"} <= set(resnet)
    assert {"mlp_0.0.weight", "mlp_4.2.bias"} <= set(heads)
    assert sum(value.numel() for value in heads.values()) == 560_384


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_checkpoint_computes_what_the_original_computed_and_goes_back_as_it_was(layout):
    make, ours = LAYOUTS[layout]
    original = trained(make(width=4))
    read = read_official(save(original.state_dict()))
    assert read.network.config == ours(width=4).config
    image = torch.rand(1, 3, 128, 128) * 2 - 1
    with torch.inference_mode():
        expected = original(image.clone())
        assert expected.std() > 1e-3
        assert (read.network(image) - expected).abs().max() <= 2e-6 * max(1, expected.abs().max())
    assert_same(to_official(read.network), original.state_dict())
    with torch.device("meta"):
        full = make(width=64).state_dict()
    found = find_layout(full)
    arguments, _ = found.arguments(full, dropout=None, norm=None if "none" not in layout else "none")
    assert found.network is type(read.network)
    assert arguments.items() <= ours(width=64).config.items()


def test_without_filters_it_is_the_resnet_that_is_known():
    original = generator(norm="instance", down=False, up=False)
    assert_same(original.state_dict(), trained(original_resnet(1, 4, 3, 3, "instance", False)).state_dict())
    path = save(original.state_dict())
    assert read_official(path).network.config["antialias"] is False
    assert Translator.from_official(path, family="cut", device="cpu").settings.family == "cut"


@pytest.mark.parametrize("count", [1, 5, 12])
def test_heads_compute_what_the_originals_computed_and_go_back_as_they_were(count):
    channels = [3, 8, 16, 16, 16][:count] + [5] * (count - 5)
    original = trained(OriginalHeads(channels, 6))
    read = read_official(save(original.state_dict(), "latest_net_F.pth"))
    assert read.network.config == PatchHeads(channels=",".join(map(str, channels)), width=6).config
    features = tuple(torch.randn(2, wide, 5, 7) for wide in channels)
    places = tuple(torch.randperm(35)[:9] for _ in channels)
    with torch.no_grad():
        for one, other in zip(read.network(features, places), original(features, places), strict=True):
            assert torch.allclose(one, other, rtol=0, atol=1e-6)
    assert_same(to_official(read.network), original.state_dict())


@pytest.mark.parametrize(
    "network",
    [
        ResNetGenerator(width=4, blocks=2, norm="batch", antialias=True),
        PatchDiscriminator(in_channels=3, width=4, layers=2, norm="instance", antialias=True),
    ],
    ids=lambda network: type(network).__name__,
)
def test_a_network_of_ours_loads_in_the_original_and_computes_the_same(network):
    save_official(network.eval(), "out.pth")
    if isinstance(network, ResNetGenerator):
        original = original_cut_resnet(2, 4, 3, 3, "batch", False)
    else:
        original = original_cut_patch(2, 4, 3, "instance")
    state = torch.load("out.pth", weights_only=True)
    assert list(state) == list(original.state_dict())
    original.load_state_dict(state)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(network(image), original.eval()(image.clone()), atol=1e-6)


# --- the command ------------------------------------------------------------------------------------------------------


def test_convert_takes_all_three_files_there_and_back(capsys):
    originals = {
        "G": generator(norm="instance"),
        "F": trained(OriginalHeads((3, 8, 16), 4)),
        "D": trained(original_cut_patch(3, 4, 3, "instance")),
    }
    for letter, original in originals.items():
        path = save({f"module.{name}": value for name, value in original.state_dict().items()}, f"50_net_{letter}.pth")
        assert run(f"convert {path} --output {letter}") == 0
        assert run(f"convert {letter} --to_official back_{letter}.pth") == 0
        assert_same(torch.load(f"back_{letter}.pth", weights_only=True), original.state_dict())
    said = capsys.readouterr().out
    assert "antialias=True" in said
    assert "taken for cut" in said
    assert "a PatchHeads translates nothing: it stands in training/ of its generator" in said
    assert "a PatchDiscriminator translates nothing" in said
    assert sorted(os.listdir("F")) == ["config.json", "model.safetensors"]
    card = Path("G/README.md").read_text()
    assert "taesungp/contrastive-unpaired-translation" in card
    assert "\nTrained with CUT, as its network suggests (the file does not tell).\n" in card
    assert type(Network.from_pretrained("F")) is PatchHeads
    photo = picture(seed=1, size=(40, 36))
    expected = Translator.from_official("50_net_G.pth", device="cpu")(photo)
    assert Translator.from_pretrained("G", device="cpu")(photo).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda state: state["model.7.filt"].fill_(1 / 9),
            r"1 of its 4 fixed filters \(first: model\.7\.filt\) are not",
        ),
        (lambda state: state["model.13.filt"].mul_(1.001), r"1 of its 4 fixed filters \(first: model\.13\.filt\)"),
        (lambda state: state["model.11.filt"].fill_(float("nan")), r"\(first: model\.11\.filt\) are not those"),
        (lambda state: state.update({"model.7.filt": torch.ones(8, 1, 5, 5)}), r"model\.7\.filt is .*\(8, 1, 5, 5\)"),
        (lambda state: state.update({"model.7.filt": torch.ones(8, 1, 3, 3, dtype=torch.int64)}), r"torch\.int64"),
        (lambda state: state.pop("model.17.filt"), r"1 tensors are missing \(first: model\.17\.filt\)"),
        (lambda state: state.update({"model.5.filt": torch.ones(1)}), r"1 are not its own \(first: model\.5\.filt\)"),
    ],
)
def test_filters_that_are_not_the_originals_are_refused(change, says, capsys):
    state = generator(norm="instance").state_dict()
    change(state)
    with pytest.raises(ValueError, match=says):
        read_official(save(state))
    assert run("convert latest_net_G.pth --output out") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path("out").exists()


def test_filters_of_a_discriminator_are_compared_too():
    state = trained(original_cut_patch(3, 4, 3, "instance")).state_dict()
    state["model.10.filt"].zero_()
    with pytest.raises(ValueError, match=r"1 of its 3 fixed filters \(first: model\.10\.filt\)"):
        read_official(save(state))


@pytest.mark.parametrize(("down", "up", "says"), [(True, False, "only halves"), (False, True, "only doubles")])
@pytest.mark.parametrize("blocks", [0, 1, 9])
def test_antialiased_on_one_way_alone_is_refused_with_the_option_that_made_it(blocks, down, up, says):
    state = generator(norm="instance", blocks=blocks, down=down, up=up).state_dict()
    option = "--no_antialias_up" if down else "--no_antialias;"
    with pytest.raises(ValueError, match=rf"{says} its features by fixed filters, .*{option}"):
        read_official(save(state))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"norm": "instance"}, "it is a PatchHeads, which has no norm: leave norm instance out"),
        ({"dropout": 0.5}, "it is a PatchHeads, which has no dropout: leave dropout 0.5 out"),
    ],
)
def test_wishes_that_say_nothing_to_heads_are_refused(options, says):
    path = save(trained(OriginalHeads((3, 8), 4)).state_dict(), "latest_net_F.pth")
    with pytest.raises(ValueError, match=says):
        read_official(path, **options)


def test_heads_are_no_translator_and_damaged_ones_are_named():
    original = trained(OriginalHeads((3, 8), 4))
    path = save(original.state_dict(), "latest_net_F.pth")
    with pytest.raises(ValueError, match="PatchHeads"):
        Translator.from_official(path)
    state = original.state_dict()
    del state["mlp_1.2.bias"]
    with pytest.raises(ValueError, match=r"PatchHeads\(channels=3,8, width=4\), but 1 tensors are missing"):
        read_official(save(state, "latest_net_F.pth"))


def test_what_cuts_code_cannot_build_is_not_written():
    with pytest.raises(ValueError, match=r"upsample 'resize', .* knows 'transpose' only"):
        save_official(ResNetGenerator(width=2, blocks=1, antialias=True, upsample="resize"), "out.pth")
    assert os.listdir() == []
