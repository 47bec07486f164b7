"""Starting an Accelerator that is what it seems to be: several processes that talk, all cores of a CPU.

    accelerate launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no \\
        train_accelerate.py pix2pix --cpu …
"""

import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType, InitProcessGroupKwargs, set_seed
from torch import distributed

from img2img_hub.errors import first_line
from img2img_hub.training.run.config import TrainConfig
from img2img_hub.training.run.memory import keep_freed_memory
from img2img_hub.training.state.checkpoints import describe_last

# How long a process waits for the others: they wait while the main one draws sheets or writes cards. One that has
# died is noticed at once, by the connection.
PATIENCE = timedelta(hours=12)


def start_accelerator(config: TrainConfig) -> Accelerator:
    """An Accelerator for this run.

    Raises:
        ValueError: the launcher was asked for what this training does not do, the processes do not know of each other,
            a tracker is not installed, fp16 was asked for on a CPU.
    """
    _refuse_other_launches()
    for tracker in config.report_to:
        if importlib.util.find_spec(tracker) is None:
            raise ValueError(f"--report_to {tracker}, but {tracker} is not installed: pip install {tracker}")
    # Buffers (batch norm's averages) stay each rank's own, and rank 0's are saved: in training nobody reads them, and a
    # broadcast before every call of every network, also between two passes of a discriminator, would be for nothing.
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        cpu=config.cpu,
        log_with=list(config.report_to) or None,
        project_dir=config.output_dir,
        kwargs_handlers=[
            DistributedDataParallelKwargs(broadcast_buffers=False),
            InitProcessGroupKwargs(timeout=PATIENCE),
        ],
    )
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated", category=FutureWarning)
    if accelerator.distributed_type == DistributedType.XLA:
        raise ValueError("this training does not run on TPUs: launch it on GPUs or CPUs")
    _refuse_strangers(accelerator.num_processes)
    if accelerator.device.type == "cpu":
        if accelerator.mixed_precision == "fp16":  # Accelerate would leave it out without a word
            raise ValueError("--mixed_precision fp16 needs a GPU, this run is on the CPU: use bf16, or no")
        local_processes = int(os.environ.get("LOCAL_WORLD_SIZE", accelerator.num_processes))
        # accelerate launch leaves OMP_NUM_THREADS=1 behind, which would halve the speed on two cores without a word
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(config.cpu_threads or max(1, cores // local_processes))
        keep_freed_memory()
    set_seed(config.seed)  # the same initial weights on every rank
    return accelerator


def describe_speed(accelerator: Accelerator, config: TrainConfig, *, resumed: bool) -> list[str]:
    """What would be faster on this processor; nothing where it was chosen well, or cannot be any more."""
    if accelerator.device.type != "cpu":
        return []
    knows, lines = has_bfloat16_instructions(), []
    if accelerator.mixed_precision == "bf16" and knows is False:
        lines.append(
            "This processor does not compute in bfloat16, which is therefore slower here than float32: leave out "
            "--mixed_precision bf16."
        )
    if accelerator.mixed_precision == "no" and knows and not resumed:
        lines.append(
            "This processor computes in bfloat16, which is faster than float32: add --mixed_precision bf16, see "
            "docs/devices.md."
        )
    if config.compile:
        lines.append("--compile makes no step faster on a CPU, and the first ones wait for it: leave it out.")
    return lines


def has_bfloat16_instructions() -> bool | None:
    """Whether the processor has instructions for it, by AVX-512 or AMX; None where PyTorch does not tell."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older PyTorch has none
    if known.get("architecture") != "x86_64":
        return None
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


@contextmanager
def errors_of_each_process(accelerator: Accelerator) -> Iterator[None]:
    """In the loop a process can fail alone (an image that only it reads). Then it has to say so itself, for the script
    shows the errors of one process a machine only."""
    try:
        yield
    except ValueError as error:
        _say_apart(accelerator, str(error))
        raise


@contextmanager
def errors_of_lost_processes(accelerator: Accelerator, checkpoints: Path) -> Iterator[None]:
    """That a process loses touch with another one is no error of its own; wherever it waits, it says what to do."""
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, distributed.DistError) or "gloo" in str(error)
        if accelerator.num_processes == 1 or not lost:
            raise
        said = (
            "another process of this run has stopped (its own message says why; one that is killed, perhaps for want "
            f"of memory, says nothing); {describe_last(checkpoints)}: mend that, then the same command with --resume "
            f"goes on (PyTorch says: {first_line(error):.300})"
        )
        _say_apart(accelerator, said)
        raise ValueError(said) from None


def _say_apart(accelerator: Accelerator, text: str) -> None:
    """One line on stderr, where the script itself leaves it to another process."""
    if not (accelerator.is_main_process or accelerator.is_local_main_process):
        print(f"error in process {accelerator.process_index}: {' '.join(text.split())}", file=sys.stderr, flush=True)


# What `accelerate launch` and its config files say in the environment. Two players with an optimizer each, which share
# their networks, are not what these wrap; the networks fit into the memory of one device.
_OTHER_LAUNCHES = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed (--use_deepspeed)",
    "ACCELERATE_USE_FSDP": "FSDP (--use_fsdp)",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM (--use_megatron_lm)",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism config (--use_parallelism_config)",
}


def _refuse_other_launches() -> None:
    cure = "leave it out of the command and of the accelerate config; docs/devices.md has a config for each machine"
    for variable, what in _OTHER_LAUNCHES.items():
        if os.environ.get(variable, "false").lower() in ("1", "true", "yes"):
            raise ValueError(f"the launcher was asked for {what}, which this training does not know: {cure}")
    backend = os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no")
    if backend.lower() != "no":
        raise ValueError(f"the launcher was asked for --dynamo_backend {backend.lower()}: use --compile in its place")
    if os.environ.get("ACCELERATE_MIXED_PRECISION", "no") == "fp8":
        raise ValueError("the launcher was asked for --mixed_precision fp8, which convolutions do not have: use bf16")
    steps = os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if steps != "1":  # Accelerate would divide every loss by it, and nobody would accumulate
        raise ValueError(
            f"ACCELERATE_GRADIENT_ACCUMULATION_STEPS is {steps} in the environment: take it out there, and give "
            "--gradient_accumulation_steps after the script's name"
        )


def _refuse_strangers(num_processes: int) -> None:
    """Refuse launches that silently run something else than what was asked for (seen with accelerate 1.15)."""
    world_size = os.environ.get("WORLD_SIZE")
    cure = (
        "Several processes on CPUs: accelerate launch --multi_gpu --num_processes N --num_machines 1 "
        "--mixed_precision no --dynamo_backend no train_accelerate.py … --cpu. One process: leave out --num_processes"
    )
    if world_size is not None and int(world_size) != num_processes:
        raise ValueError(
            f"the launcher started {world_size} processes, but each would train alone as 1 of {num_processes}: "
            f"on CPUs add --cpu after the script's name. {cure}"
        )
    if world_size is None and "MASTER_ADDR" in os.environ:
        raise ValueError(
            "the launcher prepared several processes but started this one alone (accelerate launch --cpu "
            f"--num_processes N does that). {cure}"
        )
