"""Whole runs, tiny and real: what they write, that they stop and resume bit for bit, and what they refuse."""

import json
import resource
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file

from img2img_hub import Architecture, CycleGAN, DataConfig, Network, Pix2Pix, TrainConfig, Translator, train
from img2img_hub.data.sources import open_data
from img2img_hub.training.loop import Stepper
from img2img_hub.translation.evaluation import evaluate_paired

FAMILIES = [Pix2Pix(), CycleGAN(pool_size=2)]
by_name = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


@pytest.fixture(autouse=True)
def fresh_accelerate():
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def start(tmp_path, paired_folder, unpaired_folder):
    """start(family, output, **settings) trains a tiny network for 6 steps on the CPU."""

    def run(family, output, *, architecture=None, data=None, **settings):
        AcceleratorState._reset_state(reset_partial_state=True)
        folder = paired_folder if family.paired else unpaired_folder
        data = data or DataConfig(dataset=str(folder), side_by_side=family.paired)
        settings = {
            "max_steps": 6,
            "image_size": 16,
            "cpu": True,
            "cpu_threads": 1,
            "num_workers": 0,
            "log_steps": 2,
            "sample_steps": 3,
            "checkpoint_steps": 2,
            "num_samples": 2,
            **settings,
        }
        small = {"width": 4, "discriminator_layers": 1} | ({"noise_channels": 1} if family.paired else {"blocks": 1})
        return train(
            family,
            TrainConfig(output_dir=str(tmp_path / output), **settings),
            data,
            architecture=architecture or Architecture(**small),
        )

    return run


def interrupt_at(monkeypatch, step, number=signal.SIGTERM):
    """A real signal to this process in the middle of that step."""
    original, count = Stepper.step, [0]

    def stepping(self, *arguments):
        original(self, *arguments)
        count[0] += 1
        if count[0] == step:
            signal.raise_signal(number)

    monkeypatch.setattr(Stepper, "step", stepping)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def same_tensors(first, second):
    first, second = load_file(first), load_file(second)
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


@by_name
def test_a_run_leaves_what_it_promises(start, family):
    folder = start(family, "run")
    for generator in (folder / part for part in family.published):
        for name in ("README.md", "config.json", "model.safetensors", "translation.json", "training_config.json"):
            assert (generator / name).is_file(), name
        network = Network.from_pretrained(generator)
        assert type(network).__name__ == ("UNetGenerator" if family.paired else "ResNetGenerator")
        sheet = Image.open(generator / "sample_sheet.png")
        assert sheet.width > 3 * 16
        judges = list((generator / "training").iterdir())
        assert len(judges) == 1
        assert type(Network.from_pretrained(judges[0])).__name__ == "PatchDiscriminator"
        settings = json.loads((generator / "translation.json").read_text())
        assert settings["working_size"] == 16
        assert settings["resize"] == ("fit" if family.paired else "native")
    assert sorted(p.name for p in (folder / "samples").iterdir()) == ["step-3.png", "step-6.png"]
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["step-4", "step-6"], "the last two are kept"
    assert [line["step"] for line in lines(folder) if "learning_rate" in line] == [2, 4, 6]
    assert {"generator/adversarial", "generator/l1"} <= lines(folder)[0].keys() or not family.paired


@by_name
def test_both_players_are_optimised_as_the_papers_do(start, family):
    folder = start(family, "run", max_steps=2)
    optimizers = torch.load(folder / "checkpoints/step-2/training_state.pt", weights_only=True)["optimizers"]
    assert optimizers.keys() == {"generator", "discriminator"}
    for optimizer in optimizers.values():
        (group,) = optimizer["param_groups"]
        assert (group["betas"], group["weight_decay"], group["amsgrad"]) == ((0.5, 0.999), 0, False)
        assert group["lr"] == 2e-4  # of the last of two steps: both count as flat


def test_directions_of_a_cycle_name_each_other(start):
    folder = start(CycleGAN(), "run")
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


@by_name
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit(start, monkeypatch, family, num_workers):
    whole = start(family, "whole", ema_decay=0.9)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        cut = start(family, "cut", ema_decay=0.9, num_workers=num_workers, checkpoint_steps=100)
    assert [p.name for p in (cut / "checkpoints").iterdir()] == ["step-3"]
    assert not (cut / "finished.json").exists()
    start(family, "cut", ema_decay=0.9, num_workers=num_workers, resume=True)
    for file in (whole / "checkpoints/step-6").glob("*.safetensors"):
        assert same_tensors(file, cut / "checkpoints/step-6" / file.name), file.name
    for part in family.published:
        assert same_tensors(whole / part / "model.safetensors", cut / part / "model.safetensors")
    assert [line["step"] for line in lines(cut)] == sorted(line["step"] for line in lines(cut))


def test_ctrl_c_is_a_wish_like_sigterm(start, monkeypatch):
    interrupt_at(monkeypatch, 2, signal.SIGINT)
    folder = start(Pix2Pix(), "run", checkpoint_steps=100)
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["step-2"]


def test_resume_without_a_checkpoint_starts_at_zero_and_says_so(start, capsys):
    folder = start(Pix2Pix(), "run", resume=True)
    assert "starting at step 0" in capsys.readouterr().err
    assert (folder / "finished.json").exists()


def test_resume_of_a_finished_run_changes_nothing(start, capsys):
    folder = start(Pix2Pix(), "run")
    before = files(folder)
    start(Pix2Pix(), "run", resume=True)
    assert files(folder) == before
    assert "already finished at step 6" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["training_state.pt", "rank-0.pt", "generator.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"torn"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_serves(start, file, content):
    folder = start(Pix2Pix(), "run", max_steps=4)
    (folder / "finished.json").unlink()
    damaged = folder / "checkpoints/step-4" / file
    damaged.write_bytes(content) if content is not None else damaged.unlink()
    with pytest.raises(ValueError, match=r"step-4 (is damaged.*delete its folder|was written by 0 process)"):
        start(Pix2Pix(), "run", max_steps=4, resume=True)
    shutil.rmtree(damaged.parent)
    start(Pix2Pix(), "run", max_steps=4, resume=True)
    assert (folder / "finished.json").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"family": "pix2pix", "training": 3}'])
def test_torn_files_of_a_run_are_named_or_mended(start, content):
    folder = start(Pix2Pix(), "run", max_steps=1)
    (folder / "finished.json").write_text(content)
    (folder / "metrics.jsonl").write_bytes(b"\xff\xfe torn\n")
    start(Pix2Pix(), "run", max_steps=1, resume=True)
    assert json.loads((folder / "finished.json").read_text()) == {"step": 1}
    (folder / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"run\.json does not hold a run's settings"):
        start(Pix2Pix(), "run", max_steps=1, resume=True)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(start, tmp_path):
    """A full disk, as the limit of a file's size: the system refuses the write in the same place."""
    folder = start(Pix2Pix(), "run", max_steps=2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(ValueError, match=r"checkpoint of step 4 cannot be written.*make room there"):
            start(Pix2Pix(), "run", max_steps=4, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in (folder / "checkpoints").glob("step-*")] == ["step-2"]
    start(Pix2Pix(), "run", max_steps=4, resume=True)
    assert json.loads((folder / "finished.json").read_text()) == {"step": 4}


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_that_cannot_be_read_is_named_and_costs_no_checkpoint(start, paired_folder, split):
    """A validation image is first read when a sheet is drawn: what was learnt until then is on the disk by then."""
    (paired_folder / split / "1.png").write_bytes((paired_folder / split / "1.png").read_bytes()[:90])
    with pytest.raises(ValueError, match=rf"{split}/1\.png is damaged"):
        start(Pix2Pix(), "run", max_steps=40, sample_steps=2, checkpoint_steps=2, num_workers=2)
    if split == "test":
        assert [p.name for p in (paired_folder.parent / "run/checkpoints").iterdir()] == ["step-2"]


def test_a_resumed_fine_tuning_does_not_ask_for_its_start_again(start, capsys):
    first = start(Pix2Pix(), "first", max_steps=1)
    start(Pix2Pix(), "second", init_from=str(first), max_steps=1)
    shutil.rmtree(first)
    capsys.readouterr()
    start(Pix2Pix(), "second", init_from=str(first), max_steps=2, resume=True)
    assert "generator starts from" not in capsys.readouterr().err


def test_an_id_that_becomes_too_long_with_its_direction_is_refused_before_training(start, tmp_path):
    name = "alice/" + "x" * 85  # with -source2target more than the Hub's 96
    with pytest.raises(ValueError, match="-source2target' is not a repo id"):
        start(CycleGAN(), "run", push_to_hub=True, hub_model_id=name)
    assert not (tmp_path / "run").exists()


def test_paths_do_where_text_does(paired_folder, tmp_path):
    data = DataConfig(dataset=paired_folder, side_by_side=True)  # type: ignore[arg-type]
    config = TrainConfig(output_dir=tmp_path / "run", max_steps=1, cpu=True, image_size=32, num_workers=0)
    folder = train(Pix2Pix(), config, data, architecture=Architecture(width=4))
    assert json.loads((folder / "run.json").read_text())["data"]["dataset"] == str(paired_folder)
    AcceleratorState._reset_state(reset_partial_state=True)
    train(Pix2Pix(), replace(config, resume=True), data, architecture=Architecture(width=4))


def test_overwrite_removes_the_generators_of_the_other_family(start):
    folder = start(CycleGAN(), "run", max_steps=1)
    start(Pix2Pix(), "run", max_steps=1, overwrite=True)
    assert not (folder / "source2target").exists()
    assert (folder / "model.safetensors").exists()


@pytest.mark.parametrize(("output", "says"), [("file/run", "file is a file: name a folder"), ("/", "no name")])
def test_output_folders_that_cannot_be_are_refused_before_training(start, tmp_path, output, says):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=says):
        start(Pix2Pix(), output)


def test_resume_ignores_an_incomplete_checkpoint(start):
    folder = start(Pix2Pix(), "run", max_steps=4)
    (folder / "checkpoints/step-4").rename(folder / "checkpoints/.step-9.incomplete")
    start(Pix2Pix(), "run", max_steps=4, resume=True)
    assert (folder / "checkpoints/step-4").is_dir()


def test_a_finished_run_can_be_lengthened(start, capsys):
    start(Pix2Pix(), "run")
    folder = start(Pix2Pix(), "run", max_steps=8, resume=True)
    assert "--max_steps: 6 -> 8" in capsys.readouterr().err
    assert lines(folder)[-1]["step"] == 8


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"learning_rate": 1e-3}, "--learning_rate: 0.0002 -> 0.001"),
        ({"architecture": Architecture(width=8)}, "--width: 4 -> 8"),
        ({"seed": 7}, "--seed: 42 -> 7"),
    ],
)
def test_resume_with_other_settings_is_refused_by_name(start, changed, says):
    start(Pix2Pix(), "run", max_steps=1)
    with pytest.raises(ValueError, match=says):
        start(Pix2Pix(), "run", max_steps=1, resume=True, **changed)
    with pytest.raises(ValueError, match="--lambda_l1"):
        start(Pix2Pix(lambda_l1=10.0), "run", max_steps=1, resume=True)
    with pytest.raises(ValueError, match="family: pix2pix -> cyclegan"):
        start(CycleGAN(), "run", max_steps=1, resume=True)


def test_another_run_is_not_overwritten_without_being_asked(start):
    folder = start(Pix2Pix(), "run", max_steps=1)
    (folder / "notes.txt").write_text("mine")
    before = files(folder)
    with pytest.raises(ValueError, match="add --resume to continue that run, --overwrite to delete it"):
        start(Pix2Pix(), "run", max_steps=1)
    assert files(folder) == before
    start(Pix2Pix(), "run", max_steps=2, overwrite=True)
    assert lines(folder)[-1]["step"] == 2
    assert (folder / "notes.txt").read_text() == "mine"
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["step-2"]


@by_name
def test_overwrite_deletes_nothing_when_the_data_are_wrong(start, family, tmp_path):
    folder = start(family, "run", max_steps=1)
    before = files(folder)
    with pytest.raises(ValueError, match="nowhere"):
        start(family, "run", overwrite=True, data=DataConfig(dataset=str(tmp_path / "nowhere")))
    assert files(folder) == before


@by_name
def test_fine_tuning_starts_from_generators_and_discriminators(start, family, capsys):
    first = start(family, "first")
    second = start(family, "second", init_from=str(first), learning_rate=1e-12, max_steps=1)
    said = capsys.readouterr().err
    for part, name in family.published.items():
        assert f"{name} starts from {first / part}" in said
        a, b = load_file(first / part / "model.safetensors"), load_file(second / part / "model.safetensors")
        assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in a if "running" not in k and "num_batches" not in k)
    assert "starts afresh:" not in said
    (judge,) = (first / next(iter(family.published)) / "training").iterdir()
    (judge / "model.safetensors").unlink()
    start(family, "third", init_from=str(first), max_steps=1)
    assert f"{judge.name} starts afresh" in capsys.readouterr().err


def test_fine_tuning_another_architecture_is_refused(start):
    first = start(Pix2Pix(), "first", max_steps=1)
    wider = Architecture(width=8, noise_channels=1, discriminator_layers=1)
    with pytest.raises(ValueError, match="width: 4 -> 8"):
        start(Pix2Pix(), "second", init_from=str(first), architecture=wider)
    with pytest.raises(ValueError, match="holds no source2target: name the output folder of a run"):
        start(CycleGAN(), "third", init_from=str(first))


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
    with pytest.raises(ValueError, match=r"the loss \w+/\w+ is (nan|inf) at step \d+.*--learning_rate"):
        start(Pix2Pix(lambda_l1=1e38), "run", learning_rate=1e30, max_steps=20)


def test_without_validation_data_the_sheet_shows_training_images(start, paired_folder):
    data = DataConfig(dataset=str(paired_folder), side_by_side=True, validation_split="none")
    folder = start(Pix2Pix(), "run", data=data, max_steps=1)
    assert (folder / "sample_sheet.png").is_file()
    assert not [line for line in lines(folder) if any("l1" in k and "generator" not in k for k in line)]


def test_learning_rate_is_flat_then_linear():
    config = TrainConfig(output_dir="x")
    factors = [config.learning_rate_factor(step=0, total_steps=1, epoch=epoch) for epoch in (0, 99, 100, 199)]
    assert factors == [1.0, 1.0, pytest.approx(1 - 1 / 101), pytest.approx(1 / 101)]
    by_steps = replace(config, max_steps=100)
    factors = [by_steps.learning_rate_factor(step=step, total_steps=100, epoch=0) for step in (0, 50, 75, 99)]
    assert factors == [1.0, 1.0, 0.5, pytest.approx(1 / 50)]
    assert replace(config, decay_epochs=0).learning_rate_factor(step=9, total_steps=9, epoch=500) == 1.0


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
        ({"report_to": "tensorboard"}, "--report_to takes some of"),
        ({"report_to": ("mlflow",)}, "--report_to takes some of"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        TrainConfig(**{"output_dir": "x", **settings})
