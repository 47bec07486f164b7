"""OUTPUT_DIR: what stands where, and whether a run may write there.

OUTPUT_DIR/{made.json, run.json, data.json, metrics.jsonl, samples/step-N.png, checkpoints/step-N/, best/} and the
finished generators
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn

from img2img_hub.data.find.damage import refuse_damaged
from img2img_hub.data.find.sources import DataConfig, ImageData, StreamedData
from img2img_hub.families import Family
from img2img_hub.files import write_text
from img2img_hub.hub.privacy import ORIGIN, Origin
from img2img_hub.training.run.config import TrainConfig
from img2img_hub.training.run.lock import FolderLock
from img2img_hub.training.run.record import Record, names_from_the_start, names_of_results
from img2img_hub.training.run.same_data import DATA_RECORD, DataRecord, refuse_among_the_images
from img2img_hub.training.run.same_settings import LENGTH, other_settings, read_settings
from img2img_hub.training.run.settled import with_former_settings, with_former_shape, with_launched_precision
from img2img_hub.training.state.checkpoints import checkpoint_step, complete_checkpoints
from img2img_hub.training.state.finetune import is_checkpoint, origin_of_start
from img2img_hub.training.state.start_networks import Found, as_found, as_recorded, find_networks, in_words

Answer = TypeVar("Answer")


class RunFolder:
    """The folder of one run."""

    def __init__(self, *, family: Family, config: TrainConfig, data: DataConfig, architecture: Any) -> None:
        self.data = data
        self.family, self.architecture = with_former_shape(family, architecture, config)
        self.config = with_launched_precision(with_former_settings(config).of(family))
        self.path = Path(config.output_dir)
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self._settings = self.path / "run.json"  # as the run began
        self._finished = self.path / "finished.json"
        self._record = Record(self.path)
        self._images: DataRecord | None = None
        self.origin: Origin = {"datasets": [], "models": []}
        self._lock: FolderLock | None = None

    def settings(self) -> dict[str, Any]:
        """What run.json says of the run: objective, networks, data, run, and what of it came from the Hub."""
        training = asdict(self.config)
        training.pop("hub_token")
        settings = {
            "family": self.family.name,
            "objective": asdict(self.family),
            "architecture": asdict(self.architecture),
            "data": asdict(self.data),
            "training": training,
            ORIGIN: self.origin,
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

    def claim_results(self) -> None:
        """Write down that the finished generators are the run's, before they are made, and free their places of links.

        Raises:
            ValueError: somebody else's files stand in their place.
        """
        names = names_of_results(self.family)
        self._record.claim(names)
        self._record.take_away_links(names)

    def unmark_finished(self) -> None:
        """From here on the finished generators are being replaced: a kill leaves a mixture of two steps."""
        self._finished.unlink(missing_ok=True)

    def mark_finished(self, step: int) -> None:
        write_text(self._finished, json.dumps({"step": step}) + "\n")

    # --- before the run ---------------------------------------------------------------------------------------------

    def check(self) -> Path | None:
        """Whether this run may write here; the checkpoint to resume from, if there is one. Nothing is touched yet.

        Raises:
            ValueError: the folder is a file, holds what no run made, another run, one whose settings do not fit, or one
                that goes on.
        """
        return _by_main_process(self._check)

    def _check(self) -> Path | None:
        for place in (self.path, *self.path.parents):
            if os.path.lexists(place) and not place.is_dir():
                raise ValueError(f"--output_dir {self.path}: {place} is a file or a link to nowhere: name a folder")
        if not self.path.resolve().name:
            raise ValueError(f"--output_dir {self.path} has no name for the model to bear: name a folder in it")
        if not self._refuse_occupied():
            return None
        self._lock = self._lock or FolderLock(self.path)
        if self.config.overwrite:
            return None
        if before := self._settings_before():
            self._refuse_other_settings(before)
        found = complete_checkpoints(self.checkpoints)
        return found[-1] if found else None

    def _refuse_occupied(self) -> bool:
        """Whether a run is there that this one may continue or delete."""
        wish: Literal["resume", "overwrite"] | None = None
        if self.config.resume or self.config.overwrite:
            wish = "resume" if self.config.resume else "overwrite"
        return self._record.refuse_occupied(wish, will_make=self._first_names | names_of_results(self.family))

    @property
    def _first_names(self) -> set[str]:
        config = self.config
        return names_from_the_start(
            best=config.best_metric is not None,
            pushes=config.push_to_hub,
            tensorboard="tensorboard" in config.report_to,
        )

    def _settings_before(self) -> dict[str, Any] | None:
        """The settings of the run so far, from run.json or, where that is lost, from the newest checkpoint that has
        them. None where there is neither a checkpoint nor a run.json that can be read: then nothing has been learnt."""
        checkpoints = complete_checkpoints(self.checkpoints)
        for file in (self._settings, *(checkpoint / "run.json" for checkpoint in reversed(checkpoints))):
            if settings := read_settings(file):
                return settings
        if not checkpoints or not self._settings.exists():
            return None
        raise ValueError(
            f"{self._settings} does not hold a run's settings (torn by a crash, or edited?): delete that file if the "
            "flags are the same as at the start of the run, and --resume again"
        )

    def _refuse_other_settings(self, before: dict[str, Any]) -> None:
        recorded = (self.path / DATA_RECORD).exists()  # then the images themselves are compared, too
        made_by = {
            "objective": self.family,
            "architecture": self.architecture,
            "data": self.data,
            "training": self.config,
        }
        if different := other_settings(before, self.settings(), made_by=made_by, data_recorded=recorded):
            raise ValueError(
                f"--resume: the run in {self.path} has other settings ({'; '.join(different)}). Give the same ones "
                "again, or start a new run in another folder (with --init_from to use its weights)"
            )

    def find_start(self) -> dict[str, Found | None]:
        """The networks of --init_from; {} of a checkpoint, which has this family's. Raises ValueError for none."""
        where = str(self.config.init_from)
        if is_checkpoint(where):
            return {}
        return find_networks(where, family=self.family, architecture=self.architecture)

    def take_shape_of(self, found: Mapping[str, Found | None], networks: Mapping[str, nn.Module]) -> str:
        """Of what is found, as far as nobody says another one; in words what that changes, "" for nothing."""
        before = self.family, self.architecture
        settings = read_settings(Path(str(self.config.init_from)) / "run.json")
        if not found and settings is not None:
            self.family, self.architecture = as_recorded(*before, settings=settings)
        else:
            self.family, self.architecture = as_found(*before, networks=networks, found=found)
        return in_words(before, (self.family, self.architecture))

    def find_origin(self, train_data: ImageData | StreamedData) -> None:
        """Find what of the run comes from the Hub: a resumed run as it says itself, for its --init_from may be gone."""
        before = read_settings(self._settings) if self.config.resume else None
        if before is not None and ORIGIN in before:
            self.origin = before[ORIGIN]
            return
        start = self.config.init_from
        found: Origin = {"datasets": [], "models": []} if start is None else origin_of_start(start, family=self.family)
        datasets = dict.fromkeys([*train_data.hub_ids, *found["datasets"]])
        self.origin = {"datasets": list(datasets), "models": found["models"]}

    def refuse_damaged(self, *opened: ImageData | StreamedData | None) -> None:
        """Raises ValueError where files are seen to be damaged; the main process looks for all."""
        _by_main_process(lambda: refuse_damaged(*opened))

    def check_data(
        self, checkpoint: Path | None, train_data: ImageData | StreamedData, validation_data: ImageData | None
    ) -> list[str]:
        """Whether these data may be trained on here; lines for the log.

        Raises:
            ValueError: the folder is among the images, or they are not those that the checkpoint was trained on.
        """

        def check() -> list[str]:
            refuse_among_the_images(self.path, self.data, train_data, validation_data)
            self._images = DataRecord(self.path, train_data, validation_data)
            return [] if checkpoint is None else self._images.compare(checkpoint)

        return _by_main_process(check)

    def note_broken(self, errors: Sequence[str]) -> None:
        """Images ended the run, as these errors say; the main process writes it down."""
        if self._images is not None:
            self._images.note_broken(errors)

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
            self._record.remove()
        self._record.claim(self._first_names)
        self.sheet(0).parent.mkdir(parents=True, exist_ok=True)
        self.checkpoints.mkdir(exist_ok=True)
        if self.metrics.exists():  # lines after the checkpoint are written again
            text = self.metrics.read_text(encoding="utf-8", errors="replace")
            kept = "".join(line + "\n" for line in text.splitlines() if _step_of(line) <= from_step)
            # Lines are added in place: not to somebody's backup, of which it may be a hard link.
            if kept != text or self.metrics.is_symlink() or self.metrics.stat().st_nlink > 1:
                write_text(self.metrics, kept)
        if self._images is not None:
            self._images.write()
        if read_settings(self._settings) is None:
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
        before = (read_settings(checkpoint / "run.json") or self._settings_before() or self.settings())["training"]
        changed = [
            f"--{key}: {before[key]} -> {now}" for key, now in self._lengths().items() if before.get(key, now) != now
        ]
        if changed:
            lines.append(
                f"The run has another length now ({'; '.join(changed)}): the learning rate follows the new one."
            )
        return lines

    def _lengths(self) -> dict[str, int | None]:
        return {key: getattr(self.config, key) for key in sorted(LENGTH)}


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


def _step_of(line: str) -> int:
    """The step of a line of metrics.jsonl; a line torn by a crash counts as after everything."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62
