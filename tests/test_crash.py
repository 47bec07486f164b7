"""A training that is killed at random instants and resumed each time ends exactly as one that was left alone."""

import contextlib
import random
import subprocess
import time

import psutil
import pytest

from tests.runs import (
    TINY,
    TWO,
    assert_same_end,
    checkpoints,
    command,
    environment,
    family_tree,
    files,
    free_port,
    lines,
    run,
)

OFTEN = ["--checkpoint_steps", "1", "--log_steps", "1", "--sample_steps", "25", "--ema_decay", "0.9"]


class Training:
    """A training with a session of its own, that can be killed when it has come somewhere."""

    def __init__(self, settings, folder, *, launcher=None, **extra):
        self.folder = folder
        self.before = self.newest()
        self.errors = open(f"{folder}.errors", "w+", encoding="utf-8")  # noqa: SIM115
        self.process = subprocess.Popen(
            command(*settings, "--output_dir", folder, "--resume", launcher=launcher),
            env=environment(**extra),
            stderr=self.errors,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def newest(self):
        steps = [int(p.name[5:]) for p in (self.folder / "checkpoints").glob("step-*")]
        return max(steps, default=0)

    def writing(self):
        return any((self.folder / "checkpoints").glob(".step-*.incomplete"))

    def wait_until(self, reached):
        deadline = time.monotonic() + 120
        while not reached():
            time.sleep(0.001)  # a checkpoint of so small networks takes some 20 of these
            assert self.process.poll() is None, f"it ended by itself: {self.said()}"
            assert time.monotonic() < deadline, self.said()

    def wait_for_steps(self, count):
        self.wait_until(lambda: self.newest() >= self.before + count)

    def said(self):
        self.errors.seek(0)
        return self.errors.read()

    def kill(self, whom):
        """SIGKILL; all processes that there were."""
        tree = family_tree(self.process.pid)
        if whom == "all":
            for process in tree:
                with contextlib.suppress(psutil.NoSuchProcess):  # its parent's death was enough
                    process.kill()
        elif whom == "one rank":
            next(process for process in tree if process.environ().get("RANK") == "1").kill()
            assert self.process.wait(timeout=90) != 0
        else:  # the training process, whose readers stay behind, or the launcher, whose ranks do
            self.process.kill()
        self.process.wait()
        return tree


def kill_and_resume(settings, folder, *, steps, whom, seed, launcher=None):
    """Kill them of `whom` one after the other, every third in the middle of a checkpoint, then let it end. How many of
    the instants were inside the writing of a checkpoint."""
    draw, inside, seen, start_up = random.Random(seed), 0, [], 3.0
    for kill, victim in enumerate(whom):
        began = time.monotonic()
        training = Training(settings, folder, launcher=launcher)
        kind = ("writing", "after steps", "anywhere")[kill % 3]
        if kind == "anywhere":  # in the start, as likely as not
            time.sleep(draw.uniform(0.1, 1.2) * start_up)
        else:
            training.wait_for_steps(draw.randint(1, 4))
            start_up = time.monotonic() - began
            if kind == "writing":
                training.wait_until(training.writing)
            time.sleep(draw.uniform(0.0, 0.01 if kind == "writing" else 0.05))
        assert training.process.poll() is None, f"it ended by itself: {training.said()}"
        tree = training.kill(victim)
        inside += training.writing()
        print(f"{kind}, {victim}: from step {training.before} to {training.newest()}, inside: {training.writing()}")
        if victim == "the launcher":
            _, alive = psutil.wait_procs(tree, timeout=60)
            assert not alive, "its ranks went on"
        seen += tree
    assert training.newest() < steps, "it was over before the last kill: give it more steps"
    last = run(*settings, "--output_dir", folder, "--resume", launcher=launcher)
    assert last.returncode == 0, last.stderr
    _, alive = psutil.wait_procs(seen, timeout=30)
    assert not alive, "processes were left behind"
    return inside


def settings_of(family, paired_folder, unpaired_folder, *, steps):
    if family == "pix2pix":  # batch norm and dropout are its defaults
        data = ["--dataset", paired_folder, "--side_by_side"]
    else:
        data = ["--dataset", unpaired_folder, "--blocks", "1", "--pool_size", "3"]
    return [family, *data, *TINY, *OFTEN, "--num_workers", "2", "--max_steps", steps]


def assert_equal_runs(whole, cut, *, steps):
    assert_same_end(whole, cut, step=steps)
    for name, content in files(whole).items():
        if name.endswith((".png", ".safetensors")) and not name.startswith("checkpoints"):
            assert (cut / name).read_bytes() == content, name
    timeless = [
        [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines(run)] for run in (whole, cut)
    ]
    assert timeless[0] == timeless[1]


def test_two_kills_change_nothing(paired_folder, unpaired_folder, tmp_path):
    settings = settings_of("cyclegan", paired_folder, unpaired_folder, steps=40)
    whole = run(*settings, "--output_dir", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    kill_and_resume(settings, tmp_path / "cut", steps=40, whom=["the training", "all"], seed=1)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut", steps=40)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", ["pix2pix", "cyclegan"])
def test_twenty_kills_change_nothing(family, paired_folder, unpaired_folder, tmp_path):
    settings = settings_of(family, paired_folder, unpaired_folder, steps=200)
    whole = run(*settings, "--output_dir", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    inside = kill_and_resume(settings, tmp_path / "cut", steps=200, whom=["the training", "all"] * 10, seed=2)
    assert inside >= 5, "hardly one of the instants was in the writing of a checkpoint"
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut", steps=200)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kills_of_two_processes_change_nothing(paired_folder, unpaired_folder, tmp_path):
    settings = settings_of("cyclegan", paired_folder, unpaired_folder, steps=200)
    whole = run(*settings, "--output_dir", tmp_path / "whole", launcher=TWO)
    assert whole.returncode == 0, whole.stderr
    whom = ["all", "one rank", "all", "the launcher", "all"]
    kill_and_resume(settings, tmp_path / "cut", steps=200, whom=whom, seed=3, launcher=TWO)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut", steps=200)


@pytest.mark.parametrize("victim", [0, 1])
def test_the_other_of_two_processes_ends_by_itself(victim, paired_folder, tmp_path):
    """No launcher that would end it: it says what happened, and leaves no process and a checkpoint to go on from."""
    folder = tmp_path / "run"
    settings = ["pix2pix", "--dataset", paired_folder, "--side_by_side", *TINY, *OFTEN, "--max_steps", "100000"]
    group = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    ranks = [
        subprocess.Popen(
            command(*settings, "--output_dir", folder),
            env=environment(RANK=rank, LOCAL_RANK=rank, **group),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    try:
        for _ in range(1200):
            if len(list((folder / "checkpoints").glob("step-*"))) > 1 or any(r.poll() is not None for r in ranks):
                break
            time.sleep(0.1)
        tree = [process for rank in ranks for process in family_tree(rank.pid)]
        assert len(tree) == 2 + 2 * 2, "a training process and its two readers each"
        ranks[victim].kill()
        ranks[victim].wait()
        other = ranks[1 - victim]
        _, errors = other.communicate(timeout=60)
    finally:
        for rank in ranks:
            rank.kill()
    assert other.returncode == 2, errors
    assert "Traceback" not in errors
    assert errors.count("another process of this run has stopped") == 1
    _, alive = psutil.wait_procs(tree, timeout=30)
    assert not alive, "processes were left behind"
    assert any(name.startswith("step-") for name in checkpoints(folder))
