"""Runs that stop and go on: bit for bit, only where the settings fit, one at a time, and never over another run."""

import json
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from img2img_hub import ESRGAN, Architecture, CycleGAN, DataConfig, Pix2Pix
from img2img_hub.training.run.config import RUN_DEFAULTS
from img2img_hub.training.state.checkpoints import RunState, load_checkpoint, save_checkpoint
from img2img_hub.training.step import Stepper
from tests.families import each_family, tiny
from tests.runs import assert_same_end, checkpoints, environment, files, interrupt_at, lines, same_tensors

pytest_plugins = ["tests.starting"]


@each_family
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    start, finished, monkeypatch, family, num_workers
):
    whole = finished(family, "whole", ema_decay=0.9)
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


def test_resume_of_a_finished_run_changes_nothing(start, finished, capsys):
    folder = finished(Pix2Pix(), "run")
    before = files(folder)
    start(Pix2Pix(), "run", resume=True)
    assert files(folder) == before
    assert "already finished at step 6" in capsys.readouterr().err


@pytest.mark.parametrize(
    "file", ["training_state.pt", "rank-0.pt", "generator.safetensors", "generator.optimizer.safetensors"]
)
@pytest.mark.parametrize("content", [None, b"", b"torn"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_serves(start, finished, file, content):
    folder = finished(Pix2Pix(), "run", max_steps=4)
    (folder / "finished.json").unlink()
    damaged = folder / "checkpoints/step-4" / file
    damaged.write_bytes(content) if content is not None else damaged.unlink()
    with pytest.raises(ValueError, match=r"step-4 (is damaged.*delete its folder|was written by 0 process)"):
        start(Pix2Pix(), "run", max_steps=4, resume=True)
    shutil.rmtree(damaged.parent)
    start(Pix2Pix(), "run", max_steps=4, resume=True)
    assert (folder / "finished.json").exists()


TORN = ["", "{", "[]", "{}", '{"family": "pix2pix", "training": 3}']


@pytest.mark.parametrize("content", TORN)
def test_torn_files_of_a_run_are_mended(start, finished, content):
    folder = finished(Pix2Pix(), "run", max_steps=1)
    settings = (folder / "run.json").read_text()
    for name in ("finished.json", "run.json"):
        (folder / name).write_text(content)
    (folder / "metrics.jsonl").write_bytes(b'\xff\xfe torn\n{"step": 1, "torn": ')
    start(Pix2Pix(), "run", max_steps=1, resume=True)
    assert json.loads((folder / "finished.json").read_text()) == {"step": 1}
    assert [line["step"] for line in lines(folder)] == [1], "the numbers of the finished generators"
    before, after = json.loads(settings), json.loads((folder / "run.json").read_text())
    before["training"]["resume"] = True
    assert before == after


def test_lines_go_on_below_one_that_lost_its_end(start, finished):
    folder = finished(Pix2Pix(), "run", max_steps=2)
    losses = lines(folder)[0]
    (folder / "metrics.jsonl").write_text(json.dumps(losses))
    start(Pix2Pix(), "run", max_steps=4, resume=True)
    assert lines(folder)[0] == losses
    assert lines(folder)[-1]["step"] == 4


@pytest.mark.parametrize("content", TORN)
def test_without_run_json_settings_are_compared_with_the_checkpoints(start, finished, content):
    folder = finished(Pix2Pix(), "run", max_steps=1)
    (folder / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"--learning_rate: 0\.0002 -> 0\.1"):
        start(Pix2Pix(), "run", max_steps=1, resume=True, learning_rate=0.1)
    (folder / "checkpoints/step-1/run.json").unlink()  # of a version that kept none
    with pytest.raises(ValueError, match=r"run\.json does not hold a run's settings"):
        start(Pix2Pix(), "run", max_steps=1, resume=True)
    (folder / "run.json").unlink()
    start(Pix2Pix(), "run", max_steps=1, resume=True)
    shutil.rmtree(folder / "checkpoints")
    (folder / "run.json").write_text(content)  # with nothing learnt there is nothing that could not fit
    start(Pix2Pix(), "run", max_steps=1, resume=True)


def test_a_run_of_a_version_with_fewer_settings_goes_on(start, finished):
    folder = finished(Pix2Pix(), "run", max_steps=2)
    settings = json.loads((folder / "run.json").read_text())
    for part, key in (("objective", "lambda_gp"), ("data", "side_by_side"), ("training", "ema_decay")):
        del settings[part][key]
    for key, value in RUN_DEFAULTS.items():  # before families had their own
        if settings["training"].get(key) == value:
            del settings["training"][key]
    assert "crop" not in settings["training"]
    settings["data"]["side_by_side"] = True  # not the default
    del settings["data"]["direction"]
    (folder / "run.json").write_text(json.dumps(settings))
    state = torch.load(folder / "checkpoints/step-2/training_state.pt", weights_only=True)
    del state["best"]
    torch.save(state, folder / "checkpoints/step-2/training_state.pt")
    start(Pix2Pix(), "run", max_steps=4, resume=True)
    assert torch.load(folder / "checkpoints/step-4/training_state.pt", weights_only=True)["best"] == {}
    del settings["data"]["side_by_side"]
    (folder / "run.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="--side_by_side: False -> True"):
        start(Pix2Pix(), "run", max_steps=4, resume=True)


@each_family
def test_a_checkpoint_of_the_first_version_goes_on_exactly(start, monkeypatch, family):
    """It kept the optimizers' tensors in training_state.pt, and neither settings nor a best value."""
    whole = start(family, "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        cut = start(family, "cut", checkpoint_steps=100)
    checkpoint = cut / "checkpoints/step-3"
    (checkpoint / "run.json").unlink()
    state = torch.load(checkpoint / "training_state.pt", weights_only=True)
    del state["best"]
    for phase, own in state["optimizers"].items():
        own["state"] = {}
        for key, tensor in load_file(checkpoint / f"{phase}.optimizer.safetensors").items():
            own["state"].setdefault(int(key.split(".")[0]), {})[key.split(".")[1]] = tensor
        (checkpoint / f"{phase}.optimizer.safetensors").unlink()
    torch.save(state, checkpoint / "training_state.pt")
    start(family, "cut", resume=True)
    assert_same_end(whole, cut, step=6)


def test_the_best_value_so_far_is_part_of_a_checkpoint(tmp_path):
    accelerator = Accelerator(cpu=True)
    nothing = {"networks": {}, "optimizers": {}, "averages": {}}
    kept = save_checkpoint(tmp_path, RunState(**nothing, step=7, best={"value": 0.5, "step": 3}), accelerator, keep=1)
    state = RunState(**nothing)
    load_checkpoint(kept, state, accelerator)
    assert (state.step, state.best) == (7, {"value": 0.5, "step": 3})


def test_resume_ignores_an_incomplete_checkpoint(start, finished):
    folder = finished(Pix2Pix(), "run", max_steps=4)
    (folder / "checkpoints/step-4").rename(folder / "checkpoints/.step-9.incomplete")
    (folder / "checkpoints/.step-1.deleted").mkdir()
    start(Pix2Pix(), "run", max_steps=4, resume=True)
    assert checkpoints(folder) == ["step-2", "step-4"], "and what a kill left behind is swept out"


def test_a_finished_run_can_be_lengthened(start, finished, capsys):
    finished(Pix2Pix(), "run")
    folder = start(Pix2Pix(), "run", max_steps=8, resume=True)
    assert "--max_steps: 6 -> 8" in capsys.readouterr().err
    assert lines(folder)[-1]["step"] == 8
    start(Pix2Pix(), "run", max_steps=9, resume=True)
    assert "--max_steps: 8 -> 9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"learning_rate": 1e-3}, "--learning_rate: 0.0002 -> 0.001"),
        ({"architecture": Architecture(width=8)}, "--width: 4 -> 8"),
        ({"seed": 7}, "--seed: 42 -> 7"),
    ],
)
def test_resume_with_other_settings_is_refused_by_name(start, finished, changed, says):
    finished(Pix2Pix(), "run", max_steps=1)
    with pytest.raises(ValueError, match=says):
        start(Pix2Pix(), "run", max_steps=1, resume=True, **changed)
    with pytest.raises(ValueError, match="--lambda_l1"):
        start(Pix2Pix(lambda_l1=10.0), "run", max_steps=1, resume=True)
    with pytest.raises(ValueError, match="family: pix2pix -> cyclegan"):
        start(CycleGAN(), "run", max_steps=1, resume=True)


def test_another_run_is_not_overwritten_without_being_asked(start, finished):
    folder = finished(Pix2Pix(), "run", max_steps=1)
    before = files(folder)
    with pytest.raises(ValueError, match="add --resume to continue that run, --overwrite to delete it"):
        start(Pix2Pix(), "run", max_steps=1)
    assert files(folder) == before
    start(Pix2Pix(), "run", max_steps=2, overwrite=True)
    assert lines(folder)[-1]["step"] == 2
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["step-2"]


@each_family
def test_overwrite_deletes_nothing_when_the_data_are_wrong(start, finished, family, tmp_path):
    folder = finished(family, "run", max_steps=1)
    before = files(folder)
    with pytest.raises(ValueError, match="nowhere"):
        start(family, "run", overwrite=True, data=DataConfig(dataset=str(tmp_path / "nowhere")))
    assert files(folder) == before


def test_overwrite_removes_the_generators_of_the_other_family(start, finished):
    folder = finished(CycleGAN(), "run", max_steps=1)
    start(Pix2Pix(), "run", max_steps=1, overwrite=True)
    assert not (folder / "source2target").exists()
    assert (folder / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("output", "says"), [("file/run", "file is a file or a link to nowhere: name a folder"), ("/", "no name")]
)
def test_output_folders_that_cannot_be_are_refused_before_training(start, tmp_path, output, says):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=says):
        start(Pix2Pix(), output)


# --- one run at a time ------------------------------------------------------------------------------------------------

HOLDER = """
import os, sys, time
from pathlib import Path
from img2img_hub.training.run.lock import FolderLock
FolderLock(Path(sys.argv[1]))
child = os.fork()  # as the processes that read images
print("held", child, flush=True) if child else None
time.sleep(60)
"""


@pytest.fixture
def hold(tmp_path):
    """hold(folder): another process that makes a run there, with a child."""
    started = []

    def hold(folder):
        folder.mkdir(exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, folder], env=environment(), stdout=subprocess.PIPE, text=True
        )
        word, child = process.stdout.readline().split()
        assert word == "held"
        started.extend([process, psutil.Process(int(child))])
        return process

    yield hold
    for process in started:  # the child's parent is none of ours, so that nobody waits for it
        process.kill()
    for process in started[::2]:
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("flag", ["resume", "overwrite"])
def test_a_second_run_in_a_folder_is_refused_until_the_first_is_gone(start, finished, hold, flag):
    folder = finished(Pix2Pix(), "run", max_steps=1)
    first = hold(folder)
    before = files(folder)
    with pytest.raises(ValueError, match=rf"a run is being made there by process {first.pid} on .*: wait for its end"):
        start(Pix2Pix(), "run", max_steps=2, **{flag: True})
    assert files(folder) == before
    first.kill()  # and its child lives on
    first.wait()
    start(Pix2Pix(), "run", max_steps=2, **{flag: True})


def test_of_two_new_runs_in_a_folder_one_begins(start, hold, tmp_path):
    hold(tmp_path / "run")
    with pytest.raises(ValueError, match="a run is being made there"):
        start(Pix2Pix(), "run", max_steps=1)
    assert files(tmp_path / "run").keys() == {".lock"}


def test_a_run_holds_its_folder_to_its_end_and_no_longer(start, monkeypatch, hold, tmp_path):
    original, tried = Stepper.step, []

    def stepping(self, *arguments, **options):
        original(self, *arguments, **options)
        tried.append(try_lock(tmp_path / "run"))

    monkeypatch.setattr(Stepper, "step", stepping)
    start(Pix2Pix(), "run", max_steps=1)
    assert "a run is being made there" in tried[0]
    assert try_lock(tmp_path / "run") == ""
    with pytest.raises(ValueError, match="other settings"):
        start(Pix2Pix(), "run", max_steps=1, seed=1, resume=True)
    assert try_lock(tmp_path / "run") == "", "an error ends a run too"


def try_lock(folder):
    """What another process hears that wants to make a run there."""
    attempt = "import sys; from pathlib import Path; from img2img_hub.training.run.lock import FolderLock as L"
    return subprocess.run(
        [sys.executable, "-c", f"{attempt}; L(Path(sys.argv[1]))", folder],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    ).stderr


# --- links ------------------------------------------------------------------------------------------------------------


def test_overwrite_takes_links_away_and_leaves_what_they_point_to(start, finished, tmp_path):
    folder = finished(Pix2Pix(), "run", max_steps=1)
    (folder / "checkpoints").rename(tmp_path / "elsewhere")
    (folder / "checkpoints").symlink_to(tmp_path / "elsewhere")
    (folder / "samples/step-1.png").unlink()
    (folder / "samples").rmdir()
    (folder / "samples").symlink_to(tmp_path / "nowhere")
    start(Pix2Pix(), "run", max_steps=2, overwrite=True)
    assert (tmp_path / "elsewhere/step-1/training_state.pt").exists()
    assert checkpoints(folder) == ["step-2"]
    assert not (folder / "checkpoints").is_symlink()
    assert (folder / "samples/step-2.png").exists()
    assert not (tmp_path / "nowhere").exists()


def test_the_output_folder_may_be_a_link(start, tmp_path):
    (tmp_path / "large-disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "large-disk")
    for flags in ({}, {"resume": True}, {"overwrite": True}):
        folder = start(Pix2Pix(), "run", max_steps=1, **flags)
    assert folder.is_symlink()
    assert checkpoints(tmp_path / "large-disk") == ["step-1"]
    (tmp_path / "dangling").symlink_to(tmp_path / "no-disk")
    with pytest.raises(ValueError, match="dangling is a file or a link to nowhere: name a folder"):
        start(Pix2Pix(), "dangling", max_steps=1)


def test_a_run_begun_before_its_family_said_otherwise_goes_on_as_it_was(start, finished):
    """ESRGAN's halvings, average and turns came after runs had been begun without them."""
    family = tiny(ESRGAN)
    folder = finished(family, "run", max_steps=2, learning_rate_policy="linear", ema_decay=0.0, turns=False)
    settings = json.loads((folder / "run.json").read_text())
    del settings["training"]["turns"]
    (folder / "run.json").write_text(json.dumps(settings))
    start(family, "run", max_steps=4, resume=True)
    now = json.loads((folder / "run.json").read_text())["training"]
    assert (now["learning_rate_policy"], now["ema_decay"], now.get("turns", False)) == ("linear", 0.0, False)
    with pytest.raises(ValueError, match="--turns: False -> True"):
        start(family, "run", max_steps=6, resume=True, turns=True)
