"""What --init_from finds: the networks of a folder, a Hub repo or a checkpoint of the original code; and how a run gets
the shape of theirs where nobody says another one.

    from img2img_hub.training.state.start_networks import find_networks

    found = find_networks("runs/facades", family=Pix2Pix())
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from torch import nn

from img2img_hub.families import Family
from img2img_hub.families.options import PREFIX
from img2img_hub.networks import DISCRIMINATORS, GENERATORS, Generator, Network
from img2img_hub.networks.fetch import commit_of, fetch
from img2img_hub.training.state.checkpoints import describe_last

OFFICIAL = (".pth", ".pt")
_LETTERS = {  # of the original codes' files, PREFIX_net_LETTER.pth
    "generator": "G",
    "discriminator": "D",
    "heads": "F",
    "encoder": "E",
    "style_encoder": "E",
    "source2target": "G_A",
    "target2source": "G_B",
    "discriminator_target": "D_A",
    "discriminator_source": "D_B",
}


@dataclass(frozen=True, kw_only=True)
class Found:
    """A network to start from."""

    network: Network
    where: str


def is_official(where: str) -> bool:
    """Whether it is a file of the original codes."""
    return where.endswith(OFFICIAL) and Path(where).is_file()


def find_networks(where: str, *, family: Family, architecture: Any) -> dict[str, Found | None]:
    """By name each generator of the family, and what is to stand beside it; None for what is not there.

    Raises:
        ValueError: a generator is not there, or cannot be read.
    """
    if where.endswith(OFFICIAL):
        return _official(Path(where), family=family, architecture=architecture)
    found: dict[str, Found | None] = {}
    for direction in family.directions:
        place = place_of(where, direction.folder)
        found[direction.generator] = Found(network=Network.from_pretrained(place), where=place)
        for other in direction.beside:
            beside = _place_beside(place, other)
            loaded = None if beside is None else Network.from_pretrained(beside)
            found[other] = None if loaded is None else Found(network=loaded, where=str(beside))
    return found


def place_of(where: str, folder: str) -> str:
    """A local OUTPUT_DIR has one folder a generator; on the Hub they are repos with that ending."""
    if Path(where, "run.json").exists() and not Path(where, "finished.json").exists():
        last = describe_last(Path(where) / "checkpoints")
        raise ValueError(f"--init_from {where}: that run is not finished; {last}: name that, or --resume the run first")
    if not folder:
        return where
    if not Path(where).is_dir():
        return f"{where}-{folder}"
    if not Path(where, folder).is_dir():
        raise ValueError(f"--init_from {where} holds no {folder}: name the output folder of a run, which has it inside")
    return str(Path(where) / folder)


def _place_beside(place: str, name: str) -> Path | None:
    files = []
    commit = commit_of(fetch(place, "config.json"))  # the generator's: a push in between must not give a mixture
    for file in ("config.json", "model.safetensors"):
        try:
            files.append(fetch(place, f"training/{name}/{file}", revision=commit))
        except ValueError:
            return None
    return files[0].parent


def _official(file: Path, *, family: Family, architecture: Any) -> dict[str, Found | None]:
    """What a .pth holds, and what the original code has saved beside it."""
    from img2img_hub.official.file import read_official

    if not file.is_file():
        raise ValueError(f"--init_from {file}: there is no such file: check the path, or name a folder or a Hub id")
    names = [name for direction in family.directions for name in (direction.generator, *direction.beside)]
    generators = [direction.generator for direction in family.directions]
    parted = re.fullmatch(r"(.*_net_)G(_[AB])?(\.\w+)", file.name)
    found: dict[str, Found | None] = {}
    for name in names:
        place: Path | None = file if name == generators[0] else None
        if parted is not None and name in _LETTERS:
            before, own, ending = parted.groups()
            letter = _LETTERS[name] if len(generators) > 1 else f"{_LETTERS[name]}{own or ''}"
            place = file.with_name(f"{before}{letter}{ending}")
        if place is None or not place.is_file():
            if name in generators:
                lack = "no such file" if place is None else f"no {place.name}"
                raise ValueError(
                    f"--init_from {file}: {family.title} needs its {name}, too, and there is {lack} beside it: name a "
                    "file such as latest_net_G_A.pth that has latest_net_G_B.pth beside it"
                )
            found[name] = None
            continue
        said = {"dropout": architecture.dropout, "depth": architecture.depth} if name in generators else {}
        network = read_official(place, **said).network
        if (name in generators) != isinstance(network, Generator):
            raise ValueError(f"--init_from {place} is a {type(network).__name__}, and {name} is wanted: name a net_G")
        found[name] = Found(network=network, where=str(place))
    return found


# --- the shape of a run's networks ------------------------------------------------------------------------------------


def as_found(
    family: Family, architecture: Any, *, networks: Mapping[str, nn.Module], found: Mapping[str, Found | None]
) -> tuple[Family, Any]:
    """The family and the architecture with what those of the found networks are, as far as nobody says otherwise.

    A kind of network counts as said where it is not the family's default.

    Args:
        networks: as they are without; those that fit, or can take over the found ones, change nothing. {} where none
            could be built.
    """
    kinds: dict[str, str] = {}
    shape: dict[str, Any] = {}
    options = {item.name for item in fields(architecture)}
    for name, start in found.items():
        network = networks.get(name)
        if start is None or (isinstance(network, Network) and network.config == start.network.config):
            continue
        side = "generator" if isinstance(start.network, Generator) else "discriminator"
        known = GENERATORS if side == "generator" else DISCRIMINATORS
        short = next((key for key, kind in known.items() if kind is type(start.network)), None)
        if short is None or (isinstance(network, Network) and network.take_over(start.network) is not None):
            continue
        if getattr(family, side, short) != short:
            if not _may_become(short, family=family, side=side):
                continue
            kinds[side] = short
        prefix = PREFIX if side == "discriminator" else ""
        for key, value in start.network.config.items():
            option = prefix + key
            if option in options and getattr(architecture, option) is None:
                shape.setdefault(option, value)
    return replace(family, **kinds), replace(architecture, **shape)


def as_recorded(family: Family, architecture: Any, *, settings: Mapping[str, Any]) -> tuple[Family, Any]:
    """Likewise with what run.json says of a run."""
    kinds = {}
    if settings["family"] != family.name:
        return family, architecture
    for side in ("generator", "discriminator"):
        short = settings["objective"].get(side)
        if short is not None and getattr(family, side, short) != short and _may_become(short, family=family, side=side):
            kinds[side] = short
    recorded = settings["architecture"]
    unsaid = [item.name for item in fields(architecture) if getattr(architecture, item.name) is None]
    return replace(family, **kinds), replace(architecture, **{key: recorded.get(key) for key in unsaid})


def _may_become(short: str, *, family: Family, side: str) -> bool:
    """Whether that kind of network can stand on a side of the family about which nobody has said anything."""
    default = {item.name: item.default for item in fields(family)}[side]
    allowed = get_args(get_type_hints(type(family)).get(side))
    return getattr(family, side) == default and (not allowed or short in allowed)


def in_words(before: tuple[Family, Any], after: tuple[Family, Any]) -> str:
    """What became other, such as "--generator resnet --width 32"; "" for nothing."""
    return " ".join(
        f"--{item.name} {getattr(new, item.name)}"
        for old, new in zip(before, after, strict=True)
        for item in fields(new)
        if getattr(old, item.name) != getattr(new, item.name)
    )
