"""What a run leaves behind: lines of numbers, sheets, the best generators, and the finished ones in Hub layout.

    OUTPUT_DIR/{config.json, model.safetensors, translation.json, training_config.json, sample_sheet.png, README.md}
    OUTPUT_DIR/best/ the same, of the step that was best by --best_metric

Everything is drawn and measured with the weights as they are saved (their type, the average if there is one).
"""

import json
import re
from pathlib import Path
from typing import Literal

from img2img_hub.evaluation.metrics import METRICS
from img2img_hub.evaluation.references import REFERENCES
from img2img_hub.families import Direction
from img2img_hub.files import write_text
from img2img_hub.training.results.card import write_card
from img2img_hub.training.results.generators import Generators
from img2img_hub.training.results.logs import Logs
from img2img_hub.training.results.validation import MEASURED_ON_THE_WAY, Evaluation
from img2img_hub.training.run.context import RunContext
from img2img_hub.training.state.best import Best
from img2img_hub.translation.translator import Translator

Numbers = dict[str, float]


class Results:
    """Draws, measures and writes the generators of a run. All processes measure; the main process does the rest.

    Raises:
        ValueError: what is to be measured cannot be: before anything is written.
    """

    def __init__(self, run: RunContext) -> None:
        self.run = run
        self.folder = run.folder
        self.family = run.family
        self.config = run.config
        self.accelerator = run.accelerator
        self.state = run.state
        self.plan = run.plan
        self.generators = Generators(run)
        self.evaluation = Evaluation(run)
        metric = run.config.best_metric
        self.best = None if metric is None else Best(run.folder.path, metric=metric)

    # --- on the way -------------------------------------------------------------------------------------------------

    def begin(self, logs: Logs) -> None:
        """Before the first step, with the run's folder open: say what is measured, take up the best so far."""
        for line in self.evaluation.describe():
            logs.say(line)
        if self.evaluation.wants_references:
            self.evaluation.find_references(self.generators.translators(alike=True))
        if not self.accelerator.is_main_process:
            return
        self._forget_what_comes_again()
        if self.best is None:
            return
        # The folder counts, not the checkpoint: it alone has the weights, and it may be the newer one.
        before, self.state.best = self.state.best, self.best.take_up()
        if self.state.best:
            logs.say(f"Best so far: {self._best_in_words()}.")
        elif before:
            logs.say(f"{self.best.folder} holds no best by {self.best.metric}, so that the best begins anew.")

    def _forget_what_comes_again(self) -> None:
        """Drop from metrics.jsonl the numbers of the step that a run resumes from: `look` finds them again."""
        path = self.folder.metrics
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if not self._comes_again(json.loads(line))]
        if kept != lines:
            write_text(path, "".join(f"{line}\n" for line in kept))

    def _comes_again(self, values: dict[str, object]) -> bool:
        step, every = self.state.step, self.config.eval_every
        ends = step >= self.plan.total_steps
        on_the_way = every is None and step % self.config.sample_steps == 0
        measured = self.measures_all or (every is not None if ends else on_the_way)
        again = (("validation/",) if measured else ()) + (("final/",) if ends else ())
        return values["step"] == step and any(key.startswith(again) for key in values)

    @property
    def measures_all(self) -> bool:
        """Whether `look` measures the whole validation split now: minutes, before which a checkpoint is due."""
        every = self.config.eval_every
        return every is not None and 0 < self.state.step < self.plan.total_steps and self.state.step % every == 0

    def look(self, logs: Logs) -> None:
        """What a step gives beside its checkpoint: a sheet every sample_steps; numbers, on all validation images every
        eval_every or, without that, on the first few with the sheet; the best generators. Nothing at step 0.

        All processes call it together, after the checkpoint; and a resumed run before its first step, for the kill
        may have come between the two. The numbers of the last step are `finish`'s.
        """
        step, last = self.state.step, self.state.step >= self.plan.total_steps
        drawing = step > 0 and (last or step % self.config.sample_steps == 0)
        limit = None if self.measures_all else MEASURED_ON_THE_WAY
        measuring = self.measures_all or (drawing and not last and self.config.eval_every is None)
        if not (drawing or measuring):
            return
        translators = self.generators.translators(alike=True)
        if drawing and self.accelerator.is_main_process:
            logs.write_sheet(step, self.evaluation.sheet(translators), path=self.folder.sheet(step))
        if measuring:
            numbers = self.evaluation.measure(translators, limit=limit)
            if self.accelerator.is_main_process and numbers:
                line = _prefixed("validation", numbers)
                if self.measures_all:
                    line |= self._keep_best(numbers, translators, logs)
                logs.record(step, line, about=self.evaluation.about(limit))
        logs.skip_time(step)
        self.accelerator.wait_for_everyone()

    # --- the best ---------------------------------------------------------------------------------------------------

    def _keep_best(self, numbers: Numbers, translators: dict[str, Translator], logs: Logs) -> Numbers:
        """Put these generators under best/ if they are; the best so far for metrics.jsonl, {} without best_metric."""
        if self.best is None:
            return {}
        value = numbers[self.best.metric]
        if self.best.is_beaten_by(value, best=self.state.best):
            self.best.replace(
                lambda root: self._write(root, translators, numbers=numbers, which="best", repo_ids={}),
                value=value,
                step=self.state.step,
            )
            self.state.best = {"value": value, "step": self.state.step}
            logs.say(f"Best so far: {self._best_in_words()}.")
        best = self.state.best
        return {f"best/{self.best.metric}": best["value"], "best/step": best["step"]} if best else {}

    def _best_in_words(self) -> str:
        assert self.best is not None
        title, best = METRICS[self.best.metric].title, self.state.best
        return f"{title} {best['value']:.5g} at step {int(best['step']):,}"

    # --- at the end -------------------------------------------------------------------------------------------------

    def finish(self, logs: Logs) -> None:
        """Write the generators in Hub layout, measure them as loaded back from there, write their cards.

        All processes call this together.
        """
        root, step = self.folder.path, self.state.step
        translators = self.generators.translators(alike=True)
        if self.accelerator.is_main_process:
            self.folder.claim_results()
            self.folder.unmark_finished()
            self.generators.save(root, repo_ids=self.run.repo_ids)
            translators = {
                name: Translator.from_pretrained(root / folder, device=self.accelerator.device)
                for folder, name in self.family.published.items()
            }
        numbers = self.evaluation.measure(translators)
        if self.accelerator.is_main_process:
            if numbers and self.config.eval_every is not None:
                line = _prefixed("validation", numbers) | self._keep_best(numbers, translators, logs)
                logs.record(step, line, about=self.evaluation.about())
            if numbers:
                logs.record(step, _prefixed("final", numbers), about=self.evaluation.about())
            self._describe(root, translators, numbers=numbers, which="last", repo_ids=self.run.repo_ids)
            self.folder.mark_finished(step)
            logs.say(f"Finished: {', '.join(str(root / folder) for folder in self.family.published)}")
        self.accelerator.wait_for_everyone()

    # --- folders in Hub layout --------------------------------------------------------------------------------------

    def write_snapshot(self, root: Path) -> None:
        """Write the generators as they stand below `root`, cards and all, to be pushed. Main process only."""
        self._write(root, self.generators.translators(), numbers={}, which="last", repo_ids=self.run.repo_ids)

    def _write(
        self,
        root: Path,
        translators: dict[str, Translator],
        *,
        numbers: Numbers,
        which: Literal["last", "best"],
        repo_ids: dict[str, str],
    ) -> None:
        """Write all generators below `root`, complete; repo_ids: where they will be on the Hub."""
        self.generators.save(root, repo_ids=repo_ids)
        self._describe(root, translators, numbers=numbers, which=which, repo_ids=repo_ids)

    def _describe(
        self,
        root: Path,
        translators: dict[str, Translator],
        *,
        numbers: Numbers,
        which: Literal["last", "best"],
        repo_ids: dict[str, str],
    ) -> None:
        """Sheets and cards of generators that stand below `root`."""
        for direction in self.family.directions:
            folder, name = direction.folder, direction.generator
            self.evaluation.draw(translators, direction).save(root / folder / "sample_sheet.png")
            write_card(
                root / folder,
                self.run,
                direction,
                translator=translators[name],
                numbers={_seen_from(direction, key): value for key, value in numbers.items()},
                which=which,
                weights=self._weights_in_words(which, direction),
                repo_id=repo_ids.get(folder),
                reverse=self.generators.reverse(direction, repo_ids) if repo_ids else None,
            )

    def _weights_in_words(self, which: Literal["last", "best"], direction: Direction) -> str:
        """Which weights the card of this generator speaks of."""
        step, total, best = self.state.step, self.plan.total_steps, self.state.best
        by = f" by {METRICS[_seen_from(direction, self.best.metric)].title}" if self.best is not None else ""
        if which == "best":
            return f"These are the weights of step {step:,} of {total:,}, the best of the run{by}."
        if step < total:
            return f"These are the weights of step {step:,} of {total:,}: the training goes on."
        last = f"These are the weights of the last step, {step:,}."
        if not best:
            return last
        number = f"{best['value']:.5g} at step {int(best['step']):,}"
        return f"{last} The best of the run{by}, {number}, are kept beside them, under `best/` of the run's folder."


def _seen_from(direction: Direction, key: str) -> str:
    """A metric's name as this generator sees it: what it makes is its target, as in `evaluate`."""
    ends = rf"(?<=_)(?:source|target)(?=$|_(?:{'|'.join(REFERENCES)})$)"
    return re.sub(ends, lambda side: direction.seen_from_here(side.group()), key)


def _prefixed(prefix: str, numbers: Numbers) -> Numbers:
    return {f"{prefix}/{name}": value for name, value in numbers.items()}
