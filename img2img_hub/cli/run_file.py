"""`--config FILE`: flags out of a file, in YAML or JSON, for a run that is typed once or made again.

    img2img_hub train --config run.yaml
    img2img_hub train --config runs/a/training_config.json --output_dir runs/again --max_steps 100

A file of one's own is flags and their values, with the family, if the command line does not name it:

    family: pix2pix
    dataset: facades
    side_by_side: true
    learning_rate: 1e-4

The training_config.json (or run.json) of a run is one, too, but for its pushes; beside a run.json, which has the places
on this machine in full, that is read. What is typed comes before what stands in the file.
"""

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml

from img2img_hub.cli.parsing import Command, UsageError, bare_type, flags_of, unknown_flag
from img2img_hub.errors import one_line

_PARTS = ("objective", "architecture", "data", "training")  # of a run's own file
_OF_ONE_START = ("resume", "overwrite", "push_to_hub", "push_every", "hub_model_id", "hub_private")
"""Of a run's own file: what is said of one start of it. Made again it would overwrite what it has published."""
_TYPED_ALONE = ("max_megapixels",)  # what only somebody who trusts the data may say


def with_file(words: Sequence[str], commands: Mapping[str, Command]) -> list[str]:
    """The words of a command line with those of its file in front of the flags that are typed; without one, as they
    are.

    Raises:
        UsageError: a file that cannot be read, another family's, an unknown flag in it.
    """
    rest, named = _taken_out(list(words))
    if named is None:
        return rest
    family, values = _read(Path(named).expanduser())
    typed = rest.pop(0) if rest and rest[0] in commands else None
    name = typed or family
    if name is None:
        raise UsageError(
            f"--config {named} does not say which family is trained: type it first, one of {', '.join(commands)}, or "
            "write it into the file, such as `family: pix2pix`"
        )
    if name not in commands or family not in (None, name):
        wrong = f"is of {family}, and {typed} is typed" if typed else f"has the family {family}"
        raise UsageError(f"--config {named} {wrong}: there are {', '.join(commands)}")
    flags = flags_of(commands[name])
    for key in values:
        if key not in flags:
            said = unknown_flag(key, name, commands, help=f"`{name} --help` explains every flag")
            raise UsageError(f"--config {named}: {said}")
    given = {_name(word) for word in rest if word.startswith("--")}
    given |= {word.removeprefix("no_") for word in given if word not in flags}
    if "num_epochs" in given:
        values.pop("decay_epochs", None)  # a share of other epochs
    if alone := [key for key in _TYPED_ALONE if values.get(key) is not None and key not in given]:
        raise UsageError(f"--config {named} says {alone[0]}, which is for the command line alone: type --{alone[0]}")
    of_file = (_words(key, value, flags[key], where=named) for key, value in values.items() if key not in given)
    return [name, *(word for each in of_file for word in each), *rest]


def _name(word: str) -> str:
    return word[2:].partition("=")[0].replace("-", "_")


def _taken_out(words: list[str]) -> tuple[list[str], str | None]:
    """The words without --config and its file, and the file."""
    for place, word in enumerate(words):
        if word.startswith("--config="):
            return words[:place] + words[place + 1 :], word.partition("=")[2]
        if word == "--config":
            if place + 1 == len(words):
                raise UsageError("--config needs a file after it, in YAML or JSON, such as run.yaml")
            return words[:place] + words[place + 2 :], words[place + 1]
    return words, None


def _read(file: Path) -> tuple[str | None, dict[str, Any]]:
    """The family that the file names, if it does, and flags with values."""
    if not file.exists():
        raise UsageError(f"there is no file {file}, which --config names: check the spelling of the path")
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"--config {file} cannot be read: {one_line(error, most=200)}") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise UsageError(f"--config {file} holds no flags: write lines such as `learning_rate: 1e-4`")
    family = found.pop("family", None)
    if family is not None and not isinstance(family, str):
        raise UsageError(f"--config {file} has the family {reprlib.repr(family)}: write a name, such as pix2pix")
    if not set(_PARTS) <= found.keys():
        return family, {key.replace("-", "_"): value for key, value in found.items()}
    beside = file.with_name("run.json")
    if file.name != beside.name and beside.is_file() and (whole := _read(beside))[0] == family:
        return whole
    parts = [found[part] for part in _PARTS]
    if not all(isinstance(part, dict) for part in parts):
        raise UsageError(f"--config {file} is no run's: its parts {', '.join(_PARTS)} hold flags with values")
    values = {key: value for part in parts for key, value in part.items() if key not in _OF_ONE_START}
    return family, {key: value for key, value in values.items() if value is not None}


def _words(key: str, value: Any, hint: Any, *, where: str) -> list[str]:
    """A flag of the file as it would be typed."""
    if bare_type(hint) is bool:
        if not isinstance(value, bool):
            raise UsageError(f"--config {where}: {key} is {reprlib.repr(value)}: write true or false")
        return [f"--{key}" if value else f"--no_{key}"]
    if isinstance(value, list | tuple):
        if any(isinstance(each, list | tuple | dict) for each in value):
            raise UsageError(f"--config {where}: {key} is {reprlib.repr(value)}: write a list of plain values")
        return [f"--{key}", *map(str, value)] if value else []
    if isinstance(value, dict):
        raise UsageError(f"--config {where}: {key} is a group, and flags stand beside each other: take it apart")
    if value is False and "no" in _choices(hint):
        value = "no"  # which is YAML's false
    if isinstance(value, float) and value.is_integer() and int in (bare_type(hint), *get_args(bare_type(hint))):
        value = int(value)
    return [f"--{key}={value}"]


def _choices(hint: Any) -> tuple[Any, ...]:
    """What a flag may be, of one that may be few things."""
    inner = [bare_type(each) for each in get_args(bare_type(hint))]
    return (*get_args(bare_type(hint)), *(choice for each in inner for choice in get_args(each)))
