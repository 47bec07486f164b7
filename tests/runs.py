"""Tiny real trainings for tests, as trainers start them, and what they left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import torch
from safetensors.torch import load_file

from img2img_hub.training.step import Stepper
from tests import ports
from tests.warm import run_python

ROOT = Path(__file__).parent.parent

# --- in this process --------------------------------------------------------------------------------------------------


def interrupt_at(monkeypatch, step, number=signal.SIGTERM):
    """A real signal to this process in the middle of that step, counted over warm-up and run."""
    original, count = Stepper.step, [0]

    def stepping(self, *arguments, **options):
        original(self, *arguments, **options)
        count[0] += 1
        if count[0] == step:
            signal.raise_signal(number)

    monkeypatch.setattr(Stepper, "step", stepping)


# --- as trainers start them -------------------------------------------------------------------------------------------

TWO = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
TWO += ["--dynamo_backend", "no", "--main_process_port", "0"]
TINY = ["--image_size", "16", "--width", "4", "--discriminator_layers", "1", "--cpu", "--cpu_threads", "1"]
TINY += ["--validation_split", "none"]
# Without what makes a batch of two another thing than two of one.
PLAIN = [*TINY, "--dropout", "0", "--norm", "none", "--num_workers", "0"]


def command(*arguments, launcher=None, script=ROOT / "train_accelerate.py"):
    words = [str(script), *map(str, arguments)]
    if launcher is None:
        return [sys.executable, *words]
    return [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", *launcher, *words]


def environment(**extra):
    clean = {k: v for k, v in os.environ.items() if k not in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "LOCAL_RANK")}
    return clean | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"} | extra


def run(*arguments, launcher=None, script=ROOT / "train_accelerate.py", warm=True, **extra):
    """A training to its end: its exit status and what it said. warm: not where PyTorch reads `extra` at its import."""
    if launcher is None and warm:
        return run_python(command(*arguments, script=script)[1:], env=environment(**extra), timeout=300)
    return subprocess.run(
        command(*arguments, launcher=launcher, script=script),
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def free_port():
    return str(ports.free_port())


def family_tree(pid):
    """A process and all that descend from it, those of now."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


# --- what they left ---------------------------------------------------------------------------------------------------


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def checkpoints(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def same_tensors(first, second):
    first, second = load_file(first), load_file(second)
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def assert_same_end(one, other, *, step):
    """The last checkpoints are equal in every tensor, bit for bit: networks, averages, optimizers, pools, generators
    of random numbers."""
    folders = [folder / f"checkpoints/step-{step}" for folder in (one, other)]
    names = [{path.name for path in folder.iterdir()} for folder in folders]
    assert names[0] == names[1]
    for name in sorted(names[0]):
        first, second = (folder / name for folder in folders)
        if name.endswith(".safetensors"):
            assert same_tensors(first, second), name
        elif name.endswith(".pt"):
            states = [torch.load(path, weights_only=True) for path in (first, second)]
            assert_same_state(*(strip(state) for state in states), where=name)


def strip(state):
    return {key: value for key, value in state.items() if key != "seconds"}


def assert_same_state(first, second, *, where):
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same_state(first[key], second[key], where=f"{where}/{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), where
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_same_state(*pair, where=f"{where}/{index}")
    else:
        assert first == second, where
