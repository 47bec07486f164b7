"""Architecture options, made from the networks' own signatures, so that a new network argument is a flag at once.

    python -c "from img2img_hub.families.options import Architecture; print(Architecture(width=16))"

A generator's argument keeps its name (`width` -> --width); a discriminator's gets a prefix (--discriminator_width).
None means: as the family, the image size or the network itself has it.
"""

import inspect
from collections.abc import Mapping
from dataclasses import field, fields, make_dataclass
from typing import Any

from docstring_parser import parse

from img2img_hub.networks import DISCRIMINATORS, GENERATORS, Network

# Channels come from the data or the family, not from a flag.
_GIVEN = ("in_channels", "out_channels", "feature_channels")
PREFIX = "discriminator_"


def _collect(networks: Mapping[str, type[Network]], prefix: str) -> dict[str, tuple[Any, str]]:
    """{flag: (type, help)} over the signatures of `networks`; the help says which of them know the argument."""
    found: dict[str, tuple[Any, str]] = {}
    for network in networks.values():
        for name, parameter in inspect.signature(network).parameters.items():
            if name in _GIVEN or prefix + name in found:
                continue
            owners: dict[str, list[str]] = {}  # by what each says of the argument, for a width is not always the same
            for short, other in networks.items():
                if name in inspect.signature(other).parameters:
                    texts = {text.arg_name: text.description or "" for text in parse(other.__doc__ or "").params}
                    owners.setdefault(" ".join(texts.get(name, "").split()), []).append(short)
            help_text = " ".join(f"[{', '.join(shorts)}] {text}" for text, shorts in owners.items())
            found[prefix + name] = (parameter.annotation, help_text)
    return found


_OPTIONS = _collect(GENERATORS, "") | _collect(DISCRIMINATORS, PREFIX)

Architecture = make_dataclass(
    "Architecture",
    [(name, kind | None, field(default=None, metadata={"help": text})) for name, (kind, text) in _OPTIONS.items()],
    frozen=True,
    kw_only=True,
)
Architecture.__module__ = __name__  # so that it can be pickled
Architecture.__doc__ = (
    "Shape of the networks; what is not given follows the family, the image size and the network.\n\nArgs:\n"
    + ("".join(f"    {name}: {text}\n" for name, (_, text) in _OPTIONS.items()))
)


def arguments_for(
    networks: Mapping[str, type[Network]], name: str, *, architecture: Any, defaults: dict[str, Any], prefix: str = ""
) -> dict[str, Any]:
    """Arguments for the network `name`: what was asked for, else `defaults`, as far as that network knows them.

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
            flag = (prefix or "generator_")[:-1]
            raise ValueError(
                f"--{option.name} belongs to --{flag} {' or '.join(owners)}, but --{flag} is {name}: "
                f"leave it out or choose --{flag} {owners[0]}"
            )
        arguments[key] = value
    return arguments
