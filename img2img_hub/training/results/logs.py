"""What a run says: a progress bar, metrics.jsonl, and trackers through Accelerate.

tail -f OUTPUT_DIR/metrics.jsonl
"""

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from img2img_hub.families import Terms
from img2img_hub.hub.local_paths import shortened
from img2img_hub.training.results.collapse import CollapseWatch
from img2img_hub.training.run.context import RunContext
from img2img_hub.training.state.checkpoints import way_out_of_divergence


class Logs:
    """Losses are averaged on the device since the last line; nothing waits for them in between."""

    def __init__(self, run: RunContext) -> None:
        config, start_step = run.config, run.state.step
        self.run = run
        self.accelerator = run.accelerator
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}
        self._since = (time.perf_counter(), start_step)
        self._collapse = CollapseWatch(run.family, start_step=start_step)
        self.bar = tqdm(
            total=run.plan.total_steps,
            initial=start_step,
            unit="step",
            disable=not self.accelerator.is_main_process,
            dynamic_ncols=True,
        )
        if config.report_to:
            self.accelerator.init_trackers("img2img_hub", config=_flat(run))

    def advance(self, step: int) -> None:
        """Show on the bar that this step is done."""
        self.bar.update(step - self.bar.n)

    def say(self, text: str) -> None:
        if self.accelerator.is_main_process:
            tqdm.write(text, file=sys.stderr)

    def add(self, phase: str, terms: Terms) -> None:
        """Take note of one phase's losses, unweighted."""
        for term, (value, _) in terms.items():
            key = f"{phase}/{term}"
            self._sums[key] = self._sums.get(key, 0) + value.detach().float()
            self._counts[key] = self._counts.get(key, 0) + 1

    def check_finite(self, step: int) -> None:
        """Stop a run whose losses have left the numbers, before it is saved."""
        for key, total in self._sums.items():
            if not math.isfinite(total.item()):
                raise ValueError(
                    f"the loss {key} is {total.item()} at step {step}: training has diverged; "
                    + way_out_of_divergence(self.run.folder.checkpoints)
                )

    def take_averages(self, step: int) -> dict[str, float]:
        """Averages since they were last taken.

        Raises:
            ValueError: one of them is no number.
        """
        self.check_finite(step)
        averages = {key: total.item() / self._counts[key] for key, total in sorted(self._sums.items())}
        self._sums.clear()
        self._counts.clear()
        return averages

    def write(self, step: int, *, epoch: int, rates: Mapping[str, float]) -> None:
        """A line of averages since the last one, to the bar, the file and the trackers."""
        losses = self.take_averages(step)
        now = time.perf_counter()
        began, first = self._since
        speed = (step - first) * self.run.plan.samples_per_step / max(now - began, 1e-9)
        self._since = (now, step)
        self.advance(step)
        short = {
            key.replace("generator/", "G/").replace("discriminator/", "D/"): f"{v:.3f}" for key, v in losses.items()
        }
        self.bar.set_postfix({"img/s": f"{speed:.1f}", **short})
        self.record(step, {"epoch": epoch, **rates, "images_per_second": round(speed, 3), **losses})
        if warning := self._collapse.look(step, losses):
            self.say(warning)

    def write_sheet(self, step: int, image: Image.Image, *, path: Path) -> None:
        """A sample sheet, to its file and the trackers (main process only)."""
        path.unlink(missing_ok=True)  # what is written over may be a hard link, such as a backup's
        image.save(path)
        for tracker in self.accelerator.trackers:
            if hasattr(tracker, "log_images"):
                layout = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
                tracker.log_images({"samples": np.asarray(image)[None]}, step=step, **layout)

    def skip_time(self, step: int) -> None:
        """What was done since the last line says nothing about the speed of the training."""
        self._since = (time.perf_counter(), step)

    def record(self, step: int, values: Mapping[str, Any], *, about: Mapping[str, Any] | None = None) -> None:
        """A line of metrics.jsonl, and the numbers for the trackers; `about` says in the line what the numbers are."""
        if self.accelerator.is_main_process:
            with self.run.folder.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **(about or {}), **values}) + "\n")
        self.accelerator.log(dict(values), step=step)

    def close(self) -> None:
        self.bar.close()
        self.accelerator.end_training()


def _flat(run: RunContext) -> dict[str, str | int | float]:
    """All that a tracker may compare runs by: objective, networks, data and run, by the names of their flags."""
    settings = run.folder.settings()
    parts = [settings[part] for part in ("objective", "architecture", "data", "training")]
    typed = {key: value for part in parts for key, value in part.items() if value not in (None, [], "")}
    shown = {key: value if isinstance(value, int | float) else shortened(str(value)) for key, value in typed.items()}
    return shown | {"family": run.family.name, "global_batch": run.plan.global_batch, "steps": run.plan.total_steps}
