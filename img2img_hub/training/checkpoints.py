"""The state of a run on disk: complete or not there at all.

    ls OUTPUT_DIR/checkpoints/step-1000

step-N/ holds <network>.safetensors (and <network>.ema.safetensors), training_state.pt (optimizers, scaler) and
rank-R.pt (random states, image pools) for every process. It is written beside its place, synced, then renamed, so a
kill at any instant leaves the last complete one. Nothing is pickled: .pt files are read with weights_only=True.
"""

import os
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from img2img_hub.losses import ImagePool

_PREFIX = "step-"


@dataclass(kw_only=True)
class RunState:
    """Everything that a step changes."""

    networks: Mapping[str, nn.Module]  # unwrapped
    optimizers: Mapping[str, AcceleratedOptimizer]
    averages: Mapping[str, nn.Module]  # EMA copies, {} without
    pools: Mapping[str, ImagePool] = field(default_factory=dict)
    step: int = 0
    seconds: float = 0.0  # of training, over all resumes


def complete_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints in OUTPUT_DIR/checkpoints, oldest first."""
    steps = [path for path in folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit()]
    return sorted(steps, key=checkpoint_step)


def checkpoint_step(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))


def save_checkpoint(folder: Path, state: RunState, accelerator: Accelerator, *, keep: int) -> Path:
    """Write checkpoints/step-N on all ranks together, then delete all but the last `keep`.

    Raises:
        ValueError: it could not be written (a full disk …); the checkpoints before it are as they were.
    """
    try:
        return _save(folder, state, accelerator, keep=keep)
    except (OSError, SafetensorError, RuntimeError) as error:  # safetensors and torch.save have each their own
        if isinstance(error, RuntimeError) and "PytorchStreamWriter" not in str(error):
            raise
        raise ValueError(
            f"the checkpoint of step {state.step} cannot be written to {folder} ({error}): make room there, then "
            "--resume goes on from the one before"
        ) from None


def _save(folder: Path, state: RunState, accelerator: Accelerator, *, keep: int) -> Path:
    final = folder / f"{_PREFIX}{state.step}"
    aside = folder / f".{final.name}.incomplete"
    if accelerator.is_main_process:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for name, network in state.networks.items():
            _save_tensors(network, aside / f"{name}.safetensors")
        for name, average in state.averages.items():
            _save_tensors(average, aside / f"{name}.ema.safetensors")
        shared: dict[str, Any] = {
            "step": state.step,
            "seconds": state.seconds,
            "optimizers": {name: optimizer.state_dict() for name, optimizer in state.optimizers.items()},
            "scaler": accelerator.scaler.state_dict() if accelerator.scaler is not None else None,
        }
        torch.save(shared, aside / "training_state.pt")
    accelerator.wait_for_everyone()
    own = {"random": _random_states(), "pools": {name: pool.state_dict() for name, pool in state.pools.items()}}
    torch.save(own, aside / f"rank-{accelerator.process_index}.pt")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        for path in aside.iterdir():
            sync(path)
        sync(aside)
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        sync(folder)
        for old in complete_checkpoints(folder)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()
    return final


def load_checkpoint(path: Path, state: RunState, accelerator: Accelerator) -> None:
    """Bring networks, optimizers, pools and random states back to where the checkpoint was written.

    Raises:
        ValueError: a file of it is missing or damaged, or it is of another number of processes.
    """
    own_path = path / f"rank-{accelerator.process_index}.pt"
    if not own_path.exists() or (path / f"rank-{accelerator.num_processes}.pt").exists():
        ranks = len(list(path.glob("rank-*.pt")))
        raise ValueError(
            f"{path} was written by {ranks} process(es), this run has {accelerator.num_processes}: resume with "
            f"{ranks}, or start a new run from its weights with --init_from"
        )
    try:
        _load(path, own_path, state, accelerator)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a torn file can raise anything
        raise ValueError(
            f"the checkpoint {path} is damaged ({type(error).__name__}: {error}): delete its folder, then --resume "
            "goes on from the one before"
        ) from None


def _load(path: Path, own_path: Path, state: RunState, accelerator: Accelerator) -> None:
    for name, network in state.networks.items():
        network.load_state_dict(load_file(path / f"{name}.safetensors"))
    for name, average in state.averages.items():
        average.load_state_dict(load_file(path / f"{name}.ema.safetensors"))
    shared = torch.load(path / "training_state.pt", map_location="cpu", weights_only=True)
    for name, optimizer in state.optimizers.items():
        optimizer.load_state_dict(shared["optimizers"][name])
    if accelerator.scaler is not None and shared["scaler"] is not None:
        accelerator.scaler.load_state_dict(shared["scaler"])
    own = torch.load(own_path, map_location="cpu", weights_only=True)
    for name, pool in state.pools.items():
        pool.load_state_dict(own["pools"][name], device=accelerator.device)
    _set_random_states(own["random"])
    state.step = shared["step"]
    state.seconds = shared["seconds"]


def _save_tensors(network: nn.Module, path: Path) -> None:
    save_file({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, path)


def sync(path: Path) -> None:
    """Ask the system to bring a file or a folder's entries to the disk."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _random_states() -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss),
    }


def _set_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
