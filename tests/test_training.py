"""Whole runs, tiny and real: what they write, what they publish, what stops them, and the settings they refuse."""

import json
import math
from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file

from img2img_hub import (
    CUT,
    Architecture,
    ContextUNetGenerator,
    CycleGAN,
    DataConfig,
    FastCUT,
    Network,
    Pix2Pix,
    SpadeGenerator,
    TrainConfig,
    Translator,
    UNetGenerator,
    train,
)
from img2img_hub.data.find.sources import open_data
from img2img_hub.evaluation.measure import evaluate_paired
from img2img_hub.training.results import collapse
from img2img_hub.training.results.collapse import CollapseWatch
from img2img_hub.training.results.logs import Logs
from img2img_hub.training.run.folder import RunFolder
from img2img_hub.training.run.plan import Plan
from img2img_hub.training.step import Stepper
from tests.families import each_family, smallest_size, tiny
from tests.runs import checkpoints, lines, run

pytest_plugins = ["tests.starting"]


NETWORKS = {
    "pix2pix": ("UNetGenerator", "PatchDiscriminator"),
    "pix2pixhd": ("CoarseToFineGenerator", "MultiScaleDiscriminator"),
    "spade": ("SpadeGenerator", "MultiScaleDiscriminator"),
    "srgan": ("SRResNetGenerator", "PatchDiscriminator"),
    "esrgan": ("RRDBGenerator", "PatchDiscriminator"),
    "inpaint": ("DilatedResNetGenerator", "TwoBranchDiscriminator"),
    "ccgan": ("ContextUNetGenerator", "PatchDiscriminator"),
}


@each_family
def test_a_run_leaves_what_it_promises(finished, family):
    folder = finished(family, "run")
    for direction in family.directions:
        generator = folder / direction.folder
        for name in ("README.md", "config.json", "model.safetensors", "translation.json", "training_config.json"):
            assert (generator / name).is_file(), name
        network = Network.from_pretrained(generator)
        assert type(network).__name__ == NETWORKS.get(family.name, ("ResNetGenerator", "PatchDiscriminator"))[0]
        sheet = Image.open(generator / "sample_sheet.png")
        assert sheet.width > 3 * 16
        beside = {path.name: type(Network.from_pretrained(path)) for path in (generator / "training").iterdir()}
        assert beside.keys() == {*direction.judges, *direction.auxiliaries}
        (judge,) = direction.judges
        assert beside[judge].__name__ == NETWORKS.get(family.name, ("ResNetGenerator", "PatchDiscriminator"))[1]
        settings = json.loads((generator / "translation.json").read_text())
        sized = UNetGenerator | SpadeGenerator | ContextUNetGenerator
        assert settings["working_size"] == smallest_size(family)
        assert settings["resize"] == ("fit" if isinstance(network, sized) else "native")
    assert sorted(p.name for p in (folder / "samples").iterdir()) == ["step-3.png", "step-6.png"]
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["step-4", "step-6"], "the last two are kept"
    assert [line["step"] for line in lines(folder) if "learning_rate" in line] == [2, 4, 6]
    terms = {"pix2pix": "l1", "pix2pixhd": "feature_matching", "spade": "feature_matching", "esrgan": "pixel"}
    if family.paired:
        named = {"adversarial", *filter(None, [terms.get(family.name)])}
        named = {"global", "patch", "l1", "l1_hole"} if family.name == "inpaint" else named
        assert {f"generator/{name}" for name in named} <= lines(folder)[0].keys()


@each_family
def test_both_players_are_optimised_as_the_papers_do(start, family):
    folder = start(family, "run", max_steps=2)
    optimizers = torch.load(folder / "checkpoints/step-2/training_state.pt", weights_only=True)["optimizers"]
    assert optimizers.keys() == {"generator", "discriminator"}
    betas = {"spade": (0.0, 0.9), "srgan": (0.9, 0.999), "esrgan": (0.9, 0.99)}.get(family.name, (0.5, 0.999))
    rates = {"srgan": (1e-4, 1e-4), "esrgan": (1e-4, 1e-4), "spade": (1e-4, 4e-4)}.get(family.name, (2e-4, 2e-4))
    for name, rate in zip(("generator", "discriminator"), rates, strict=True):
        (group,) = optimizers[name]["param_groups"]
        assert (group["betas"], group["weight_decay"], group["amsgrad"]) == (betas, 0, False)
        halved = 1 / 8 if family.name == "esrgan" else 1  # behind an eighth, a quarter and the half of the run
        assert group["lr"] == rate * halved, "of the last of two steps: both count as flat"


def test_directions_of_a_cycle_name_each_other(finished):
    folder = finished(tiny(CycleGAN), "run")
    for one, other in (("source2target", "target2source"), ("target2source", "source2target")):
        assert json.loads((folder / one / "translation.json").read_text())["reverse"] == other
    assert (folder / "source2target/training/discriminator_target/model.safetensors").is_file()
    assert (folder / "target2source/training/discriminator_source/model.safetensors").is_file()


@pytest.mark.parametrize(("batch_size", "statistics"), [(1, "image"), (2, "running")])
def test_norm_statistics_follow_how_it_was_trained(start, batch_size, statistics):
    folder = start(Pix2Pix(), "run", batch_size=batch_size, max_steps=1)
    assert json.loads((folder / "translation.json").read_text())["norm_statistics"] == statistics


def test_numbers_of_the_run_the_card_and_evaluate_are_the_same(start, paired_folder):
    folder = start(Pix2Pix(), "run", save_dtype="float16")
    (final,) = [line for line in lines(folder) if "final/l1" in line]
    data = open_data(DataConfig(dataset=str(paired_folder), side_by_side=True), paired=True, split="test")
    again = evaluate_paired(Translator.from_pretrained(folder), data, image_size=16)
    for name in ("l1", "psnr", "ssim"):
        assert final[f"final/{name}"] == again[name]
        assert f"value: {round(again[name], 6)}" in (folder / "README.md").read_text()
    weights = load_file(folder / "model.safetensors")
    assert all(value.dtype in (torch.float16, torch.int64) for value in weights.values())


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_that_cannot_be_read_is_named_and_costs_no_checkpoint(start, paired_folder, split):
    """A validation image is first read when a sheet is drawn: what was learnt until then is on the disk by then."""
    file = paired_folder / split / "1.png"
    content = file.read_bytes()  # of which the middle is spoilt: what a glance at the file does not show
    half = len(content) // 2
    file.write_bytes(content[: half - 20] + b"\xff" * 40 + content[half + 20 :])
    with pytest.raises(ValueError, match=rf"{split}/1\.png is damaged"):
        start(Pix2Pix(), "run", max_steps=40, sample_steps=2, checkpoint_steps=2, num_workers=2)
    if split == "test":
        assert [p.name for p in (paired_folder.parent / "run/checkpoints").iterdir()] == ["step-2"]


def test_an_id_that_becomes_too_long_with_its_direction_is_refused_before_training(start, tmp_path):
    name = "alice/" + "x" * 85  # with -source2target more than the Hub's 96
    with pytest.raises(ValueError, match="-source2target' is not a repo id"):
        start(CycleGAN(), "run", push_to_hub=True, hub_model_id=name)
    assert not (tmp_path / "run").exists()


def test_paths_do_where_text_does(paired_folder, tmp_path):
    data = DataConfig(dataset=paired_folder, side_by_side=True)  # type: ignore[arg-type]
    config = TrainConfig(output_dir=tmp_path / "run", max_steps=1, cpu=True, image_size=32, num_workers=0)
    folder = train(Pix2Pix(), config, data, architecture=Architecture(width=4)).path
    assert json.loads((folder / "run.json").read_text())["data"]["dataset"] == str(paired_folder)
    AcceleratorState._reset_state(reset_partial_state=True)
    train(Pix2Pix(), replace(config, resume=True), data, architecture=Architecture(width=4))


def test_the_average_is_what_is_published(start):
    folder = start(Pix2Pix(), "run", ema_decay=0.75, max_steps=3, checkpoint_steps=1, keep_checkpoints=3)
    published = load_file(folder / "model.safetensors")
    name = "downs.0.0.weight"
    one, two, three = (load_file(folder / f"checkpoints/step-{n}/generator.safetensors")[name] for n in (1, 2, 3))
    assert not torch.equal(two, three)
    average = 0.75 * (0.75 * one + 0.25 * two) + 0.25 * three
    assert torch.allclose(published[name], average, rtol=0, atol=1e-8)
    assert not torch.allclose(published[name], three, rtol=0, atol=1e-8)


def test_a_loss_that_leaves_the_numbers_stops_the_run(start):
    says = r"the loss \w+/\w+ is (nan|inf) at step \d+.*no checkpoint yet: start again with --overwrite and a lower"
    with pytest.raises(ValueError, match=says):
        start(Pix2Pix(lambda_l1=1e38), "run", learning_rate=1e30, max_steps=20, checkpoint_steps=20)


@each_family
@pytest.mark.parametrize(("what", "value"), [("loss", float("nan")), ("weight", float("inf"))])
def test_what_leaves_the_numbers_is_named_with_the_last_good_checkpoint(
    start, tmp_path, monkeypatch, family, what, value
):
    """A loss is looked at when it is logged; weights when they are saved, for they may go in a step whose losses were
    still finite. Neither is written over what is good."""
    original, name = Stepper.step, next(iter(family.published.values()))

    def stepping(self, batches, logs, **options):
        original(self, batches, logs, **options)
        if self.state.step == 3:  # the fourth
            if what == "loss":
                logs.add("generator", {"l1": (torch.tensor(value), 1.0)})
            else:
                next(self.state.networks[name].parameters()).data.view(-1)[0] = value

    monkeypatch.setattr(Stepper, "step", stepping)
    thing = r"loss generator/l1 is nan" if what == "loss" else f"weights of {name} are not finite"
    last = f"{tmp_path}/run/checkpoints/step-2"
    says = rf"the {thing} at step 4.*the last good checkpoint is {last}\..*folder with --init_from {last} and a lower"
    with pytest.raises(ValueError, match=says):
        start(family, "run", log_steps=4 if what == "weight" else 1)
    assert checkpoints(tmp_path / "run") == ["step-2"]


def test_without_validation_data_the_sheet_shows_training_images(start, paired_folder):
    data = DataConfig(dataset=str(paired_folder), side_by_side=True, validation_split="none")
    folder = start(Pix2Pix(), "run", data=data, max_steps=1)
    assert (folder / "sample_sheet.png").is_file()
    assert not [line for line in lines(folder) if any("l1" in k and "generator" not in k for k in line)]


def test_learning_rate_is_flat_then_linear():
    config = TrainConfig(output_dir="x").of(Pix2Pix())
    factors = [config.learning_rate_factor(step=0, total_steps=1, epoch=epoch) for epoch in (0, 99, 100, 199)]
    assert factors == [1.0, 1.0, pytest.approx(1 - 1 / 101), pytest.approx(1 / 101)]
    by_steps = replace(config, max_steps=100)
    factors = [by_steps.learning_rate_factor(step=step, total_steps=100, epoch=0) for step in (0, 50, 75, 99)]
    assert factors == [1.0, 1.0, 0.5, pytest.approx(1 / 50)]
    late = [config.learning_rate_factor(step=0, total_steps=1, epoch=epoch, late=True) for epoch in (0, 100, 101, 199)]
    assert late == pytest.approx([1, 1, 0.99, 0.01]), "of pix2pixHD: epochs 1 to 101 whole, the 200th a hundredth"
    assert replace(config, decay_epochs=0).learning_rate_factor(step=9, total_steps=9, epoch=500) == 1.0


def test_other_policies_of_the_learning_rate():
    config = TrainConfig(output_dir="x").of(Pix2Pix())

    def factors(epochs, **settings):
        asked = replace(config, **settings)
        return [asked.learning_rate_factor(step=0, total_steps=1, epoch=epoch) for epoch in epochs]

    cosine = factors((0, 99, 149, 199), learning_rate_policy="cosine")
    assert cosine == pytest.approx([1, 1, (1 - math.cos(math.pi * 51 / 101)) / 2, (1 - math.cos(math.pi / 101)) / 2])
    assert factors((0, 49, 50, 199), learning_rate_policy="step") == pytest.approx([1, 1, 0.1, 1e-3])
    assert factors((0, 7, 8), learning_rate_policy="step", step_epochs=4) == pytest.approx([1, 0.1, 0.01])
    assert factors((0, 199, 500), learning_rate_policy="constant") == [1, 1, 1]
    assert factors((0, 100), learning_rate_policy="cosine", decay_epochs=0) == [1, 1]

    by_steps = replace(config, max_steps=100, learning_rate_policy="cosine", learning_rate_warmup_steps=4)
    risen = [by_steps.learning_rate_factor(step=step, total_steps=100, epoch=0) for step in (0, 1, 3, 50, 75, 99)]
    assert risen == pytest.approx([0.25, 0.5, 1, 1, 0.5, (1 - math.cos(math.pi / 50)) / 2])
    for policy, jittered in (("constant", 200), ("step", 200), ("cosine", 100), ("linear", 100)):
        plan = Plan.make(Pix2Pix(), config, num_samples=10, world_size=1)
        assert plan.steps_before_decay(replace(config, learning_rate_policy=policy)) == 10 * jittered
    with pytest.raises(ValueError, match=r"--learning_rate_policy must be one of linear, .* halve, constant, got"):
        replace(config, learning_rate_policy="plateau")
    step = replace(config, learning_rate_policy="step", max_steps=5)
    with pytest.raises(ValueError, match="has no epochs to count: take linear or cosine"):
        Plan.make(Pix2Pix(), step, num_samples=None, world_size=1)


def test_a_run_follows_its_policy(start):
    flags = {"learning_rate_policy": "cosine", "learning_rate_warmup_steps": 2, "max_steps": 4, "log_steps": 1}
    folder = start(Pix2Pix(), "run", **flags)
    rates = [line["learning_rate"] for line in lines(folder) if "learning_rate" in line]
    assert rates == pytest.approx([1e-4, 2e-4, 2e-4, 1e-4])


def test_long_gradients_are_shortened(start, monkeypatch):
    """All of a player's together, not those of each weight."""
    from accelerate import Accelerator

    seen = []
    original = Accelerator.clip_grad_norm_

    def clipping(self, parameters, most):
        parameters = list(parameters)
        long = original(self, parameters, most)
        left = torch.stack([each.grad.norm() for each in parameters if each.grad is not None]).norm()
        seen.append((float(long), float(left), len(parameters)))

    monkeypatch.setattr(Accelerator, "clip_grad_norm_", clipping)
    start(CycleGAN(pool_size=2), "run", max_grad_norm=0.01, max_steps=2)
    assert len(seen) == 4
    assert all(left <= 0.0101 < long for long, left, _ in seen)
    seen.clear()
    start(CycleGAN(pool_size=2), "whole", max_steps=1)
    assert seen == []


def test_what_is_not_given_is_as_the_familys_paper_has_it():
    given = TrainConfig(output_dir="x", learning_rate=1e-3)
    schedules = {}
    for family in (Pix2Pix(), CycleGAN(), CUT(), FastCUT()):
        config = given.of(family)
        schedules[family.name] = (config.num_epochs, config.decay_epochs)
        assert (config.learning_rate, config.batch_size, config.adam_beta1, config.adam_beta2) == (1e-3, 1, 0.5, 0.999)
    # Isola et al. and Zhu et al.: 100 + 100; Park et al. 2020, appendix C.1: 200 + 200, FastCUT 150 + 50.
    assert schedules == {"pix2pix": (200, 100), "cyclegan": (200, 100), "cut": (400, 200), "fastcut": (200, 50)}


def test_the_decay_follows_the_epochs_where_only_these_are_given():
    """50 is a wish that 200 epochs with a decay of 100 must not refuse."""
    for family, epochs, decay in ((Pix2Pix(), 50, 25), (Pix2Pix(), 1, 0), (CUT(), 50, 25), (FastCUT(), 40, 10)):
        config = TrainConfig(output_dir="x", num_epochs=epochs).of(family)
        assert (config.num_epochs, config.decay_epochs) == (epochs, decay)
    given = TrainConfig(output_dir="x", num_epochs=50, decay_epochs=0).of(Pix2Pix())
    assert (given.num_epochs, given.decay_epochs) == (50, 0)


def test_a_run_of_before_keeps_its_decay_when_it_is_resumed(tmp_path):
    """With 150 epochs it was 100, which no longer follows from them."""
    parts = {"objective": {}, "architecture": {}, "data": {}, "training": {"num_epochs": 150, "decay_epochs": 100}}
    (tmp_path / "run.json").write_text(json.dumps({"family": "pix2pix", **parts}))

    def decay(**settings) -> int:
        config = TrainConfig(output_dir=str(tmp_path), **settings)
        folder = RunFolder(family=Pix2Pix(), config=config, data=DataConfig(dataset="x"), architecture=Architecture())
        return folder.config.decay_epochs

    assert decay(num_epochs=150, resume=True) == 100
    assert decay(num_epochs=150) == 75
    assert decay(num_epochs=60, resume=True) == 30
    assert decay(num_epochs=150, decay_epochs=5, resume=True) == 5


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"batch_size": 0}, "--batch_size must be 1 or more, got 0"),
        ({"max_steps": 0}, "--max_steps"),
        ({"learning_rate": 0.0}, "--learning_rate"),
        ({"ema_decay": 1.0}, "--ema_decay"),
        ({"load_size": 100}, "--load_size 100 is smaller than --image_size 256"),
        ({"resume": True, "overwrite": True}, "give one of them"),
        ({"decay_epochs": 300}, "--decay_epochs 300 is more than --num_epochs 200"),
        ({"hub_model_id": "a/b"}, "--push_to_hub"),
        ({"image_size": 10**6}, "8192"),
        ({"load_size": 10**6}, "--load_size 1000000 is in pixels"),
        ({"output_dir": " "}, "--output_dir is empty"),
        ({"seed": 2**40}, "--seed must be below"),
        ({"cpu_threads": 10**5}, "--cpu_threads"),
        ({"save_dtype": "float8"}, "--save_dtype must be one of float32, float16, bfloat16"),
        ({"save_dtype": None}, "--save_dtype must be one of float32, float16, bfloat16, got None"),
        ({"report_to": "tensorboard"}, "--report_to takes some of"),
        ({"report_to": ("mlflow",)}, "--report_to takes some of"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        TrainConfig(**{"output_dir": "x", **settings}).of(Pix2Pix())


def test_the_bar_moves_every_step_however_seldom_lines_are_written(start_run, monkeypatch):
    places = []
    original = Logs.advance

    def advance(self, step):
        original(self, step)
        places.append(self.bar.n)

    monkeypatch.setattr(Logs, "advance", advance)
    start_run(Pix2Pix(), "run", max_steps=5, log_steps=100)
    assert places == [1, 2, 3, 4, 5, 5]  # the last line is written, too


# --- the warning of a collapse ----------------------------------------------------------------------------------------


def warnings_of(family, *lines, start_step=0):
    watch = CollapseWatch(family, start_step=start_step)
    return [step for step, losses in lines if watch.look(step, losses)]


def judged(real, fake, **others):
    return {"discriminator/real": real, "discriminator/fake": fake, "generator/l1": 0.001, **others}


def test_a_discriminator_that_is_certain_for_long_is_told_of_once():
    won = [(step, judged(0.001, 0.002, **{"discriminator/r1": 3.0})) for step in range(100, 1600, 100)]
    assert warnings_of(Pix2Pix(), *won) == [500]
    assert warnings_of(Pix2Pix(), (1000, judged(0.001, 0.002)), (2000, judged(0.001, 0.002))) == [1000], "rare lines"
    assert warnings_of(Pix2Pix(), *won[4:], start_step=400) == [900], "a resumed run begins to count anew"
    interrupted = [(step, judged(0.001, 0.002 if step != 400 else 0.2)) for step in range(100, 1600, 100)]
    assert warnings_of(Pix2Pix(), *interrupted) == [900]
    assert not warnings_of(Pix2Pix(), *((step, judged(0.2, 0.001)) for step, _ in won)), "it takes real ones for fakes"
    both = {f"discriminator/{kind}_{end}": 0.001 for kind in ("real", "fake") for end in ("source", "target")}
    assert warnings_of(CycleGAN(), *((step, both) for step, _ in won)) == [500]
    one = both | {"discriminator/fake_source": 0.3}
    assert not warnings_of(CycleGAN(), *((step, one) for step, _ in won))
    assert not warnings_of(Pix2Pix(adversarial_loss="wgangp"), *won)


def test_certainty_about_a_smoothed_label_is_its_entropy():
    lines = [(step, judged(0.3251 + 0.001, 0.002)) for step in (300, 600)]  # -0.9 ln 0.9 - 0.1 ln 0.1
    assert warnings_of(Pix2Pix(label_smoothing=0.1), *lines) == [600]
    assert not warnings_of(Pix2Pix(), *lines)
    assert warnings_of(Pix2Pix(label_smoothing=0.1, adversarial_loss="lsgan"), (600, judged(0.001, 0.002))) == [600]


def test_the_warning_reaches_the_log(start, capsys, monkeypatch):
    monkeypatch.setattr(collapse, "_LONG", 2)
    monkeypatch.setattr(collapse, "_NEAR_ZERO", 100.0)
    start(Pix2Pix(), "run", log_steps=1)
    said, helped = capsys.readouterr().err, run("pix2pix", "--help").stdout
    assert said.count("the discriminator has been all but certain") == 1
    for flag in ("--label_smoothing", "--diff_augment", "--discriminator_learning_rate", "--discriminator_width"):
        assert flag in said
        assert flag in helped
