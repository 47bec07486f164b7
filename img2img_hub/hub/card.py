"""The model card: facts that were measured become a README.md with front matter that the Hub accepts.

    python -c "from img2img_hub.hub.card import *; print(render_model_card(CardFacts(model_name='maps')))"

A fact that is not known is left out, never printed empty. The text stands between two marks (HTML comments);
`merge_card` replaces what stands between them and keeps what people wrote around it.
"""

import json
import math
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jinja2
import yaml
from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from img2img_hub.errors import one_line
from img2img_hub.hub import front_matter
from img2img_hub.hub.local_paths import shortened

TEMPLATE = Path(__file__).with_name("model_card_template.md")
BEGIN = (
    "<!-- img2img_hub: generated from here on, and anew by every push; what you write outside of the marks stays -->"
)
END = "<!-- img2img_hub: generated up to here -->"
_GENERATED = re.compile(
    r"<!-- img2img_hub: generated from here.*?-->.*?<!-- img2img_hub: generated up to here.*?-->", re.DOTALL
)
_SNIPPET = re.compile(r'(?<=translator = Translator\.from_pretrained\(")[^"]*')
_REVERSE = re.compile(r'(?<=\.save\("output\.(?:png|tif)"\)\n```\n\n)(?:The opposite direction: .*\n\n)?')

_COMMAND = re.compile(r"(?<=\n```bash\n).+?(?=\n```\n)", re.DOTALL)

_LICENSE_KEYS = ("license", "license_name", "license_link")
_LICENSE_MARK = re.compile(
    r"<!-- img2img_hub: license as generated: (.*?) -->"
)  # tells later whether people changed it
_NORM_TEXTS = {
    "image": "Batch norm uses each image's own statistics, at test time as in training (Pix2Pix paper, section 3.3).",
    "running": "Batch norm uses the running averages of training.",
}


_READING = {
    "floor": "Floor: real images of training in the place of what the model makes.",
    "ceiling": "Ceiling: the inputs as they are.",
    "bicubic": "Bicubic: the inputs enlarged by Pillow's bicubic filter.",
    "lite0": "Numbers of lite0 are of EfficientNet-Lite0's features and do not compare with the FID and KID of papers.",
}
"""How the numbers are to be read that have this in them."""


class CardMetric(NamedTuple):
    """One measured number."""

    name: str  # a key of metrics.jsonl such as "ssim"
    value: float
    split: str  # of the data set, such as "test"
    dataset: str  # Hub id, or the name of a local folder
    which: Literal["last", "best"] = "last"  # weights of the last step, or of the best one
    label: str = ""  # for people, such as "SSIM (at most 1, higher is better)"
    beside: str = ""  # what it is to be read against, such as "floor 78.92, ceiling 366.4"


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """All that a card can tell. Only the name is required; whatever is None or empty is left out."""

    model_name: str
    """Title of the card, and the model's name in its list of results."""
    repo_id: str | None = None
    """Where it will be published; `push_folder` fills it in when it is not known yet."""
    family: str = ""
    """The method's name as its tag on the Hub: "pix2pix", "cyclegan" …"""
    method: str = ""
    """The method's name as people write it: "Pix2Pix"."""
    direction: str = ""
    """What becomes what, such as "label maps to photos"."""
    architecture: dict[str, Any] = field(default_factory=dict)
    """The generator's config.json."""
    encoder: str = ""
    """What a classification network inside of it started with, and how long that was kept, in a few words."""
    parameters: int | None = None
    """Weights of the generator."""
    datasets: tuple[str, ...] = ()
    """Hub ids of the data sets it was trained on."""
    data_description: str = ""
    """The training data in words: counts, and what a local folder holds."""
    dataset_note: str = ""
    """What the data's license asks for, in a sentence."""
    license: str = ""
    """License of the weights as a Hub identifier: "apache-2.0", "cc-by-4.0", "other" …"""
    license_name: str | None = None
    """With license "other": a short name in lower case."""
    license_link: str | None = None
    """With license "other": where it can be read."""
    training_command: str = ""
    """The command line, local paths shortened."""
    hardware: str = ""
    """Such as "1 × H200" or "2 CPU cores (EPYC 7763)"."""
    steps: int | None = None
    epochs: float | None = None
    batch_size: int | None = None
    """Images a step, over all processes."""
    image_size: int | tuple[int, int] | None = None
    """Pixels, width and height of a training crop."""
    losses: str = ""
    """What is to be known of the losses beside the paper and the command line."""
    training_seconds: float | None = None
    precision: str = ""
    """Of training and of the saved weights, such as "bf16 mixed, saved as float16"."""
    torch_version: str = ""
    weights: str = ""
    """Which weights these are, of the last step or the best one, in a sentence or two."""
    metrics: tuple[CardMetric, ...] = ()
    norm_statistics: str = ""
    """"image" or "running" (translation.json), or a sentence of your own."""
    working_size: int | None = None
    """Pixels, side of the images it was trained on."""
    crops: bool = False
    """Whether it was trained on crops of images as they are."""
    values: str = ""
    """Of a translator of rasters: bands, types and ranges of values, in a sentence or two."""
    endings: tuple[str, str] = ("png", "png")
    """Of an input's and an output's file name: "png" or "tif"."""
    inputs: tuple[tuple[str, str], ...] = ()
    """Where several images make one input, the name of each and the ending of its file name."""
    masked: bool = False
    """Whether it takes a mask of what is to be filled in."""
    scale: int = 1
    """An output's pixels for one of the input, a side."""
    variations: str = ""
    """What else it can make of an image, and how."""
    reverse: str | None = None
    """Hub id of the opposite direction."""
    sample_sheet: str | None = None
    """File name of the sample sheet in the same folder."""
    limitations: str = ""
    citation: str = ""
    """The paper."""

    @property
    def example(self) -> str:
        """What the card's example translates, as Python: "input.png" or {"rgb": "rgb.png", "depth": "depth.tif"}."""
        files = {name: f"{name}.{ending}" for name, ending in self.inputs} or f"input.{self.endings[0]}"
        return json.dumps(files, ensure_ascii=False) + (', mask="mask.png"' if self.masked else "")

    def __post_init__(self) -> None:
        if not self.model_name.strip():
            raise ValueError("The model card needs a model_name, such as 'facades-label2photo'")


def render_model_card(facts: CardFacts) -> str:
    """The text of README.md: front matter and the generated part between its marks."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        facts=facts,
        metrics=[[_cell(c) for c in _metric_row(m)] for m in facts.metrics],
        reading=[text for name, text in _READING.items() if any(name in f"{m.name} {m.beside}" for m in facts.metrics)],
        norm_statistics=_NORM_TEXTS.get(facts.norm_statistics, facts.norm_statistics),
        table=[(name, _cell(value)) for name, value in _training_table(facts)],
    )
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    license_mark = f"<!-- img2img_hub: license as generated: {facts.license} -->\n" if facts.license else ""
    return f"{front_matter.written(_card_data(facts).to_dict())}\n{BEGIN}\n{license_mark}\n{text}\n\n{END}\n"


def merge_card(remote: str, new: str) -> str:
    """The new card with all that people wrote in the one on the Hub.

    The generated part is the new one; text around it is kept from both cards. In the front matter, keys that only the
    remote card has stay, and so do its tags, and its license if people changed it since it was generated.

    Raises:
        ValueError: a front matter cannot be read, so that what people wrote there would be lost.
    """
    remote_data, remote_text = _split(remote, "on the Hub")
    new_data, new_text = _split(new, "of this folder")
    data = {**remote_data, **new_data}
    chosen = _license(remote_data, remote_text, new_data)
    data = {k: chosen.get(k, v) for k, v in data.items() if k not in _LICENSE_KEYS or k in chosen}
    if remote_data.get("tags"):
        data["tags"] = list(dict.fromkeys([*_as_list(new_data.get("tags", [])), *_as_list(remote_data["tags"])]))
    remote_above, remote_generated, remote_below = _cut_out_generated(remote_text)
    new_above, new_generated, new_below = _cut_out_generated(new_text)
    parts = (_both(remote_above, new_above), new_generated or remote_generated, _both(remote_below, new_below))
    body = "\n\n".join(part for part in parts if part)
    return f"{front_matter.written(data)}\n{body}\n" if data else f"{body}\n"


def _license(remote_data: dict[str, Any], remote_text: str, new_data: dict[str, Any]) -> dict[str, Any]:
    """The license keys of the merged card."""
    remote, new = ({k: data[k] for k in _LICENSE_KEYS if k in data} for data in (remote_data, new_data))
    generated = _LICENSE_MARK.search(remote_text)
    if "license" not in new or ("license" in remote and remote["license"] != (generated and generated.group(1))):
        return remote
    return {**remote, **new} if remote.get("license") == new["license"] else new


def with_repo_ids(card: str, repo_id: str, *, reverse: str | None = None) -> str:
    """The card with its example loading `repo_id`, and naming `reverse`; only the generated part is touched."""
    line = f'The opposite direction: `Translator.from_pretrained("{reverse}")`.\n\n' if reverse else ""

    def renamed(found: re.Match[str]) -> str:
        return _REVERSE.sub(lambda _: line, _SNIPPET.sub(lambda _: repo_id, found.group(), count=1), count=1)

    return _GENERATED.sub(renamed, card, count=1)


def with_short_paths(card: str) -> str:
    """The card without local paths in its command, as cards of former versions have them."""

    def short(found: re.Match[str]) -> str:
        return _COMMAND.sub(lambda command: _short_command(command.group()), found.group(), count=1)

    return _GENERATED.sub(short, card, count=1)


def _short_command(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:  # not of our writing
        return command
    short = [shortened(word) for word in words]
    return command if short == words else shlex.join(short)


def _card_data(facts: CardFacts) -> ModelCardData:
    results = [
        EvalResult(
            task_type="image-to-image",
            task_name="Image-to-Image Translation",
            dataset_type=re.sub(r"[^\w./-]+", "-", metric.dataset).strip("-") or "unknown",
            dataset_name=metric.dataset or "unknown",
            dataset_split=metric.split or None,
            metric_type=metric.name,
            metric_name=f"{metric.name} ({metric.which} step)",
            metric_value=round(float(metric.value), 6),
        )
        for metric in facts.metrics
        if math.isfinite(metric.value)  # JSON, and so the Hub, knows no nan
    ]
    return ModelCardData(
        license=facts.license or None,
        license_name=facts.license_name,
        license_link=facts.license_link,
        library_name="img2img_hub",
        pipeline_tag="image-to-image",
        tags=[tag for tag in ("img2img_hub", facts.family, "image-to-image", "gan") if tag],
        datasets=[name for name in facts.datasets if _is_hub_id(name)] or None,
        metrics=list(dict.fromkeys(metric.name for metric in facts.metrics)) or None,
        model_name=facts.model_name if results else None,
        eval_results=results or None,
    )


def _training_table(facts: CardFacts) -> list[tuple[str, str]]:
    """(name, value) of what is known, in the order of the card."""
    config = {k: v for k, v in facts.architecture.items() if k not in ("architecture", "format_version")}
    network = ", ".join(f"{key}={value}" for key, value in config.items())
    name = facts.architecture.get("architecture", "")
    data = ", ".join(f"`{name}`" for name in facts.datasets)
    steps = f"{facts.steps:,}" if facts.steps is not None else ""
    epochs = f"{facts.epochs:,.4g} epochs" if facts.epochs is not None else ""
    rows = {
        "Data": "; ".join(part for part in (data, facts.data_description) if part),
        "Generator": f"`{name}({network})`" if name else "",
        "Encoder": facts.encoder,
        "Parameters": f"{facts.parameters / 1e6:.3g} million" if facts.parameters is not None else "",
        "Steps": f"{steps} ({epochs})" if steps and epochs else steps or epochs,
        "Images a step": f"{facts.batch_size:,}" if facts.batch_size is not None else "",
        "Image size": _size(facts.image_size) if facts.image_size is not None else "",
        "Losses": facts.losses,
        "Time": _duration(facts.training_seconds) if facts.training_seconds is not None else "",
        "Hardware": facts.hardware,
        "Precision": facts.precision,
        "PyTorch": facts.torch_version,
    }
    return [(name, value) for name, value in rows.items() if value]


def _size(size: int | tuple[int, int]) -> str:
    width, height = (size, size) if isinstance(size, int) else size
    return f"{width} × {height} pixels"


def _metric_row(metric: CardMetric) -> tuple[str, ...]:
    value = f"{metric.value:.4g}" + (f" ({metric.beside})" if metric.beside else "")
    return metric.label or metric.name, value, metric.dataset, metric.split, f"{metric.which} step"


def _cell(text: str) -> str:
    """Text that cannot break a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _is_hub_id(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _split(card: str, which: str) -> tuple[dict[str, Any], str]:
    """A card's front matter and its text."""
    head, text = front_matter.cut(card)
    try:
        data = yaml.safe_load(head) or {}
        problem = "" if isinstance(data, dict) else "it must be keys with values"
    except yaml.YAMLError as error:
        problem = one_line(error)
    if problem:
        raise ValueError(
            f"The front matter of the README.md {which} cannot be read: {problem}. Correct it, or delete it"
        )
    return data, text


def _cut_out_generated(text: str) -> tuple[str, str, str]:
    """What stands above the generated part, that part, and what stands below; all above where there is no such part."""
    found = _GENERATED.search(text)
    if found is None:
        return text.strip(), "", ""
    return text[: found.start()].strip(), found.group(), text[found.end() :].strip()


def _both(remote: str, new: str) -> str:
    """Hand-written text of both cards, nothing of it twice."""
    if new in remote:
        return remote
    return new if remote in new else f"{remote}\n\n{new}"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
