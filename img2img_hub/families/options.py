"""Architecture options, made from the networks' own signatures, so that a new network argument is a flag at once.

    python -c "from img2img_hub.families.options import Architecture; print(Architecture(width=16))"

A generator's argument keeps its name (`width` -> --width); a discriminator's gets a prefix (--discriminator_width).
None means: as the family, the image size or the network itself has it.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import field, fields, make_dataclass
from functools import cache
from typing import Any

from img2img_hub.networks import DISCRIMINATORS, GENERATORS, Network

# Channels come from the data, features, styles and the scale from the family, not from a flag.
_GIVEN = (
    *("in_channels", "out_channels", "feature_channels", "styles", "latent", "latent_side"),
    *("scale", "unshuffle", "crop", "context_channels"),
)
PREFIX = "discriminator_"


def _collect(networks: Mapping[str, type[Network]], prefix: str) -> dict[str, Any]:
    """{flag: type} over the signatures of `networks`."""
    found: dict[str, Any] = {}
    for network in networks.values():
        for name, parameter in inspect.signature(network).parameters.items():
            if name not in _GIVEN:
                found.setdefault(prefix + name, parameter.annotation)
    return found


@cache
def option_help() -> dict[str, str]:
    """{flag: what the networks say of the argument, and which of them know it}; parses their docstrings."""
    from docstring_parser import parse  # for help texts, which most who load a model never read

    found = {}
    for networks, prefix in ((GENERATORS, ""), (DISCRIMINATORS, PREFIX)):
        owners: dict[str, dict[str, list[str]]] = {}  # what each says of the argument: a width is not always the same
        for short, network in networks.items():
            texts = {text.arg_name: text.description or "" for text in parse(network.__doc__ or "").params}
            for name in inspect.signature(network).parameters:
                if name not in _GIVEN:
                    said = " ".join(texts.get(name, "").split())
                    owners.setdefault(prefix + name, {}).setdefault(said, []).append(short)
        for name, texts_of in owners.items():
            found[name] = " ".join(f"[{', '.join(shorts)}] {text}" for text, shorts in texts_of.items())
    return found


class _Docstring:
    """A docstring that is made when somebody reads it."""

    def __get__(self, instance: object, owner: type) -> str:
        about = "Shape of the networks; what is not given follows the family, the image size and the network."
        return f"{about}\n\nArgs:\n" + "".join(f"    {name}: {text}\n" for name, text in option_help().items())


_OPTIONS = _collect(GENERATORS, "") | _collect(DISCRIMINATORS, PREFIX)

Architecture = make_dataclass(
    "Architecture",
    [(name, kind | None, field(default=None)) for name, kind in _OPTIONS.items()],
    frozen=True,
    kw_only=True,
)
Architecture.__module__ = __name__  # so that it can be pickled
Architecture.__doc__ = _Docstring()  # type: ignore[assignment]


def arguments_for(
    networks: Mapping[str, type[Network]],
    name: str,
    *,
    architecture: Any,
    defaults: dict[str, Any],
    prefix: str = "",
    among: Sequence[str] = (),
) -> dict[str, Any]:
    """Arguments for the network `name`: what was asked for, else `defaults`, as far as that network knows them.

    Args:
        among: the networks to choose from, for messages; all of them where none are named.

    Raises:
        ValueError: an unknown name, or an option that only another network has.
    """
    if name not in networks:
        raise ValueError(f"--{prefix or 'generator_'}"[:-1] + f" must be one of {', '.join(networks)}, got {name!r}")
    known = set(inspect.signature(networks[name]).parameters)
    arguments = {key: value for key, value in defaults.items() if key in known}
    for option in fields(architecture):
        value = getattr(architecture, option.name)
        if value is None or option.name.startswith(PREFIX) != bool(prefix):
            continue
        key = option.name.removeprefix(prefix)
        if key not in known:
            owners = [short for short, other in networks.items() if key in inspect.signature(other).parameters]
            owners = [short for short in owners if short in among] or owners
            flag = (prefix or "generator_")[:-1]
            raise ValueError(
                f"--{option.name} belongs to --{flag} {' or '.join(owners)}, but --{flag} is {name}: "
                f"leave it out or choose --{flag} {owners[0]}"
            )
        arguments[key] = value
    return arguments
