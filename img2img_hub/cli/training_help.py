"""What `--help` and `-h` say of training's flags: one text each, and what holds for a family where it is not typed.

    python -c "from img2img_hub import CUT; from img2img_hub.cli.training_help import short_help; \\
        print(short_help(CUT, program='img2img_hub train'))"
"""

import re
import textwrap
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from inspect import Parameter, signature
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from img2img_hub.cli.parsing import bare_type
from img2img_hub.data.find.sources import DataConfig
from img2img_hub.families import Family
from img2img_hub.families.options import PREFIX, Architecture, option_help
from img2img_hub.networks import DISCRIMINATORS, GENERATORS
from img2img_hub.training.run.config import LATER, TrainConfig

MOST_USED = (
    "dataset",
    "side_by_side",
    "direction",
    "source_column",
    "target_column",
    "labels",
    "output_dir",
    "num_epochs",
    "max_steps",
    "batch_size",
    "image_size",
    "crop",
    "scale",
    "stage",
    "generator",
    "width",
    "learning_rate",
    "mixed_precision",
    "num_workers",
    "eval_every",
    "sample_steps",
    "checkpoint_steps",
    "resume",
    "overwrite",
    "init_from",
    "push_to_hub",
    "hub_model_id",
)
"""What `-h` shows."""


class Texts:
    """What is said of the flags of a family."""

    def __init__(self, family: type[Family]) -> None:
        self.family = family
        self._texts = option_help() | _documented(family) | _documented(DataConfig) | _documented(TrainConfig)

    def of(self, item: Field[Any], kind: Any, default: Any) -> Any:
        """The type of a flag, annotated; one that none of the family's networks has is not shown."""
        if item.name in _SHAPE and not _owners(self.family, item.name):
            return Annotated[kind, tyro.conf.Suppress]
        text, hint = self.said(item.name, default)
        return Annotated[kind, tyro.conf.arg(help=text, help_behavior_hint=f"({hint})", metavar=_value(kind))]

    def said(self, name: str, default: Any) -> tuple[str, str]:
        """What the flag is, and what holds where it is not typed."""
        text, otherwise = _parted(self._texts.get(name, ""))
        if name in _SHAPE:
            text = _of_these(text, _owners(self.family, name))
        if default is MISSING:
            return text, "required"
        if name in LATER and name != "decay_epochs" and default is None:
            default = TrainConfig.defaults_of(self.family)[name]
        if name in _SHAPE and default is None:
            otherwise = shape_default(self.family, name) or otherwise
        if default is None or default in ((), ""):
            return text, f"default: {otherwise or 'none'}"
        if isinstance(default, tuple):
            default = " ".join(map(str, default))
        return text, f"default: {default}"


def short_help(family: type[Family], *, program: str) -> str:
    """The flags that are used most, a line or two each."""
    texts = Texts(family)
    known = TrainConfig.defaults_of(family) | dict.fromkeys(LATER)
    everything = [item for part in (DataConfig, TrainConfig, family, Architecture) for item in fields(part)]
    found = {item.name: item for item in everything}
    lines = [f"usage: {program} {family.name} --dataset FOLDER_OR_ID --output_dir FOLDER [flags]", ""]
    for name in MOST_USED:
        if (item := found.get(name)) is None or (name in _SHAPE and not _owners(family, name)):
            continue
        text, hint = texts.said(name, known.get(name, item.default))
        said = re.split(r"(?<=[.]) ", text)[0]
        said += "" if hint in ("default: none", "default: False") else f" ({hint})"
        lines += textwrap.wrap(said, 96, initial_indent=f"  --{name:<19}", subsequent_indent=" " * 23)
    total = sum(name not in _SHAPE or bool(_owners(family, name)) for name in found)
    lines += ["", f"`{program} {family.name} --help` explains all {total} flags in four groups."]
    return "\n".join(lines)


def _documented(owner: type[Any]) -> dict[str, str]:
    """{field: what stands below it}, of a data class and those it inherits from."""
    from docstring_parser import parse_from_object

    found: dict[str, str] = {}
    for each in reversed(owner.__mro__[:-1]):
        for param in parse_from_object(each).params:
            found[param.arg_name] = " ".join((param.description or "").split())
    return found


def _value(kind: Any) -> str | None:
    """What to type behind a flag that may be left out; None for what tyro makes of others."""
    among = get_args(bare_type(kind))
    kinds = [bare_type(each) for each in among if each is not NoneType]
    if NoneType not in among or len(kinds) != 1:
        return None
    if get_origin(kinds[0]) is Literal:
        return "{" + ",".join(map(str, get_args(kinds[0]))) + "}"
    return {int: "INT", float: "FLOAT", str: "STR", bool: "{True,False}"}.get(kinds[0])


def _parted(text: str) -> tuple[str, str]:
    """A text without what it says of None, and that."""
    for pattern in (r"\s*\(None: (?P<said>.*?)\)(?=[ .])", r"; None: (?P<said>[^)]*)(?=\))"):
        if found := re.search(pattern, text):
            return text[: found.start()] + text[found.end() :], found["said"]
    if found := re.search(r"\s*Default: (?P<said>.*?)\.?$", text):
        return text[: found.start()], found["said"]
    return text, ""


# --- the shape of networks --------------------------------------------------------------------------------------------

_SHAPE = frozenset(item.name for item in fields(Architecture))


def _owners(family: type[Family], option: str) -> dict[str, Any]:
    """{name of a network that this family may have and that knows the option: its own default}."""
    side = "discriminator" if option.startswith(PREFIX) else "generator"
    networks = DISCRIMINATORS if side == "discriminator" else GENERATORS
    hint = get_type_hints(family).get(side)
    names = get_args(hint) if get_args(hint) else tuple(networks)
    key = option.removeprefix(PREFIX) if side == "discriminator" else option
    found = {name: signature(networks[name]).parameters.get(key) for name in names if name in networks}
    return {name: parameter.default for name, parameter in found.items() if parameter is not None}


def _of_these(text: str, owners: Iterable[str]) -> str:
    """What `option_help` says of an option to these networks: "[unet] … [resnet, spade] …" in parts."""
    parts = re.findall(r"\[([a-z_, ]+)\] (.*?)(?= \[[a-z_, ]+\] |$)", text)
    told = [([name for name in names.split(", ") if name in owners], said) for names, said in parts]
    told = [(names, said) for names, said in told if names]
    return " ".join(said if len(told) == 1 else f"[{', '.join(names)}] {said}" for names, said in told)


def shape_default(family: type[Family], option: str) -> str:
    """Such as "64" or "unet 0.5, resnet 0.0"; "" for an option that none of the family's networks has."""
    owners = _owners(family, option)
    if not owners:
        return ""
    if follows := getattr(family, "follows", {}).get(option):
        return follows
    defaults = getattr(family, "network_defaults", {})
    key = option.removeprefix(PREFIX)
    own = {name: defaults.get(key, default) for name, default in owners.items()}
    own = {name: value for name, value in own.items() if value is not Parameter.empty}
    if len({repr(value) for value in own.values()}) == 1:
        return str(next(iter(own.values())))
    return ", ".join(f"{value} of {name}" for name, value in own.items())
