"""The facts of a finished run for its model card: what was typed, on what, for how long, and what was measured.

head OUTPUT_DIR/README.md
"""

import os
import platform
import re
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import Literal

import psutil
import torch
from accelerate import Accelerator

from img2img_hub.errors import counted
from img2img_hub.evaluation.metrics import METRICS
from img2img_hub.evaluation.references import REFERENCES
from img2img_hub.families import Direction
from img2img_hub.hub.card import CardFacts, CardMetric, render_model_card
from img2img_hub.hub.local_paths import shortened
from img2img_hub.images.values import BandValues
from img2img_hub.training.run.context import RunContext
from img2img_hub.training.state.encoders import describe_encoder
from img2img_hub.translation.translator import Translator


def write_card(
    folder: Path,
    run: RunContext,
    direction: Direction,
    *,
    translator: Translator,
    numbers: dict[str, float],
    which: Literal["last", "best"],
    weights: str,
    repo_id: str | None,
    reverse: str | None,
) -> None:
    """Write README.md of a generator into its folder.

    Args:
        direction: which of the run's generators it is.
        numbers: measured on the run's validation data.
        which, weights: of the last step or the best one, as a word for the list of results and in a sentence.
        repo_id, reverse: where it and the opposite direction will be on the Hub, if that is known.
    """
    family, config, data, validation = run.family, run.config, run.train_data, run.validation_data
    name = (run.folder.path.resolve().name, direction.folder, "best" if which == "best" else "")
    epochs = run.plan.epochs(run.state.step)
    average = f", exponential moving average of the weights ({config.ema_decay:g})" if config.ema_decay else ""
    facts = CardFacts(
        model_name=repo_id.split("/")[-1] if repo_id else "-".join(part for part in name if part),
        repo_id=repo_id,
        family=family.name,
        method=family.title,
        direction=_direction(run, direction),
        architecture=translator.network.config,
        encoder=describe_encoder(config, translator.network),
        parameters=translator.network.parameter_count,
        datasets=data.hub_ids,
        data_description=shortened(data.description),
        dataset_note=config.dataset_note,
        license=config.license,
        license_name=config.license_name,
        license_link=config.license_link,
        training_command=_equal_command(run) if _is_interactive() else training_command(),
        hardware=describe_hardware(run.accelerator),
        steps=run.state.step,
        epochs=None if epochs is None else round(epochs, 2),
        batch_size=run.plan.global_batch,
        image_size=config.image_size,
        losses=shortened(family.describe_losses()),
        training_seconds=round(run.state.seconds),
        precision=f"{_PRECISIONS[run.accelerator.mixed_precision]}, saved as {config.save_dtype}{average}",
        torch_version=torch.__version__,
        metrics=tuple(
            CardMetric(
                key,
                value,
                validation.split,
                validation.id,
                which,
                label=METRICS[key].label,
                beside=_references(key, numbers),
            )
            for key, value in numbers.items()
            if validation is not None and not key.endswith(tuple(f"_{name}" for name in REFERENCES))
        ),
        weights=weights,
        norm_statistics=translator.settings.norm_statistics if translator.network.config.get("norm") == "batch" else "",
        working_size=translator.settings.working_size,
        crops=translator.settings.crop == "native",
        values=_values(translator),
        endings=_endings(translator),
        inputs=_inputs(translator),
        masked=translator.settings.hole is not None,
        scale=translator.network.scale,
        variations=_variations(translator),
        reverse=reverse,
        sample_sheet="sample_sheet.png",
        citation=family.paper,
    )
    (folder / "README.md").write_text(render_model_card(facts), encoding="utf-8")


def _references(key: str, numbers: dict[str, float]) -> str:
    """Such as "floor 78.92, ceiling 366.4", "" for a number that has none."""
    found = {name: numbers.get(f"{key}_{name}") for name in REFERENCES}
    return ", ".join(f"{name} {value:.4g}" for name, value in found.items() if value is not None)


def _values(translator: Translator) -> str:
    """Bands, types and ranges of a translator of rasters; what several inputs are; "" of one of pictures."""
    slots, both, output = translator.settings.inputs, _both_values(translator), translator.settings.output
    if both == (None, None):
        return ""
    words = ["8-bit pictures" if values is None else values.describe() for values in both]
    rasters = [both[0] is not None and not slots, both[1] is not None and output is None]
    units = any(rasters) or any(slot.kind == "raster" for slot in slots)
    if slots:
        named = ", ".join(slot.describe() for slot in slots)
        words[0] = f"{named}; {words[0]}" if units else named
    words[1] = words[1] if output is None else output.describe()
    said = f"Input: {words[0]}. Output: {words[1]}."
    if units:
        said += (
            " These are the ranges of the training images, in their units; what lies beyond them in an input is seen "
            "as their ends, and no output goes beyond them."
        )
    if any(slot.kind == "labels" for slot in slots):
        said += " Classes are numbered from 0, in grey or by a palette; 255 is of none."
    if output is not None:
        said += " An output is an image with a palette: its numbers are the classes."
    for slot in [*slots, *([] if output is None else [output])]:
        said += f" {slot.name}: {'; '.join(slot.classes_in_words)}." if slot.class_names or slot.palette else ""
    if any(slot.kind == "mask" for slot in slots):
        said += " Masks are 0 and 255, or 0 and 1."
    return said


def _both_values(translator: Translator) -> tuple[BandValues | None, BandValues | None]:
    return translator.settings.source_values, translator.settings.target_values


def _endings(translator: Translator) -> tuple[str, str]:
    source, target, slots = *_both_values(translator), translator.settings.inputs
    of_source = slots[0].ending if slots else "png" if source is None else "tif"
    return of_source, "png" if target is None or target.is_picture else "tif"


def _variations(translator: Translator) -> str:
    """What a translator with styles makes of a seed and of a photo; "" for others."""
    if translator.network.styles:
        return "`seed=7`, or any number, draws other styles of those that were usual in training."
    if translator.network.latent:
        return '`seed=7`, or any number, draws another style, and `style="photo.jpg"` takes that of a photo.'
    return ""


def _inputs(translator: Translator) -> tuple[tuple[str, str], ...]:
    slots = translator.settings.inputs
    several = len(slots) > 1 and translator.settings.hole is None
    return tuple((slot.name, slot.ending) for slot in slots) if several else ()


def _direction(run: RunContext, direction: Direction) -> str:
    """Such as "label map to photo", "" where the run was not told what its images are."""
    names = [run.config.source_name, run.config.target_name]
    if names == ["source", "target"]:
        return ""
    return " to ".join(reversed(names) if direction.source == "target" else names)


_PRECISIONS = {"no": "float32", "fp16": "float16 mixed", "bf16": "bfloat16 mixed", "fp8": "float8 mixed"}


def training_command() -> str:
    """The command line that started this process, with `accelerate launch` in front if that is what started it.

    It is published: of local paths only the last part is left, and what looks like a Hub token is blanked, for a script
    of one's own may take one.
    """
    return shlex.join(shortened(re.sub(r"\bhf_[A-Za-z0-9_]{8,}", "hf_…", word)) for word in _command_line())


def _is_interactive() -> bool:
    """A notebook, or Python's own prompt: no command line started this training."""
    return Path(sys.argv[0]).name in ("", "-c", "ipykernel_launcher.py", "colab_kernel_launcher.py")


def _equal_command(run: RunContext) -> str:
    """The command line that trains the same as a call of `train` did: every field that is not at its default."""
    words = ["accelerate", "launch", "train_accelerate.py", run.family.name]
    defaults = run.config.defaults_of(run.family, num_epochs=run.config.num_epochs)
    for part in (run.family, run.folder.architecture, run.folder.data, run.config):
        for item in fields(part):
            value, default = getattr(part, item.name), item.default
            if part is run.config:
                default = defaults.get(item.name, default)
            if value == default or item.name in ("resume", "overwrite", "hub_token"):
                continue
            if isinstance(item.default, bool):
                words.append(f"--{item.name}" if value else f"--no_{item.name}")
            else:
                words += [f"--{item.name}", *(map(str, value) if isinstance(value, tuple | list) else [str(value)])]
    return shlex.join(map(shortened, words))


def _command_line() -> list[str]:
    own = [Path(sys.argv[0]).name, *sys.argv[1:]]
    parent = psutil.Process().parent()
    line = parent.cmdline() if parent is not None else []
    names = [Path(word).name for word in line]
    if "launch" in names and any("accelerate" in name for name in names[: names.index("launch")]):
        words = line[names.index("launch") :]  # launch, the launcher's flags, then the script with its own
        script = next((index for index, word in enumerate(words) if Path(word).name == own[0]), len(words))
        return ["accelerate", *words[:script], *own]
    if "torchrun" in names:
        words = line[names.index("torchrun") + 1 :]
        script = next((index for index, word in enumerate(words) if Path(word).name == own[0]), len(words))
        return ["torchrun", *words[:script], *own]
    return ["python", *own]


def describe_hardware(accelerator: Accelerator) -> str:
    """Such as "2 × NVIDIA H200" or "2 CPU cores (AMD EPYC 7763), 1 process"."""
    processes = accelerator.num_processes
    if accelerator.device.type == "cuda":
        return f"{processes} × {torch.cuda.get_device_name(accelerator.device)}"
    if accelerator.device.type != "cpu":
        return f"{processes} × {accelerator.device.type} ({platform.machine()})"
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} CPU cores ({model}), {counted(processes, 'process', 'processes')}"
