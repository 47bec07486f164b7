"""train_accelerate.py as trainers start it: through the launcher, in one and in two processes."""

import json
import os
import platform
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import torch
from accelerate.state import AcceleratorState

from img2img_hub import TrainConfig
from img2img_hub.cli import training
from img2img_hub.training.run.launch import has_bfloat16_instructions, start_accelerator
from tests.runs import PLAIN as SMALL
from tests.runs import TWO, command, environment, free_port, run


@pytest.fixture(autouse=True)
def fresh_accelerate():
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


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
    assert errors.count("global batch 2") == 1, "only the main process speaks"
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


DYING = """
import os, signal, sys
from img2img_hub.cli import training
from img2img_hub.training import loop

def dies(*arguments, **options):
    calls.append(1)
    if os.environ["RANK"] == who and len(calls) == int(call):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)

who, place, call, *settings = sys.argv[1:]
owner, name = (loop.Stepper, "step") if place == "step" else (loop, place)
original, calls = getattr(owner, name), []
setattr(owner, name, dies)
training.leave(training.main(settings))
"""


@contextmanager
def two_processes(*lines, machines=1):
    """Of one training, started without the launcher, which ends who is left, too, and tells of it at length."""
    group = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": str(2 // machines), "MASTER_ADDR": "127.0.0.1"}
    group["MASTER_PORT"] = free_port()
    places = [("0", "0"), ("1", "1" if machines == 1 else "0")]
    processes = [
        subprocess.Popen(line, env=environment(RANK=rank, LOCAL_RANK=local, **group), stderr=subprocess.PIPE, text=True)
        for line, (rank, local) in zip(lines, places, strict=True)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("place", ["open_samples", "step"])
@pytest.mark.parametrize("who", [0, 1])
def test_who_loses_another_process_says_so_in_one_line(who, place, paired_folder, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(DYING)
    settings = ["pix2pix", "--dataset", paired_folder, "--side_by_side", *SMALL, "--max_steps", "40"]
    settings += ["--checkpoint_steps", "4", "--output_dir", tmp_path / "run"]
    line = command(who, place, 9 if place == "step" else 1, *settings, script=script)
    with two_processes(line, line) as processes:
        _, errors = processes[1 - who].communicate(timeout=120)
        assert processes[who].wait() == -signal.SIGKILL
    assert processes[1 - who].returncode == 2
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if "error" in line]
    last = f"the last good checkpoint is {tmp_path / 'run/checkpoints/step-8'}"
    assert "another process of this run has stopped" in line
    assert f"{last if place == 'step' else 'there is no checkpoint yet'}: mend that, then the same command" in line
    assert "--resume" in line


def test_what_one_machine_alone_lacks_is_said_there(paired_folder, tmp_path):
    lines = [
        command("pix2pix", "--dataset", folder, "--side_by_side", *SMALL, "--output_dir", tmp_path / "run")
        for folder in (paired_folder, tmp_path / "nowhere")
    ]
    with two_processes(*lines, machines=2) as processes:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [2, 2], errors
    assert "another process of this run has stopped" in errors[0]
    (line,) = [line for line in errors[1].splitlines() if "error" in line]
    assert str(tmp_path / "nowhere") in line


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
    ("variable", "value", "says"),
    [
        ("ACCELERATE_USE_DEEPSPEED", "true", "DeepSpeed"),
        ("ACCELERATE_USE_FSDP", "true", "FSDP"),
        ("ACCELERATE_USE_MEGATRON_LM", "true", "Megatron-LM"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true", "a parallelism config"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "--dynamo_backend inductor: use --compile"),
        ("ACCELERATE_MIXED_PRECISION", "fp8", "fp8"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4", "--gradient_accumulation_steps after the script's name"),
    ],
)
def test_launches_that_this_training_does_not_know_are_refused(variable, value, says, monkeypatch):
    """What `accelerate launch` and its config files leave in the environment."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=says):
        start_accelerator(TrainConfig(output_dir="unused", cpu=True))
    monkeypatch.setenv(variable, {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "1"}.get(variable, "no"))
    start_accelerator(TrainConfig(output_dir="unused", cpu=True))


def test_the_launchers_own_compilation_is_refused_in_one_line(paired_folder, tmp_path):
    result = run(
        "pix2pix", "--dataset", paired_folder, "--side_by_side", *SMALL, "--output_dir", tmp_path / "run",
        launcher=["-q", "--num_processes", "1", "--mixed_precision", "no", "--dynamo_backend", "eager"],
    )  # fmt: skip
    assert result.returncode != 0
    assert "the launcher was asked for --dynamo_backend eager: use --compile in its place" in result.stderr
    assert not (tmp_path / "run").exists()


def test_processes_wait_for_each_other_through_a_long_evaluation(tmp_path):
    """The time-out of the group itself, and of the one that agrees on signals."""
    script = tmp_path / "script.py"
    script.write_text(WAITING)
    result = run(script=script, WORLD_SIZE="1", RANK="0", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1",
                 MASTER_PORT=free_port())  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert [float(hours) for hours in result.stdout.split()] == [12.0]


WAITING = """
from torch import distributed
from img2img_hub.training.run.config import TrainConfig
from img2img_hub.training.run.launch import has_bfloat16_instructions, start_accelerator
start_accelerator(TrainConfig(output_dir="unused", cpu=True))
group = distributed.distributed_c10d._get_default_group()
print(group._get_backend(distributed.distributed_c10d.torch.device("cpu")).options._timeout.total_seconds() / 3600)
"""


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
    ).replace(f"{tmp_path}/", "")  # whose machine it was is nobody's business
    assert typed in (tmp_path / "run/README.md").read_text()
    assert list((tmp_path / "run").rglob("events.out.tfevents.*"))
    assert json.loads((tmp_path / "run/training_config.json").read_text())["architecture"]["width"] == 4


FASTER = "This processor computes in bfloat16"
SLOWER = "This processor does not compute in bfloat16"


def test_what_the_processor_knows_of_bfloat16_is_what_the_system_says():
    flags = Path("/proc/cpuinfo").read_text().split()
    if platform.machine() == "x86_64":
        assert has_bfloat16_instructions() is ("avx512_bf16" in flags or "amx_bf16" in flags)
    else:
        assert has_bfloat16_instructions() is None


@pytest.mark.parametrize(
    ("precision", "processor", "says"),
    [
        ("no", {"architecture": "x86_64", "avx512_bf16": True}, FASTER),
        ("no", {"architecture": "x86_64", "amx_bf16": True}, FASTER),
        ("no", {"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}, None),
        ("bf16", {"architecture": "x86_64", "avx512_bf16": True}, None),
        ("bf16", {"architecture": "x86_64", "avx512_bf16": False}, SLOWER),
        ("no", {}, None),
        ("bf16", {"architecture": "aarch64"}, None),
    ],
)
def test_a_training_says_in_its_first_lines_which_precision_is_the_fast_one(
    precision, processor, says, paired_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", precision)
    settings = [str(word) for word in ("pix2pix", "--dataset", paired_folder, "--side_by_side", *SMALL)]
    settings += ["--output_dir", str(tmp_path / "run")]
    assert training.main([*settings, "--max_steps", "1"]) == 0
    first = [line for line in capsys.readouterr().err.splitlines() if line.strip() and "step" not in line[-20:]][:4]
    assert [line.split(",")[0] for line in first if "bfloat16" in line] == ([says] if says else []), first
    AcceleratorState._reset_state(reset_partial_state=True)
    assert training.main([*settings, "--max_steps", "2", "--resume"]) == 0
    said = capsys.readouterr().err
    assert FASTER not in said, "a run goes on in the precision that it began in"
    assert (SLOWER in said) == (says == SLOWER)
