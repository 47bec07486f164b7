"""train_accelerate.py as trainers start it: through the launcher, in one and in two processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parent.parent
TWO = [
    "--multi_gpu",
    "--num_processes",
    "2",
    "--num_machines",
    "1",
    "--mixed_precision",
    "no",
    "--dynamo_backend",
    "no",
]
TWO += ["--main_process_port", "0"]
SMALL = ["--image_size", "16", "--width", "4", "--discriminator_layers", "1", "--dropout", "0", "--cpu"]
SMALL += ["--cpu_threads", "1", "--num_workers", "0", "--validation_split", "none", "--norm", "none"]


def command(*arguments, launcher=None):
    script = [str(ROOT / "train_accelerate.py"), *map(str, arguments)]
    if launcher is None:
        return [sys.executable, *script]
    return [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", *launcher, *script]


def environment(**extra):
    clean = {k: v for k, v in os.environ.items() if k not in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "LOCAL_RANK")}
    return clean | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""} | extra


def run(*arguments, launcher=None, **extra):
    return subprocess.run(
        command(*arguments, launcher=launcher),
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def weights(folder, step, name):
    return load_file(folder / f"checkpoints/step-{step}/{name}.safetensors")


@pytest.mark.parametrize("family", ["pix2pix", "cyclegan"])
def test_two_processes_of_batch_one_equal_one_of_batch_two(family, paired_folder, unpaired_folder, tmp_path):
    data = ["--dataset", paired_folder, "--side_by_side"] if family == "pix2pix" else ["--dataset", unpaired_folder]
    if family == "cyclegan":
        data += ["--blocks", "1"]
    settings = [family, *data, *SMALL, "--max_steps", "3"]
    two = run(*settings, "--output_dir", tmp_path / "two", launcher=TWO)
    assert two.returncode == 0, two.stderr
    assert "global batch 2" in two.stderr
    assert two.stderr.count("global batch") == 1, "only the main process speaks"
    one = run(*settings, "--batch_size", "2", "--output_dir", tmp_path / "one")
    assert one.returncode == 0, one.stderr
    names = {p.stem for p in (tmp_path / "one/checkpoints/step-3").glob("*.safetensors")}
    assert len(names) == (2 if family == "pix2pix" else 4)
    for name in names:
        first, second = weights(tmp_path / "one", 3, name), weights(tmp_path / "two", 3, name)
        for key in first:
            assert torch.allclose(first[key], second[key], atol=2e-6), f"{name}: {key}"
    assert len((tmp_path / "two/metrics.jsonl").read_text().splitlines()) == 1, "only the main process writes"


@pytest.mark.parametrize("receiver", ["group", "one rank"])
def test_sigterm_saves_every_rank_at_the_same_step(receiver, paired_folder, tmp_path):
    folder = tmp_path / "run"
    settings = ["pix2pix", "--dataset", paired_folder, "--side_by_side", *SMALL, "--max_steps", "100000"]
    settings += ["--log_steps", "5", "--output_dir", folder]
    process = subprocess.Popen(
        command(*settings, launcher=TWO),
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        for _ in range(600):
            if (folder / "metrics.jsonl").exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        if receiver == "group":
            os.killpg(process.pid, signal.SIGTERM)
        else:  # the others hear of it from that rank
            ranks = [child for child in psutil.Process(process.pid).children() if "RANK" in child.environ()]
            next(rank for rank in ranks if rank.environ()["RANK"] == "1").terminate()
        _, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    checkpoints = list((folder / "checkpoints").iterdir())
    assert [p.name[:5] for p in checkpoints] == ["step-"], errors
    assert {p.name for p in checkpoints[0].glob("rank-*.pt")} == {"rank-0.pt", "rank-1.pt"}
    step = int(checkpoints[0].name.removeprefix("step-"))
    assert f"Stopped at step {step}" in errors
    states = [torch.load(checkpoints[0] / f"rank-{rank}.pt", weights_only=True)["random"]["torch"] for rank in (0, 1)]
    assert not torch.equal(*states), "each rank has its own random numbers"


@pytest.mark.parametrize("seed", ["1", "2"])  # with one the first process meets the bad image first, else the second
def test_an_image_that_one_of_two_processes_cannot_read_is_named_without_a_traceback(paired_folder, tmp_path, seed):
    (paired_folder / "train/3.png").write_bytes((paired_folder / "train/3.png").read_bytes()[:90])
    result = run(
        "pix2pix", "--dataset", paired_folder, "--side_by_side", *SMALL, "--max_steps", "40", "--seed", seed,
        "--output_dir", tmp_path / "run", launcher=TWO,
    )  # fmt: skip
    assert result.returncode != 0
    assert "train/3.png is damaged" in result.stderr
    ours = result.stderr[: result.stderr.find("torch/distributed/run.py")]  # then the launcher's own account
    assert "loop.py" not in ours


def test_fp16_on_a_cpu_is_refused_rather_than_left_out(paired_folder, tmp_path):
    result = run(
        "pix2pix", "--dataset", paired_folder, "--side_by_side", *SMALL, "--output_dir", tmp_path / "run",
        ACCELERATE_MIXED_PRECISION="fp16",
    )  # fmt: skip
    assert result.returncode == 2
    assert "fp16 needs a GPU" in result.stderr


def test_a_second_ctrl_c_stops_at_once_without_a_traceback(paired_folder, tmp_path):
    settings = ["pix2pix", "--dataset", paired_folder, "--side_by_side", *SMALL, "--max_steps", "100000"]
    settings += ["--sample_steps", "1", "--log_steps", "1", "--output_dir", tmp_path / "run"]
    process = subprocess.Popen(command(*settings), env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            if (tmp_path / "run/metrics.jsonl").exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        # A process that stands still takes both signals in one go when it is woken, however fast a step is.
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode in (130, -signal.SIGTERM), errors
    assert "Traceback" not in errors
    assert "a second Ctrl-C or SIGTERM stops at once" in errors


def test_a_launch_that_runs_one_process_in_place_of_two_is_refused(paired_folder, tmp_path):
    result = run(
        "pix2pix", "--dataset", paired_folder, "--side_by_side", *SMALL, "--output_dir", tmp_path / "run",
        launcher=["--cpu", "--num_processes", "2"],
    )  # fmt: skip
    assert result.returncode != 0
    assert "prepared several processes but started this one alone" in result.stderr
    assert not (tmp_path / "run").exists()


def test_ranks_that_do_not_know_of_each_other_are_refused(paired_folder, tmp_path):
    """Two processes without --cpu after the script's name, on a machine without GPUs."""
    arguments = [argument for argument in SMALL if argument != "--cpu"]
    result = run(
        "pix2pix", "--dataset", paired_folder, "--side_by_side", *arguments, "--output_dir", tmp_path / "run",
        WORLD_SIZE="2", RANK="0", LOCAL_RANK="-1", MASTER_ADDR="127.0.0.1", MASTER_PORT="29511",
    )  # fmt: skip
    assert result.returncode == 2
    assert "each would train alone as 1 of 1" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--dataset", "no/such/folder"], "no/such/folder"),
        (["--dataset", "{data}", "--side_by_side", "--image_size", "100"], "--image_size 100"),
        (["--dataset", "{data}"], "--side_by_side"),
        (["--dataset", "{data}", "--side_by_side", "--report_to", "wandb"], "pip install wandb"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_two(arguments, says, paired_folder, tmp_path):
    arguments = [argument.replace("{data}", str(paired_folder)) for argument in arguments]
    result = run("pix2pix", *arguments, "--cpu", "--output_dir", tmp_path / "run", HF_HUB_OFFLINE="1")
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if "error:" in line]
    assert says in line
    assert not (tmp_path / "run").exists()


def test_the_card_has_the_exact_command_and_trackers_get_the_losses(paired_folder, tmp_path):
    settings = ["pix2pix", "--dataset", paired_folder, "--side_by_side", *SMALL, "--max_steps", "2"]
    settings += ["--output_dir", tmp_path / "run", "--report_to", "tensorboard"]
    result = run(*settings, launcher=["--num_processes", "1", "--mixed_precision", "no"])
    assert result.returncode == 0, result.stderr
    typed = " ".join(
        ["accelerate launch --num_processes 1 --mixed_precision no train_accelerate.py", *map(str, settings)]
    )
    assert typed in (tmp_path / "run/README.md").read_text()
    assert list((tmp_path / "run").rglob("events.out.tfevents.*"))
    assert json.loads((tmp_path / "run/training_config.json").read_text())["architecture"]["width"] == 4
