"""What a run says: a progress bar, metrics.jsonl, and trackers through Accelerate.

tail -f OUTPUT_DIR/metrics.jsonl
"""

import json
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from tqdm.auto import tqdm

from img2img_hub.families import Terms
from img2img_hub.training.config import TrainConfig
from img2img_hub.training.plan import Plan

if TYPE_CHECKING:
    from img2img_hub.training.run_folder import RunFolder


class Logs:
    """Losses are averaged on the device since the last line; nothing waits for them in between."""

    def __init__(
        self, folder: "RunFolder", *, config: TrainConfig, accelerator: Accelerator, plan: Plan, start_step: int
    ) -> None:
        self.folder = folder
        self.accelerator = accelerator
        self.plan = plan
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}
        self._since = (time.perf_counter(), start_step)
        self.bar = tqdm(
            total=plan.total_steps,
            initial=start_step,
            unit="step",
            disable=not accelerator.is_main_process,
            dynamic_ncols=True,
        )
        if config.report_to:
            flat = {key: value for key, value in asdict(config).items() if isinstance(value, str | int | float)}
            flat.pop("hub_token", None)
            accelerator.init_trackers("img2img_hub", config=flat)

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
                    f"the loss {key} is {total.item()} at step {step}: training has diverged. Lower --learning_rate "
                    f"or resume from the last good checkpoint in {self.folder.checkpoints} with --resume"
                )

    def write(self, step: int, *, epoch: int, learning_rate: float) -> None:
        """A line of averages since the last one, to the bar, the file and the trackers."""
        self.check_finite(step)
        losses = {key: total.item() / self._counts[key] for key, total in sorted(self._sums.items())}
        self._sums.clear()
        self._counts.clear()
        now = time.perf_counter()
        began, first = self._since
        speed = (step - first) * self.plan.samples_per_step / max(now - began, 1e-9)
        self._since = (now, step)
        self.bar.update(step - self.bar.n)
        short = {
            key.replace("generator/", "G/").replace("discriminator/", "D/"): f"{v:.3f}" for key, v in losses.items()
        }
        self.bar.set_postfix({"img/s": f"{speed:.1f}", **short})
        values = {"epoch": epoch, "learning_rate": learning_rate, "images_per_second": round(speed, 3), **losses}
        self._record(step, values)

    def write_validation(self, step: int, sample: tuple[Image.Image, dict[str, float]] | None, *, sheet: Path) -> None:
        """A sample sheet and validation numbers (main process; None elsewhere)."""
        if sample is None:
            return
        image, numbers = sample
        image.save(sheet)
        for tracker in self.accelerator.trackers:
            if hasattr(tracker, "log_images"):
                layout = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
                tracker.log_images({"samples": np.asarray(image)[None]}, step=step, **layout)
        if numbers:
            self._record(step, {f"validation/{name}": value for name, value in numbers.items()})
        self._since = (time.perf_counter(), step)  # the time this took says nothing about the speed

    def write_final(self, step: int, numbers: dict[str, float]) -> None:
        """Numbers of the finished generators, as saved; none without validation data."""
        if numbers:
            self._record(step, {f"final/{name}": value for name, value in numbers.items()})

    def _record(self, step: int, values: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            with self.folder.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        self.accelerator.log(values, step=step)

    def close(self) -> None:
        self.bar.close()
        self.accelerator.end_training()
