"""What a run shows and measures on the way: sheets and numbers of fixed validation images.

tail -f OUTPUT_DIR/metrics.jsonl | grep validation/

Processes share the images: each translates and measures its part, and the main process puts the numbers together, the
same to the last bit as one process alone would find. So a large validation split takes a share of the time, and no
process waits for another so long that the group's time-out strikes.
"""

from collections.abc import Sequence
from functools import cached_property

from accelerate.utils import gather_object
from PIL import Image

from img2img_hub.data.find.sources import ImageData, StreamedData
from img2img_hub.evaluation.measure import (
    Share,
    draw_samples,
    evaluate_paired,
    evaluate_unpaired,
    num_images,
    smallest_set,
)
from img2img_hub.evaluation.metrics import CLASS_METRICS, METRICS, metric_names
from img2img_hub.evaluation.perceptual import Perceptual, kinds_of
from img2img_hub.evaluation.references import reference_distances
from img2img_hub.families import Direction
from img2img_hub.training.run.context import RunContext
from img2img_hub.translation.translator import Translator

# Validation images measured at sample steps where there is no --eval_every.
MEASURED_ON_THE_WAY = 32


class Evaluation:
    """Draws and measures the generators of a run.

    Raises:
        ValueError: --eval_every, --best_metric or --extra_metrics ask for what these data cannot give, or
            --perceptual_features names no network.
    """

    def __init__(self, run: RunContext) -> None:
        config, accelerator = run.config, run.accelerator
        self.family = run.family
        self.config = config
        self.accelerator = accelerator
        self.train_data = run.train_data
        self.data = run.validation_data
        # As `evaluate` takes it of the finished generator.
        self.size = None if config.measures_natively else config.seen_size
        cycles = self.family.has_cycles
        self._check_names()
        # Weights are downloaded now, not after hours: by one process of a machine, then found by the others.
        with accelerator.local_main_process_first():
            self.perceptual = Perceptual(
                config.extra_metrics,
                features=config.perceptual_features,
                image_size=(self.size or config.seen_size) * run.train_data.about.scale,
                bands={self.train_data.out_channels} | ({self.train_data.in_channels} if cycles else set()),
                device=accelerator.device,
            )
        if accelerator.num_processes > 1:
            found = gather_object([self.perceptual.names])
            self.perceptual.keep([name for name in self.perceptual.names if all(name in names for names in found)])
        self._check_loaded()
        self._references: dict[str, float] = {}

    def _metric_names(self, extra: Sequence[str]) -> tuple[str, ...]:
        family = self.family
        own = (*family.metrics, *(CLASS_METRICS if self.train_data.about.output is not None else ()))
        luma = self.train_data.about.scale > 1
        return metric_names(paired=family.paired, cycles=family.has_cycles, extra=extra, own=own, luma=luma)

    def _check_names(self) -> None:
        config, best = self.config, self.config.best_metric
        asked = kinds_of(config.extra_metrics, features=config.perceptual_features)
        known = self._metric_names(asked)
        if self.data is None and (config.eval_every or asked):
            flag = "--extra_metrics" if config.extra_metrics else "--perceptual_features"
            flag = f"--eval_every {config.eval_every}" if config.eval_every else flag
            raise ValueError(
                f"{flag} measures validation images, and this run has none: name a split by --validation_split, or "
                f"leave it out"
            )
        if best in known and METRICS[best].higher_is_better is None:
            raise ValueError(
                f"--best_metric {best} tells what was measured, and no value of it is better: take another"
            )
        if best is not None and best not in known:
            extra = "" if best not in METRICS else "; others need --extra_metrics or --perceptual_features"
            raise ValueError(
                f"--best_metric {best} is none of the numbers of {self.family.title}: {', '.join(known)}{extra}"
            )

    def _check_loaded(self) -> None:
        best, names = self.config.best_metric, self.perceptual.names
        if best is not None and best not in self._metric_names(names):
            raise ValueError(
                f"--best_metric {best} cannot be measured here: {'; '.join(self.perceptual.problems)}. Or choose "
                f"another: {', '.join(self._metric_names(names))}"
            )
        if self.data is not None:
            self.perceptual.notes(smallest_set(self.data))  # refuses sets that have no distance

    def describe(self) -> list[str]:
        """Lines for the log: what is measured on what, and what could not be loaded."""
        if self.data is None:
            return ["No validation images: sample sheets show training images, and nothing is measured."]
        return [
            f"Validation on {self.data.split}: {self.data.description}.",
            *([f"Features: {said}."] if (said := self.perceptual.describe()) else []),
            *self.perceptual.problems,
            *self.perceptual.notes(smallest_set(self.data)),
        ]

    # --- sheets -----------------------------------------------------------------------------------------------------

    @cached_property
    def _shown(self) -> ImageData:
        """What sheets show: validation images, else those of training; the first of a stream."""
        data = self.data or self.train_data
        return data.preview() if isinstance(data, StreamedData) else data

    def draw(self, translators: dict[str, Translator], direction: Direction) -> Image.Image:
        """source | output | target for pairs, source | output | back for cycles, on images spread over the split."""
        return draw_samples(
            translators[direction.generator],
            self._shown,
            image_size=self.size,
            reverse=None if direction.back is None else translators[direction.back],
            count=self.config.num_samples,
            backwards=direction.source == "target",
            names=(self.config.source_name, self.config.target_name),
        )

    def sheet(self, translators: dict[str, Translator]) -> Image.Image:
        """The sheets of all generators, one below the other."""
        return _stack([self.draw(translators, direction) for direction in self.family.directions])

    # --- numbers ----------------------------------------------------------------------------------------------------

    @property
    def wants_references(self) -> bool:
        return self.data is not None and self.perceptual.wants_features

    def find_references(self, translators: dict[str, Translator]) -> None:
        """Floor and ceiling of the distances, which are real images alone: once, for all that will be measured.

        All processes call this together. A stream of training images has no floor.
        """
        assert self.data is not None
        self._references = reference_distances(
            translators[self.family.directions[0].generator],
            self.data,
            training=None if isinstance(self.train_data, StreamedData) else self.train_data,
            image_size=self.size,
            perceptual=self.perceptual,
            cycles=self.family.has_cycles,
            share=self._share,
        )

    @property
    def _share(self) -> Share:
        return Share(self.accelerator.process_index, self.accelerator.num_processes, _gather)

    def measure(self, translators: dict[str, Translator], *, limit: int | None = None) -> dict[str, float]:
        """Numbers on the validation split, all of it or its first `limit` images (then without what a trained
        network measures). With floors and ceilings.

        All processes call this together, with translators that are alike; {} but in the main process, and where there
        is no validation split.
        """
        if self.data is None:
            return {}
        options = {
            "image_size": self.size,
            "limit": limit,
            "perceptual": self.perceptual if limit is None else None,
            "share": self._share,
        }
        references = self._references if limit is None else {}
        there = self.family.directions[0]
        translator = translators[there.generator]
        if self.family.paired:
            return evaluate_paired(translator, self.data, **options) | references  # type: ignore[arg-type]
        back = None if there.back is None else translators[there.back]
        return evaluate_unpaired(translator, back, self.data, **options) | references  # type: ignore[arg-type]

    def about(self, limit: int | None = None) -> dict[str, int | str]:
        """What a line of metrics.jsonl says of its numbers: on how many images of which split."""
        return {} if self.data is None else {"split": self.data.split, "images": num_images(self.data, limit)}


def _gather(own: object) -> list:
    return gather_object([own])


def _stack(sheets: list[Image.Image]) -> Image.Image:
    """Sheets one below the other on white."""
    if len(sheets) == 1:
        return sheets[0]
    stacked = Image.new("RGB", (max(s.width for s in sheets), sum(s.height for s in sheets)), "white")
    top = 0
    for sheet in sheets:
        stacked.paste(sheet, (0, top))
        top += sheet.height
    return stacked
