"""pix2pixHD's step against the same written out plainly, two stages, styles."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from img2img_hub import Architecture, DataConfig, Network, Pix2PixHD, Translator
from img2img_hub.families import Outputs
from img2img_hub.images.slots import Slot
from img2img_hub.networks import InstanceEncoder
from img2img_hub.training.run.config import TrainConfig
from img2img_hub.training.run.plan import Plan
from img2img_hub.training.state.optimizers import freeze, make_optimizers
from tests.conftest import picture
from tests.families import tiny_vgg19
from tests.runs import assert_same_end, interrupt_at
from tests.test_families import adam, assert_same_weights, batches, run

pytest_plugins = ["tests.starting"]

SMALL = Architecture(width=4, blocks=1, discriminator_layers=2)
GLOBAL = Architecture(width=8, blocks=1, discriminator_layers=1, discriminator_scales=1)
WHOLE = Architecture(width=4, blocks=1, enhancers=1, enhancer_blocks=1, discriminator_layers=1, discriminator_scales=2)


def build(family, *, architecture=SMALL, in_channels=3):
    torch.manual_seed(0)
    networks = family.build(architecture, in_channels=in_channels, out_channels=3, image_size=32)
    for network in networks.values():
        network.train().double()
    return networks, copy.deepcopy(networks)


def judged(d, *images):
    """(logits, stages before them) by scale."""
    x, found = torch.cat(images, 1), []
    for number, judge in enumerate(d.judges):
        if number:
            x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        y, stages = x, []
        for layer in judge.layers:
            y = layer(y)
            if isinstance(layer, nn.LeakyReLU):
                stages.append(y)
        found.append((y, stages))
    return found


@pytest.mark.parametrize("styles", ["none", "instances"])
def test_it_steps_as_the_paper_and_its_code_do(styles, tmp_path):
    """Generator first: least squares summed over scales, 10 · matching averaged over them, 10 · VGG19; then half of the
    discriminator's, by the fake and the discriminator of before that step. No pixel is compared."""
    family = Pix2PixHD(perceptual=str(tiny_vgg19(tmp_path / "tiny.pth")), styles=styles)
    networks, plain = build(family)
    data = batches(3, size=2, side=32)
    for batch in data:
        batch["instances"] = torch.randint(0, 4, (2, 1, 32, 32), dtype=torch.int32)
    logs = run(family, networks, data)

    g, d, look = plain["generator"], plain["discriminator"], family.make_helpers()["perceptual"]
    encoder = [plain["encoder"]] if styles != "none" else []
    optimizer_g, optimizer_d = adam(g, *encoder), adam(d)
    for batch in data:
        source, target = batch["source"], batch["target"]
        features = [each(target, batch["instances"]) for each in encoder]
        fake = g(source, *features)
        of_fake, of_real = judged(d, source, fake.detach()), judged(d, source, target)
        loss_d = 0.5 * sum((logits - 0).square().mean() for logits, _ in of_fake)
        loss_d = loss_d + 0.5 * sum((logits - 1).square().mean() for logits, _ in of_real)
        of_own = judged(d, source, fake)
        loss_g = sum((logits - 1).square().mean() for logits, _ in of_own)
        for (_, mine), (_, theirs) in zip(of_own, of_real, strict=True):
            assert len(mine) == 3
            loss_g = loss_g + 10 * 4 / 3 / 2 * sum(
                (one - two.detach()).abs().mean() for one, two in zip(mine, theirs, strict=True)
            )
        loss_g = loss_g + 10 * look(fake, target)
        optimizer_g.zero_grad()
        loss_g.backward(retain_graph=True)
        optimizer_g.step()
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()

    assert [phase for phase, _ in logs.terms] == ["generator", "discriminator"] * 3
    assert_same_weights(networks, plain)


def test_terms_carry_the_papers_weights():
    """Adam hardly sees the scale of a sum, so the steps above do not tell it all."""
    for layers, matching in ((3, 10.0), (1, 20.0)):
        family = Pix2PixHD(perceptual="lite0")
        networks, _ = build(family, architecture=replace(SMALL, discriminator_layers=layers))
        outputs, (batch,) = Outputs(keep_graph=True, pools={}), batches(1, side=32)
        generator, discriminator = (
            phase.loss(networks | family.make_helpers(), batch, outputs) for phase in family.phases
        )
        weights = {name: weight for name, (_, weight) in generator.items()}
        assert weights == {"adversarial": 1.0, "feature_matching": matching, "perceptual": 10.0}
        assert {name: weight for name, (_, weight) in discriminator.items()} == {"fake": 0.5, "real": 0.5}


def test_defaults_are_the_papers():
    family = Pix2PixHD()
    assert (family.adversarial_loss, family.lambda_feature_matching, family.lambda_perceptual) == ("lsgan", 10.0, 10.0)
    assert (family.perceptual, family.perceptual_normalise, family.styles) == ("vgg19", False, "none")
    config = TrainConfig(output_dir="unused").of(family)
    assert (config.num_epochs, config.decay_epochs, config.batch_size) == (200, 100, 1)
    assert (config.learning_rate, config.adam_beta1, config.adam_beta2) == (2e-4, 0.5, 0.999)
    assert family.decays_late
    assert family.make_pools(seed=0) == {}
    for enhancers, scales, sizes in (
        (None, None, (182_546_755, 5_603_202)),
        (1, 3, (182_857_059, 8_404_803)),
        (2, 3, (None, 8_404_803)),
    ):
        architecture = Architecture(enhancers=enhancers, discriminator_scales=scales)
        with torch.device("meta"):
            made = family.build(architecture, in_channels=36, out_channels=3, image_size=1024)
        assert made["generator"].parameter_count == sizes[0] or enhancers == 2
        assert made["discriminator"].parameter_count == sizes[1]
        assert set(made) == {"generator", "discriminator"}
    with torch.device("meta"):
        made = Pix2PixHD(styles="labels").build(Architecture(), in_channels=36, out_channels=3, image_size=1024)
    assert made["encoder"].parameter_count == 788_803
    assert made["generator"].parameter_count == 182_546_755 + 3 * 49 * 64
    assert made["discriminator"].in_channels == 39, "it does not see the features"


@pytest.mark.parametrize(
    ("family", "architecture", "says"),
    [
        (Pix2PixHD(fix_global_epochs=1), {}, "--fix_global_epochs 1 trains an enhancer alone, and there is none"),
        (Pix2PixHD(), {"blocks": 1, "enhancers": 1}, "--image_size 32 does not fit .* multiple of 32 and at least 64"),
    ],
)
def test_what_does_not_fit_is_refused(family, architecture, says):
    with pytest.raises(ValueError, match=says):
        family.build(Architecture(width=2, **architecture), in_channels=3, out_channels=3, image_size=32)


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"fix_global_epochs": -1}, "--fix_global_epochs must be 0 or more, got -1"),
        ({"style_channels": 0}, "--style_channels must be a number from 1 to 64, got 0"),
        ({"styles": "photos"}, "--styles must be one of none, instances, labels, got 'photos'"),
    ],
)
def test_knobs_that_cannot_work_are_refused(knobs, says):
    with pytest.raises(ValueError, match=says):
        Pix2PixHD(**knobs)


# --- two stages -------------------------------------------------------------------------------------------------------


@pytest.fixture
def first(start):
    return start(Pix2PixHD(perceptual="none"), "first", architecture=GLOBAL, max_steps=2)


SECOND = {"image_size": 64, "num_epochs": 2, "decay_epochs": 0, "max_steps": None, "checkpoint_steps": 1}
SECOND |= {"keep_checkpoints": 20, "sample_steps": 100}


def test_the_second_stage_trains_the_enhancer_alone_and_then_all_afresh(start, first, capsys):
    family = Pix2PixHD(perceptual="none", fix_global_epochs=1)
    folder = start(family, "second", architecture=WHOLE, init_from=str(first), **SECOND)
    said = capsys.readouterr().err
    assert f"generator starts from {first} with its global generator" in said
    assert f"discriminator starts from {first}/training/discriminator with its 1 scale as the coarser ones" in said

    before = load_file(first / "model.safetensors")
    states = [load_file(folder / f"checkpoints/step-{step}/generator.safetensors") for step in range(1, 11)]
    inner = [key for key in states[0] if key.startswith("coarse")]
    outer = [key for key in states[0] if not key.startswith("coarse")]
    assert inner
    assert outer
    for state in states[:5]:  # an epoch of five pairs
        assert all(torch.equal(state[key], before[key]) for key in inner)
    assert not any(torch.equal(states[0][key], states[4][key]) for key in outer if key.endswith("weight"))
    assert not any(torch.equal(states[4][key], states[5][key]) for key in inner if key.endswith("weight"))

    def steps_of(number):
        kept = load_file(folder / f"checkpoints/step-{number}/generator.optimizer.safetensors")
        return {key.split(".")[0]: value.item() for key, value in kept.items() if key.endswith(".step")}

    assert len(steps_of(5)) == len(outer)
    assert set(steps_of(5).values()) == {5}
    assert len(steps_of(6)) == len(states[0])
    assert set(steps_of(6).values()) == {1}
    assert set(steps_of(10).values()) == {5}
    judges = load_file(folder / "checkpoints/step-6/discriminator.optimizer.safetensors")
    assert {value.item() for key, value in judges.items() if key.endswith(".step")} == {6}, "it goes on"


@pytest.mark.parametrize("stop_at", [3, 5, 6])  # within the first epoch, at its end, after it
def test_a_second_stage_that_was_stopped_ends_as_one_that_was_not(start, first, monkeypatch, stop_at):
    family, settings = Pix2PixHD(perceptual="none", fix_global_epochs=1), {"init_from": str(first), **SECOND}
    whole = start(family, "whole", architecture=WHOLE, **settings)
    with monkeypatch.context() as patch:
        interrupt_at(patch, stop_at)
        start(family, "cut", architecture=WHOLE, **settings)
    cut = start(family, "cut", architecture=WHOLE, resume=True, **settings)
    assert_same_end(whole, cut, step=10)


def test_another_generator_is_still_refused_as_a_start(start, first):
    with pytest.raises(ValueError, match=r"its network differs from this run's \(blocks: 1 -> 2; .*width: 8 -> 4"):
        start(
            Pix2PixHD(perceptual="none"),
            "second",
            architecture=replace(WHOLE, blocks=2),
            init_from=str(first),
            **SECOND,
        )


def test_epochs_of_unknown_length_freeze_nothing_for_ever():
    family = Pix2PixHD(perceptual="none", fix_global_epochs=1)
    networks = family.build(WHOLE, in_channels=3, out_channels=3, image_size=64)
    config = TrainConfig(output_dir="unused", cpu=True, max_steps=9).of(family)
    optimizers = make_optimizers(family, config, networks=networks, accelerator=Accelerator(cpu=True))
    plan = Plan.make(family, config, num_samples=None, world_size=1)
    with pytest.raises(ValueError, match="leave out --streaming, or --fix_global_epochs"):
        freeze(family, config, networks, optimizers, plan=plan, step=0)
    assert freeze(Pix2PixHD(), config, networks, optimizers, plan=plan, step=0) == {}


# --- styles -----------------------------------------------------------------------------------------------------------


def test_styles_of_classes_are_the_encoders_means_of_each(tmp_path):
    family = Pix2PixHD(perceptual="none", styles="labels", style_channels=2)
    networks, _ = build(family, in_channels=4)
    (batch,) = batches(1, side=32)
    numbers = torch.randint(-1, 4, (1, 1, 32, 32))  # -1: of no class
    batch["source"] = (numbers == torch.arange(4).view(1, 4, 1, 1)).double()
    seen = []
    networks["generator"].register_forward_pre_hook(lambda _, given: seen.append(given))
    family.generator_loss(networks, batch, Outputs(keep_graph=False, pools={}))
    ((source, features),) = seen
    assert torch.equal(source, batch["source"])
    expected = networks["encoder"](batch["target"], numbers)
    assert features.shape == (1, 2, 32, 32)
    assert torch.allclose(features, expected, atol=1e-9)
    assert len(features[0, 0].unique()) == 5


def test_the_data_have_to_have_what_styles_need():
    labels, photo = Slot(name="labels", kind="labels", bands=1, classes=4), Slot(name="source")
    Pix2PixHD(styles="labels").check_inputs([labels])
    Pix2PixHD().check_inputs([photo])
    with pytest.raises(ValueError, match="by --labels, or take --styles none"):
        Pix2PixHD(styles="labels").check_inputs([photo])
    with pytest.raises(ValueError, match="numbers the things in them: name it by --instances, or take --styles labels"):
        Pix2PixHD(styles="instances").check_inputs([labels])


@pytest.fixture
def labelled(tmp_path):
    """Label maps of four classes, and photos: 5 pairs, with maps of instances for who reads them."""
    for part in ("maps", "photos", "things"):
        (tmp_path / "labelled/train" / part).mkdir(parents=True)
    for number in range(5):
        values = np.random.default_rng(number).integers(0, 4, (4, 4), dtype=np.uint8)
        map = Image.fromarray(values).resize((40, 40), Image.Resampling.NEAREST)
        map.save(tmp_path / f"labelled/train/maps/{number}.png")
        picture(seed=number, size=(40, 40)).save(tmp_path / f"labelled/train/photos/{number}.png")
        things = Image.fromarray((values.astype(np.int32) * 1000 + np.arange(4)).astype(np.int32)).resize(
            (40, 40), Image.Resampling.NEAREST
        )
        things.save(tmp_path / f"labelled/train/things/{number}.tif")
    named = {"source_column": "maps", "target_column": "photos", "labels": ("4",), "validation_split": "none"}
    return DataConfig(dataset=str(tmp_path / "labelled"), **named)


def test_an_encoder_is_trained_kept_and_taken_up_and_translations_need_none(start, labelled, monkeypatch, capsys):
    family = Pix2PixHD(perceptual="none", styles="labels")
    assert [way.auxiliaries for way in family.directions] == [("encoder",)]
    assert [way.auxiliaries for way in Pix2PixHD().directions] == [()]
    whole = start(family, "whole", data=labelled)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        start(family, "cut", data=labelled)
    cut = start(family, "cut", data=labelled, resume=True)
    assert_same_end(whole, cut, step=6)
    assert {path.name for path in (whole / "training").iterdir()} == {"discriminator", "encoder"}
    two, six = (load_file(whole / f"checkpoints/step-{step}/encoder.safetensors") for step in (4, 6))
    assert not all(torch.equal(two[key], six[key]) for key in two)

    generator = Network.from_pretrained(whole)
    assert (generator.in_channels, generator.feature_channels) == (4, 3)
    map = Image.fromarray(np.tile(np.arange(4, dtype=np.uint8), (32, 8)))
    assert Translator.from_pretrained(whole)(map).size == (32, 32)

    capsys.readouterr()
    start(family, "next", data=labelled, init_from=str(whole), max_steps=1)
    assert f"encoder starts from {whole}/training/encoder" in capsys.readouterr().err
    start(family, "next", data=labelled, overwrite=True, max_steps=1)
    with pytest.raises(ValueError, match="take --styles none"):
        start(family, "pictures", max_steps=1)


def test_with_a_map_of_instances_each_has_its_style_and_borders_are_seen(start, labelled, monkeypatch):
    data = replace(labelled, source_column=("maps", "things"), labels=("maps=4",), instances=("things",))
    seen = []
    original = InstanceEncoder.forward

    def forward(self, image, instances, classes):
        seen.append((instances, original(self, image, instances, classes)))
        return seen[-1][1]

    monkeypatch.setattr(InstanceEncoder, "forward", forward)
    folder = start(Pix2PixHD(perceptual="none", styles="instances"), "run", data=data, max_steps=2)
    instances, features = seen[0]
    assert instances.dtype == torch.int32
    assert instances.max() > 1000
    assert len(features[0, 0].unique()) == len(instances.unique()) > 4
    generator = Network.from_pretrained(folder)
    assert (generator.in_channels, generator.feature_channels) == (4 + 1, 3)
    assert Network.from_pretrained(folder / "training/discriminator").in_channels == 4 + 1 + 3
