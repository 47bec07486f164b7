"""The state of a run on disk: complete or not there at all.

    ls OUTPUT_DIR/checkpoints/step-1000

step-N/ holds <network>.safetensors (and <network>.ema.safetensors), <phase>.optimizer.safetensors, training_state.pt
(their settings, scaler, best value), rank-R.pt (random states, image pools) for every process, run.json, and
model.json, by which its generators translate (translation/checkpoint.py). It is written beside its place, synced, then
renamed, so a kill at any instant leaves the last complete one. Nothing in it can run code: .pt files are read with
weights_only=True.
"""

import io
import json
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from safetensors.torch import load_file
from torch import Tensor, nn

from img2img_hub.files import sync, write_tensors, write_text
from img2img_hub.networks import Network
from img2img_hub.objectives.losses import ImagePool
from img2img_hub.training.run.record import is_made, remove_made, strangers
from img2img_hub.translation.checkpoint import MODEL_FILE, STATE_FILE

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
    best: dict[str, float] = field(default_factory=dict)  # {"value", "step"} by best_metric so far, {} before the first
    settings: Mapping[str, Any] = field(default_factory=dict)  # those of run.json, kept with every checkpoint
    translations: Mapping[str, Any] = field(default_factory=dict)  # what translation.json says of each generator


def complete_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints in OUTPUT_DIR/checkpoints, oldest first."""
    steps = [path for path in folder.glob(f"{_PREFIX}*") if re.fullmatch("[0-9]+", path.name.removeprefix(_PREFIX))]
    # A folder that somebody else has given such a name is no checkpoint; one that lacks files is a damaged one.
    own = [path for path in steps if path.is_dir() and any(_is_part(file) for file in path.iterdir())]
    return sorted(own, key=checkpoint_step)


def _is_part(file: Path) -> bool:
    return is_made((*_place(file.parent), file.name), folder=False)


def _place(checkpoint: Path) -> tuple[str, str]:
    """Of the run's folders this is one, as `record` names them."""
    return "checkpoints", checkpoint.name


def _remove(checkpoint: Path) -> None:
    with suppress(OSError):  # what stays of it is in nobody's way
        remove_made(checkpoint, _place(checkpoint))


def checkpoint_step(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))


def describe_last(folder: Path) -> str:
    """Where the run can go on from, for messages: "the last good checkpoint is …"."""
    found = complete_checkpoints(folder)
    return f"the last good checkpoint is {found[-1]}" if found else "there is no checkpoint yet"


def way_out_of_divergence(folder: Path) -> str:
    """What to do where the numbers were left: resuming is exact, so it would come to the same."""
    found = complete_checkpoints(folder)
    if not found:
        return f"{describe_last(folder)}: start again with --overwrite and a lower --learning_rate"
    return (
        f"{describe_last(folder)}. --resume would only repeat this: start a new run in another folder with "
        f"--init_from {found[-1]} and a lower --learning_rate"
    )


@contextmanager
def errors_of_writing(folder: Path) -> Iterator[None]:
    """Whatever else of a run cannot be written (a line, a sheet, the finished generators) says where it can go on."""
    try:
        yield
    except OSError as error:
        # What a network says is an OSError too, of a class of its own; a bare one without a number is safetensors'.
        if isinstance(error, ConnectionError | TimeoutError) or (error.errno is None and type(error) is not OSError):
            raise
        if error.filename is not None and folder.parent.resolve() not in Path(error.filename).resolve().parents:
            raise  # it is about another file, which it names
        raise ValueError(
            f"the run cannot be written to {folder.parent} ({error}); {describe_last(folder)}: make room there, or "
            "mend what else it is, then --resume"
        ) from None


def save_checkpoint(folder: Path, state: RunState, accelerator: Accelerator, *, keep: int) -> Path:
    """Write checkpoints/step-N on all ranks together, then delete all but the last `keep`.

    Raises:
        ValueError: it could not be written (a full disk …), or there are weights in it that are no numbers; the
            checkpoints before it are as they were.
    """
    _refuse_broken_weights(folder, state)
    aside = folder / f".{_PREFIX}{state.step}.incomplete"
    try:
        _write(aside, state, accelerator)
        return _put_in_place(aside, folder / f"{_PREFIX}{state.step}", accelerator, keep=keep)
    except OSError as error:
        _remove(aside)  # what was written of it takes up room
        raise ValueError(
            f"the checkpoint of step {state.step} cannot be written to {folder} ({error}); {describe_last(folder)}: "
            "make room there, then --resume"
        ) from None


def _refuse_broken_weights(folder: Path, state: RunState) -> None:
    """Weights can leave the numbers in the very step after a finite loss: then nothing may be overwritten."""
    for name, network in [*state.networks.items(), *state.averages.items()]:
        sums = torch.stack([parameter.detach().sum(dtype=torch.float32) for parameter in network.parameters()])
        if not sums.sum().isfinite():  # one inf or nan is enough for that, and the device is asked once
            raise ValueError(
                f"the weights of {name} are not finite at step {state.step}: training has diverged; "
                + way_out_of_divergence(folder)
            )


def _write(aside: Path, state: RunState, accelerator: Accelerator) -> None:
    if accelerator.is_main_process:
        for left in aside.parent.glob(f".{_PREFIX}*"):  # of a run that was killed while it wrote or deleted
            _remove(left)
        aside.mkdir(parents=True)
        for name, network in state.networks.items():
            write_tensors(aside / f"{name}.safetensors", network.state_dict())
        for name, average in state.averages.items():
            write_tensors(aside / f"{name}.ema.safetensors", average.state_dict())
        shared: dict[str, Any] = {
            "step": state.step,
            "seconds": state.seconds,
            "best": state.best,
            "precision": accelerator.mixed_precision,
            "optimizers": {},
            "scaler": accelerator.scaler.state_dict() if accelerator.scaler is not None else None,
        }
        for name, optimizer in state.optimizers.items():
            own_state = optimizer.state_dict()
            write_tensors(aside / f"{name}.optimizer.safetensors", _flat(own_state.pop("state")))
            shared["optimizers"][name] = own_state
        _save(shared, aside / STATE_FILE)
        write_text(aside / "run.json", json.dumps(state.settings, indent=2) + "\n")
        if state.translations:
            made = {"networks": _configs(state.networks), "translations": state.translations}
            write_text(aside / MODEL_FILE, json.dumps(made, indent=2) + "\n")
    accelerator.wait_for_everyone()
    own = {
        "random": _random_states(accelerator.device),
        "pools": {name: pool.state_dict() for name, pool in state.pools.items()},
    }
    _save(own, aside / f"rank-{accelerator.process_index}.pt")
    accelerator.wait_for_everyone()


def _configs(networks: Mapping[str, nn.Module]) -> dict[str, Any]:
    return {name: network.config for name, network in networks.items() if isinstance(network, Network)}


def _put_in_place(aside: Path, final: Path, accelerator: Accelerator, *, keep: int) -> Path:
    if accelerator.is_main_process:
        folder = final.parent
        sync(aside)
        _remove(final)
        aside.rename(final)
        sync(folder)
        for old in complete_checkpoints(folder)[:-keep]:  # the new one is on the disk by now
            if not strangers(old, _place(old)):  # one in which somebody keeps something is kept
                _remove(old.rename(folder / f".{old.name}.deleted"))  # a kill leaves no half one under a whole name
    accelerator.wait_for_everyone()
    return final


def load_checkpoint(path: Path, state: RunState, accelerator: Accelerator) -> None:
    """Bring networks, optimizers, pools and random states back to where the checkpoint was written.

    Raises:
        ValueError: a file of it is missing or damaged, or it is of another number of processes or precision.
    """
    own_path = path / f"rank-{accelerator.process_index}.pt"
    if not own_path.exists() or (path / f"rank-{accelerator.num_processes}.pt").exists():
        ranks = len(list(path.glob("rank-*.pt")))
        raise ValueError(
            f"{path} was written by {ranks} process(es), this run has {accelerator.num_processes}: resume with "
            f"{ranks}, or start a new run from its weights with --init_from"
        )
    try:
        precision = _load(path, own_path, state, accelerator)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a torn file can raise anything
        raise ValueError(
            f"the checkpoint {path} is damaged ({type(error).__name__}: {error}): delete its folder, then --resume "
            "goes on from the one before"
        ) from None
    if precision != accelerator.mixed_precision:
        raise ValueError(
            f"{path} was made with --mixed_precision {precision}, this run has {accelerator.mixed_precision}: give the "
            f"same, or start a new run with --init_from {path}"
        )


def _load(path: Path, own_path: Path, state: RunState, accelerator: Accelerator) -> str:
    """Returns the mixed precision that the checkpoint was made with."""
    for name, network in state.networks.items():
        network.load_state_dict(load_file(path / f"{name}.safetensors"))
    for name, average in state.averages.items():
        average.load_state_dict(load_file(path / f"{name}.ema.safetensors"))
    shared = torch.load(path / STATE_FILE, map_location="cpu", weights_only=True)
    for name, optimizer in state.optimizers.items():
        own_state = shared["optimizers"][name]
        if "state" not in own_state:  # in the first version it stood there
            own_state["state"] = _nested(load_file(path / f"{name}.optimizer.safetensors"))
        optimizer.load_state_dict(own_state)
    if accelerator.scaler is not None and shared["scaler"] is not None:
        accelerator.scaler.load_state_dict(shared["scaler"])
    own = torch.load(own_path, map_location="cpu", weights_only=True)
    for name, pool in state.pools.items():
        pool.load_state_dict(own["pools"][name], device=accelerator.device)
    _set_random_states(own["random"], accelerator.device)
    state.step = shared["step"]
    state.seconds = shared["seconds"]
    state.best = shared.get("best", {})  # checkpoints of before it was kept
    return shared.get("precision", accelerator.mixed_precision)


def _flat(state: dict[int, dict[str, Tensor]]) -> dict[str, Tensor]:
    """An optimizer's tensors, {index of the parameter: {name: tensor}}, as {"index.name": tensor}."""
    return {f"{index}.{name}": tensor for index, own in state.items() for name, tensor in own.items()}


def _nested(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = tensor
    return state


def _save(content: dict[str, Any], path: Path) -> None:
    buffer = io.BytesIO()  # of a full disk torch.save itself speaks in many tongues, none of them an OSError
    torch.save(content, buffer)
    path.write_bytes(buffer.getbuffer())
    sync(path)


def _random_states(device: torch.device) -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        # This process's own device, so that it does not matter how many others the machine has.
        "device": None if device.type == "cpu" else torch.get_device_module(device).get_rng_state(),
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss),
    }


def _set_random_states(states: dict[str, Any], device: torch.device) -> None:
    torch.set_rng_state(states["torch"])
    if device.type != "cpu" and states.get("device") is not None:
        torch.get_device_module(device).set_rng_state(states["device"])
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
