"""OUTPUT_DIR/best: the generators that were best by one number, beside those of the last step.

cat OUTPUT_DIR/best/best.json

The folder is written beside its place, synced, then put there whole; best.json in it says which step and number it
holds. So it and what is said of it agree after a kill at any instant. It may be newer than the checkpoint that a run
resumes from: then the run comes by that step again, exactly, and finds the same number.
"""

import json
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from img2img_hub.evaluation.metrics import METRICS
from img2img_hub.files import sync
from img2img_hub.training.run.record import remove_made, strangers

_RECORD = "best.json"


class Best:
    """The best generators so far, by `metric`; only the main process uses it."""

    def __init__(self, root: Path, *, metric: str) -> None:
        self.metric = metric
        self.folder = root / "best"
        # Among the checkpoints, with which they go when the run is deleted.
        self._aside, self._next = root / "checkpoints/.best.incomplete", root / "checkpoints/.best.next"

    def take_up(self) -> dict[str, float]:
        """{"value", "step"} of what stands in the folder, {} for nothing; ends what a kill interrupted."""
        if self._next.is_dir():  # complete: it has this name only since
            self._swap()
        self._remove_aside()
        try:
            record = json.loads((self.folder / _RECORD).read_text(encoding="utf-8"))
            if record["metric"] == self.metric:
                return {"value": float(record["value"]), "step": int(record["step"])}
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return {}

    def is_beaten_by(self, value: float, *, best: dict[str, float]) -> bool:
        """Whether this is better than the best so far ({}: nothing yet)."""
        return math.isfinite(value) and (not best or METRICS[self.metric].is_better(value, best["value"]))

    def replace(self, write: Callable[[Path], None], *, value: float, step: int) -> None:
        """Put in the place of what was best what `write` writes into the folder it is given.

        Raises:
            ValueError: it cannot be written (a full disk …); what was best before is as it was.
        """
        try:
            self._remove_aside()
            self._aside.mkdir(parents=True)
            write(self._aside)
            record = {"metric": self.metric, "value": value, "step": step}
            (self._aside / _RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")
            for path in sorted(self._aside.rglob("*"), reverse=True):  # what is in a folder before the folder
                sync(path)
            sync(self._aside)
            self._aside.rename(self._next)
            sync(self._next.parent)
            self._swap()
        except OSError as error:
            self._remove_aside()  # it takes up room
            raise ValueError(
                f"the best generators, of step {step}, cannot be written to {self.folder} ({error}): make room there, "
                "then --resume"
            ) from None

    def _remove_aside(self) -> None:
        with suppress(OSError):  # the error that led here is the one to tell
            remove_made(self._aside, ("checkpoints", self._aside.name))

    def _swap(self) -> None:
        if self.folder.is_dir() and not self.folder.is_symlink():
            for name in strangers(self.folder, ("best",)):  # such as an export that a user put there: it stays
                (self._next / name).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / name).rename(self._next / name)
        remove_made(self.folder, ("best",))
        self._next.rename(self.folder)
        sync(self.folder.parent)
