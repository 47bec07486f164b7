"""Run: what `train` gives back, for notebooks and scripts.

from img2img_hub import Pix2Pix, TrainConfig, open_pairs, train

data = open_pairs("facades", side_by_side=True, direction="BtoA")
run = train(Pix2Pix(), TrainConfig(output_dir="runs/facades"), data)
run.show_results()
run.translator("labels.png").save("photo.png")
run.push_to_hub("user/facades")
"""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from PIL import Image

from img2img_hub.families import Family
from img2img_hub.images.formats import open_file
from img2img_hub.training.results.push import push_all, repo_ids_of
from img2img_hub.training.run.config import TrainConfig
from img2img_hub.translation.translator import Translator


@dataclass(frozen=True, kw_only=True, repr=False)
class Run:
    """A run that came to its end, or was stopped: then it has a sheet perhaps, and nothing else."""

    path: Path
    """Its output_dir."""
    family: Family
    config: TrainConfig
    stopped_by: int | None = None
    """The number of the signal that stopped it: SIGINT of Ctrl-C (a notebook's stop button), or SIGTERM. Train again
    with resume=True to go on. None of a run that came to its end."""

    @property
    def finished(self) -> bool:
        return self.stopped_by is None

    @cached_property
    def translators(self) -> dict[str, Translator]:
        """The finished generators, by folder: {"": …} of Pix2Pix, {"source2target": …, "target2source": …} of
        CycleGAN. Raises ValueError where the run was stopped."""
        self._refuse_unfinished()
        device = "cpu" if self.config.cpu else None
        return {
            folder: Translator.from_pretrained(self.path / folder, device=device) for folder in self.family.published
        }

    @property
    def translator(self) -> Translator:
        """From source to target. Raises ValueError where the run was stopped."""
        return next(iter(self.translators.values()))

    @property
    def reverse_translator(self) -> Translator | None:
        """From target to source; None where the family has no such generator."""
        folders = [direction.folder for direction in self.family.directions if direction.source == "target"]
        return self.translators[folders[0]] if folders else None

    @property
    def metrics(self) -> dict[str, float]:
        """Measured on all validation images with the finished weights, such as "l1", "psnr", "ssim"; {} without
        validation images. Raises ValueError where the run was stopped."""
        self._refuse_unfinished()
        numbers: dict[str, float] = {}
        for line in (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            values = json.loads(line)
            numbers |= {key.removeprefix("final/"): value for key, value in values.items() if key.startswith("final/")}
        return numbers

    def show_results(self) -> Image.Image:
        """The newest sample sheet: TrainConfig.num_samples validation images as source, output and target or round
        trip; of both directions one below the other. Raises ValueError where the run was stopped before its first."""
        sheets = sorted((self.path / "samples").glob("step-*.png"), key=lambda path: int(path.stem.split("-")[1]))
        if not sheets:
            raise ValueError(f"the run in {self.path} has drawn no sheet yet: give a smaller sample_steps, or go on")
        with open_file(sheets[-1]) as sheet:
            return sheet.copy()

    def push_to_hub(self, repo_id: str, *, private: bool | None = None, token: str | None = None) -> list[str]:
        """Publish the finished generators with their cards; CycleGAN's as NAME-source2target and NAME-target2source.

        Args:
            repo_id: "user/name", or "name" for the token's own user; made if it is not there.
            private: make a new repo private. None: where the data set, or the model of init_from, is private or gated.
            token: None: the one you logged in with.

        Returns:
            The URLs.

        Raises:
            ValueError: the run was stopped, or a push failed: why, and what to type.
        """
        self._refuse_unfinished()
        repo_ids = repo_ids_of(self.family, repo_id)
        return push_all(self.path, repo_ids, config=replace(self.config, hub_private=private, hub_token=token))

    def _refuse_unfinished(self) -> None:
        if not self.finished:
            raise ValueError(f"the run in {self.path} was stopped before its end: train again with resume=True")

    def __repr__(self) -> str:
        if not self.finished:
            return f"{self.family.title} in {self.path}, stopped: train again with resume=True to go on"
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())
        return f"{self.family.title} in {self.path}, finished" + (f": {numbers}" if numbers else "")
