"""OUTPUT_DIR: what stands where, and whether a run may write there.

OUTPUT_DIR/{run.json, metrics.jsonl, samples/step-N.png, checkpoints/step-N/, best/} and the finished generators
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from img2img_hub.data.sources import DataConfig
from img2img_hub.families import FAMILIES, Family
from img2img_hub.training.checkpoints import checkpoint_step, complete_checkpoints
from img2img_hub.training.config import TrainConfig
from img2img_hub.training.files import write_text
from img2img_hub.training.lock import FolderLock

Answer = TypeVar("Answer")

# How long to train may change on the way; the schedule is another one from there on.
_LENGTH = {"max_steps", "num_epochs", "decay_epochs"}
# What may differ between a run and its resumption: it changes what is shown and kept, not what is learnt.
_FREE = _LENGTH | {
    "output_dir",
    "resume",
    "overwrite",
    "cpu_threads",
    "compile",
    "num_workers",
    "cache",
    "cache_dir",
    "working_size",
    "eval_every",
    "extra_metrics",
    "best_metric",
    "push_every",
    "log_steps",
    "sample_steps",
    "num_samples",
    "checkpoint_steps",
    "keep_checkpoints",
    "save_dtype",
    "report_to",
    "push_to_hub",
    "hub_model_id",
    "hub_private",
    "hub_token",
    "source_name",
    "target_name",
    "license",
    "license_name",
    "license_link",
    "dataset_note",
}
# Where the data lie may change (another mount), what they are may not.
_FREE_DATA = {"dataset"}


class RunFolder:
    """The folder of one run."""

    def __init__(self, *, family: Family, config: TrainConfig, data: DataConfig, architecture: Any) -> None:
        self.family, self.config, self.data, self.architecture = family, config, data, architecture
        self.path = Path(config.output_dir)
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self._settings = self.path / "run.json"  # as the run began
        self._finished = self.path / "finished.json"
        self._lock: FolderLock | None = None

    def settings(self) -> dict[str, Any]:
        """What training_config.json says of the run: objective, networks, data, run."""
        training = asdict(self.config)
        training.pop("hub_token")
        settings = {
            "family": self.family.name,
            "objective": asdict(self.family),
            "architecture": asdict(self.architecture),
            "data": asdict(self.data),
            "training": training,
        }
        return json.loads(json.dumps(settings, default=os.fspath))  # tuples become lists, paths text

    def sheet(self, step: int) -> Path:
        return self.path / "samples" / f"step-{step}.png"

    @property
    def finished_step(self) -> int | None:
        """The step whose generators stand finished in the folder."""
        try:
            return int(json.loads(self._finished.read_text(encoding="utf-8"))["step"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # torn by a crash: finishing again does no harm
            return None

    def unmark_finished(self) -> None:
        """From here on the finished generators are being replaced: a kill leaves a mixture of two steps."""
        self._finished.unlink(missing_ok=True)

    def mark_finished(self, step: int) -> None:
        write_text(self._finished, json.dumps({"step": step}) + "\n")

    # --- before the run ---------------------------------------------------------------------------------------------

    def check(self) -> Path | None:
        """Whether this run may write here; the checkpoint to resume from, if there is one. Nothing is touched yet.

        Raises:
            ValueError: the folder is a file, holds another run, one whose settings do not fit, or one that goes on.
        """
        return _by_main_process(self._check)

    def _check(self) -> Path | None:
        for place in (self.path, *self.path.parents):
            if os.path.lexists(place) and not place.is_dir():
                raise ValueError(f"--output_dir {self.path}: {place} is a file or a link to nowhere: name a folder")
        if not self.path.resolve().name:
            raise ValueError(f"--output_dir {self.path} has no name for the model to bear: name a folder in it")
        self._refuse_occupied()
        if not self._occupants():
            return None
        self._lock = self._lock or FolderLock(self.path)
        if self.config.overwrite:
            return None
        if before := self._settings_before():
            self._refuse_other_settings(before)
        found = complete_checkpoints(self.checkpoints)
        return found[-1] if found else None

    def _refuse_occupied(self) -> None:
        if self._occupants() and not self.config.overwrite and not self.config.resume:
            raise ValueError(
                f"--output_dir {self.path} already holds {', '.join(self._occupants()[:3])}: add --resume to continue "
                "that run, --overwrite to delete it, or name another folder"
            )

    def _occupants(self) -> list[str]:
        """Names in the folder that a run would write over."""
        written = {"run.json", "finished.json", "metrics.jsonl", "samples", "checkpoints", "training", "config.json"}
        written |= {"model.safetensors", "translation.json", "training_config.json", "sample_sheet.png", "README.md"}
        written |= {"best", ".push"} | {folder for family in FAMILIES.values() for folder in family.published if folder}
        return sorted(name for name in written if os.path.lexists(self.path / name))

    def _settings_before(self) -> dict[str, Any] | None:
        """The settings of the run so far, from run.json or, where that is lost, from the newest checkpoint that has
        them. None where there is neither a checkpoint nor a run.json that can be read: then nothing has been learnt."""
        checkpoints = complete_checkpoints(self.checkpoints)
        for file in (self._settings, *(checkpoint / "run.json" for checkpoint in reversed(checkpoints))):
            if settings := _read_settings(file):
                return settings
        if not checkpoints or not self._settings.exists():
            return None
        raise ValueError(
            f"{self._settings} does not hold a run's settings (torn by a crash, or edited?): delete that file if the "
            "flags are the same as at the start of the run, and --resume again"
        )

    def _refuse_other_settings(self, before: dict[str, Any]) -> None:
        now = self.settings()
        different = [] if before["family"] == now["family"] else [f"family: {before['family']} -> {now['family']}"]
        for part, free, made_by in (
            ("objective", set(), self.family),
            ("architecture", set(), self.architecture),
            ("data", _FREE_DATA, self.data),
            ("training", _FREE, self.config),
        ):
            defaults = {item.name: item.default for item in fields(made_by)}
            defaults |= {key: list(value) for key, value in defaults.items() if isinstance(value, tuple)}  # as in JSON
            for key in sorted((before[part].keys() | now[part].keys()) - free):
                new = now[part].get(key)
                old = before[part].get(key, defaults.get(key))  # an older run did not know the field
                if old != new:
                    different.append(f"--{key}: {old} -> {new}")
        if different:
            raise ValueError(
                f"--resume: the run in {self.path} has other settings ({'; '.join(different)}). Give the same ones "
                "again, or start a new run in another folder (with --init_from to use its weights)"
            )

    def open(self, *, from_step: int) -> None:
        """Make the folder ready to go on at `from_step`; all processes together.

        Raises:
            ValueError: another run is faster, or there is a process that does not see this folder.
        """
        _by_main_process(lambda: self._open(from_step=from_step))
        deadline = time.monotonic() + 10  # seconds in which a network file system may show the others what is new
        while not self._settings.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        blind = [rank for rank, sees in enumerate(gather_object([self._settings.exists()])) if not sees]
        if blind:
            raise ValueError(
                f"--output_dir {self.path}: process {blind[0]} does not see what process 0 wrote there: several "
                "machines need a folder that all of them share"
            )

    def _open(self, *, from_step: int) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = self._lock or FolderLock(self.path)
        self._refuse_occupied()  # again: a run may have come in between, as long as there was no lock
        if self.config.overwrite:
            for name in self._occupants():
                path = self.path / name
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self.sheet(0).parent.mkdir(parents=True, exist_ok=True)
        self.checkpoints.mkdir(exist_ok=True)
        if self.metrics.exists():  # lines after the checkpoint are written again
            text = self.metrics.read_text(encoding="utf-8", errors="replace")
            kept = "".join(line + "\n" for line in text.splitlines() if _step_of(line) <= from_step)
            if kept != text:
                write_text(self.metrics, kept)
        if _read_settings(self._settings) is None:
            write_text(self._settings, json.dumps(self.settings(), indent=2) + "\n")

    def close(self) -> None:
        """Let other runs into the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def describe_start(self, checkpoint: Path | None, *, total: int) -> list[str]:
        if checkpoint is None:
            return ["--resume: no complete checkpoint yet, starting at step 0."] if self.config.resume else []
        step = checkpoint_step(checkpoint)
        if step >= total and self.finished_step == step:
            return [f"--resume: the run is already finished at step {step}; nothing is left to train."]
        lines = [f"Resuming from {checkpoint} at step {step}."]
        # The checkpoint's own: a run that was lengthened before still has its first length in run.json.
        before = (_read_settings(checkpoint / "run.json") or self._settings_before() or self.settings())["training"]
        changed = [
            f"--{key}: {before[key]} -> {now}" for key, now in self._lengths().items() if before.get(key, now) != now
        ]
        if changed:
            lines.append(
                f"The run has another length now ({'; '.join(changed)}): the learning rate follows the new one."
            )
        return lines

    def _lengths(self) -> dict[str, int | None]:
        return {key: getattr(self.config, key) for key in sorted(_LENGTH)}


def _by_main_process(work: Callable[[], Answer]) -> Answer:
    """Work that the main process does once for all of them; each gets its answer, or its error."""
    answer: list[Any] = [None, None]
    if PartialState().is_main_process:
        try:
            answer = [work(), None]
        except (ValueError, OSError) as error:
            answer = [None, str(error)]
    broadcast_object_list(answer)
    if answer[1] is not None:
        raise ValueError(answer[1])
    return answer[0]


def _read_settings(file: Path) -> dict[str, Any] | None:
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        if all(isinstance(settings[part], dict) for part in ("objective", "architecture", "data", "training")):
            return {"family": settings["family"], **settings}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    return None


def _step_of(line: str) -> int:
    """The step of a line of metrics.jsonl; a line torn by a crash counts as after everything."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62


# Every field named above must exist: a renamed one would otherwise be compared, or ignored, without a word.
assert {item.name for item in fields(TrainConfig)} >= _FREE
