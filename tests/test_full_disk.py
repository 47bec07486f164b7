"""A disk that fills up, anywhere in a run: one line that names the last good checkpoint, which stays usable."""

import json
import resource
import subprocess
from contextlib import contextmanager

import pytest
import torch
from accelerate import Accelerator

from img2img_hub import Pix2Pix
from img2img_hub.objectives.losses import ImagePool
from img2img_hub.training.state.checkpoints import RunState, errors_of_writing, save_checkpoint
from tests.runs import TINY, assert_same_end, checkpoints, run

pytest_plugins = ["tests.starting"]


@contextmanager
def no_file_above(size):
    """The system refuses to let a file grow further, in the same place as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("fails", ["generator.safetensors", "generator.optimizer.safetensors"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(start, finished, fails):
    """Even if only one is kept."""
    folder = finished(Pix2Pix(), "run", max_steps=2, keep_checkpoints=1)
    size = (folder / "checkpoints/step-2" / fails).stat().st_size
    says = rf"step 4 cannot be written.*the last good checkpoint is {folder}/checkpoints/step-2: make room there"
    with no_file_above(size - 1), pytest.raises(ValueError, match=says):
        start(Pix2Pix(), "run", max_steps=4, keep_checkpoints=1, resume=True)
    assert checkpoints(folder) == ["step-2"], "what was written of the new one is gone: it took up room"
    start(Pix2Pix(), "run", max_steps=4, keep_checkpoints=1, resume=True)
    assert json.loads((folder / "finished.json").read_text()) == {"step": 4}
    assert checkpoints(folder) == ["step-4"]


@pytest.mark.parametrize("missing", [1, 30, 5000, 100_000])  # bytes: of the end of the file, and of what is in it
def test_what_torch_writes_fails_alike_wherever_it_is_cut_off(tmp_path, missing):
    pool = ImagePool(4, seed=0)
    pool.query(torch.rand(4, 3, 64, 64))
    accelerator = Accelerator(cpu=True)
    state = RunState(networks={}, optimizers={}, averages={}, pools={"target": pool}, step=1)
    first = save_checkpoint(tmp_path, state, accelerator, keep=1)
    size = (first / "rank-0.pt").stat().st_size
    state.step = 2
    says = rf"step 2 cannot be written.*the last good checkpoint is {first}: make room"
    with no_file_above(size - missing), pytest.raises(ValueError, match=says):
        save_checkpoint(tmp_path, state, accelerator, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


def test_a_line_that_cannot_be_written_is_one_line(start, finished):
    folder = finished(Pix2Pix(), "run", max_steps=2)
    with (folder / "metrics.jsonl").open("a") as file:
        for _ in range(20_000):  # so long that a limit meets this file and none of the others
            file.write(json.dumps({"step": 1, "note": "x" * 100}) + "\n")
    size = (folder / "metrics.jsonl").stat().st_size
    says = rf"run cannot be written to .* \(.*File too large.*the last good checkpoint is {folder}/checkpoints/step-2"
    with no_file_above(size), pytest.raises(ValueError, match=says):
        start(Pix2Pix(), "run", max_steps=4, resume=True)
    start(Pix2Pix(), "run", max_steps=4, resume=True)


@pytest.mark.parametrize(
    ("blocked", "last"),
    [("samples/step-3.png", "step-2"), ("model.safetensors", "step-4"), (".finished.json.new", "step-4")],
)
def test_a_sheet_or_the_finished_generators_that_cannot_be_written_are_one_line(start, finished, blocked, last):
    """In their place stands a folder."""
    in_place = finished(Pix2Pix(), "run", max_steps=2) / blocked
    in_place.unlink(missing_ok=True)
    in_place.mkdir()
    says = rf"run cannot be written to .* \(.*the last good checkpoint is .*/{last}: make room there.*--resume"
    with pytest.raises(ValueError, match=says):
        start(Pix2Pix(), "run", max_steps=4, resume=True)
    in_place.rmdir()
    folder = start(Pix2Pix(), "run", max_steps=4, resume=True)
    assert json.loads((folder / "finished.json").read_text()) == {"step": 4}


def test_errors_about_other_files_and_of_networks_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), errors_of_writing(tmp_path / "run/checkpoints"):
        (tmp_path / "elsewhere").read_text()
    with pytest.raises(ConnectionRefusedError), errors_of_writing(tmp_path / "run/checkpoints"):
        raise ConnectionRefusedError(111, "refused")
    with pytest.raises(ValueError, match="there is no checkpoint yet"), errors_of_writing(tmp_path / "run/checkpoints"):
        (tmp_path / "run/metrics.jsonl").open("a")


def test_a_small_disk(paired_folder, tmp_path):
    """As it happens: a file system with room for one checkpoint and not for two; then it is made larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "none", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    settings = ["pix2pix", "--dataset", paired_folder, "--side_by_side", *TINY, "--num_workers", "0"]
    settings += ["--max_steps", "6", "--checkpoint_steps", "2"]
    try:
        full = run(*settings, "--output_dir", disk / "run")
        assert full.returncode == 2, full.stderr
        assert "Traceback" not in full.stderr
        (line,) = [line for line in full.stderr.splitlines() if "error:" in line]
        assert "No space left on device" in line or "PytorchStreamWriter" in line
        assert "the last good checkpoint is" in line
        assert line.split("the last good checkpoint is ")[1].startswith(str(disk / "run/checkpoints/step-"))
        assert checkpoints(disk / "run")
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        again = run(*settings, "--output_dir", disk / "run", "--resume")
        assert again.returncode == 0, again.stderr
        assert "Resuming from" in again.stderr
        whole = run(*settings, "--output_dir", tmp_path / "whole")
        assert whole.returncode == 0, whole.stderr
        assert_same_end(tmp_path / "whole", disk / "run", step=6)
    finally:
        subprocess.run(["umount", disk], check=True)
