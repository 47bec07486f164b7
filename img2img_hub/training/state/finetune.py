"""--init_from: start a run on the weights of finished generators and of the discriminators that stand beside them, or
on those of a checkpoint.

accelerate launch train_accelerate.py pix2pix --init_from user/facades-label2photo …
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from img2img_hub.data.find.sources import ImageData, StreamedData
from img2img_hub.errors import listing, one_line
from img2img_hub.families import Family
from img2img_hub.hub.privacy import ORIGIN, Origin, origin_of
from img2img_hub.images.slots import Slot
from img2img_hub.images.values import BandValues
from img2img_hub.networks import Network
from img2img_hub.networks.fetch import commit_of, fetch
from img2img_hub.training.run.same_settings import read_settings
from img2img_hub.training.state.start_networks import Found, is_official, place_of
from img2img_hub.translation.checkpoint import STATE_FILE
from img2img_hub.translation.settings import SETTINGS_FILE, TranslationSettings


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a fine-tuning begins with."""

    said: list[str] = field(default_factory=list)  # lines for the log
    missing: tuple[str, ...] = ()  # judges that have to start afresh


def origin_of_start(where: str, *, family: Family) -> Origin:
    """What of the weights at `where` came from the Hub: their repos, or what a local run says that it was made of."""
    path = Path(where)
    if is_official(where):
        return {"datasets": [], "models": []}
    if not path.is_dir():
        return {"datasets": [], "models": [f"{where}-{folder}" if folder else where for folder in family.published]}
    if (settings := read_settings(path / "run.json")) and ORIGIN in settings:
        return settings[ORIGIN]
    return origin_of(path / family.directions[0].folder)  # the other direction was made of the same


def initialise_from(
    networks: dict[str, nn.Module],
    *,
    family: Family,
    where: str,
    found: Mapping[str, Found | None],
    data: ImageData | StreamedData,
) -> Start:
    """Load what `where` (an output folder, a generator's folder, a Hub id, a .pth or a checkpoint) holds; the new run's
    `data` need not have the former values and classes.

    Args:
        found: of `find_networks`; of a checkpoint {}.

    Raises:
        ValueError: one of them is of another architecture.
    """
    if is_checkpoint(where):
        return _from_checkpoint(networks, Path(where))
    said, missing = [], []
    for name, start in found.items():
        if start is not None:
            said.append(_take_up(networks[name], start.network, name=name, where=start.where))
        elif name in networks:
            said.append(f"{name} starts afresh: {where} has {'none' if is_official(where) else f'no training/{name}'}.")
            missing += [name] if any(name in direction.judges for direction in family.directions) else []
    place = where if is_official(where) else place_of(where, family.directions[0].folder)
    return Start(said=[*said, *_other_data(place, data)], missing=tuple(missing))  # the other direction has the same


def is_checkpoint(where: str) -> bool:
    """Whether it is one of a run's own, checkpoints/step-N."""
    return Path(where, STATE_FILE).exists()


def _from_checkpoint(networks: dict[str, nn.Module], checkpoint: Path) -> Start:
    """All networks as they were trained there: not their averages, which the discriminators have never judged."""
    for name, network in networks.items():
        try:
            network.load_state_dict(load_file(checkpoint / f"{name}.safetensors"))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise ValueError(
                f"--init_from {checkpoint}: its {name} is not this run's ({one_line(error, most=300)}): give the "
                f"flags of that run's networks, which stand in {checkpoint / 'run.json'}"
            ) from None
    return Start(said=[f"All networks start from {checkpoint}; their optimizers start afresh."])


def _other_data(place: str, data: ImageData | StreamedData) -> list[str]:
    """A line for each side of which the network's -1 and 1 are other values than where it was trained, and for each
    label map of other classes."""
    try:
        if is_official(place):
            raise FileNotFoundError(place)
        file = fetch(place, SETTINGS_FILE, revision=commit_of(fetch(place, "config.json")))
        before = TranslationSettings.from_dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, FileNotFoundError):
        lost = f"Which value ranges {place} was trained with is not known: it has no {SETTINGS_FILE} that can be read."
        return [] if data.values == (None, None) else [lost]
    lines = []
    owns = (before.source_values, before.target_values)
    for side, own, new in zip(("source", "target"), owns, data.values, strict=True):
        if _ends(own) != _ends(new):
            ranges = [each.describe() if each else "8-bit pictures: 0 … 255" for each in (own, new)]
            lines.append(
                f"Value ranges of the {side}s differ: {place} was trained with {ranges[0]}; this run trains with "
                f"{ranges[1]}, which the networks have to get used to. --{side}_range sets one for all bands."
            )
        elif side == "source":
            for was, now in zip(_maps_in(before.inputs), _maps_in(data.about.inputs), strict=True):
                lines += _other_classes(place, was, now, of="the sources" if len(data.about.inputs) == 1 else now.name)
        else:
            lines += _other_classes(place, before.output, data.about.output, of="the targets")
    return lines


def _ends(values: BandValues | None) -> Any:
    """What is seen of each band, be it values from -1 to 1, classes or edges; None of pictures."""
    if values is None or values.is_picture:
        return None
    return values.low, values.high, [number > 0 for number in values.classes], values.edges


def _maps_in(inputs: Sequence[Slot]) -> list[Slot]:
    return [slot for slot in inputs if slot.kind == "labels"]


def _other_classes(place: str, was: Slot | None, now: Slot | None, *, of: str) -> list[str]:
    """A line where the classes of a label map are others than before, as far as both are known; None is a picture, as
    targets may be."""
    kinds = [_kind(was), _kind(now)]
    said = [] if kinds[0] == kinds[1] else [f"{kinds[0]} became {kinds[1]}"]
    before, after = was or Slot(name="target"), now or Slot(name="target")
    renamed = _changes(before.class_names, after.class_names)
    recoloured = _changes(before.palette[: before.classes], after.palette[: after.classes])
    flag, means = "--palette", "networks know a class by its number alone, and have to get used to this"
    if before.in_colours or after.in_colours:
        flag, means = "--target_palette", "networks make a class by its colour, and have to get used to this"
        said += recoloured or renamed
    else:
        if not said and not renamed and before.class_names and after.class_names:
            means = "networks know a class by its number alone, and do not mind; maps in the former colours are refused"
        said += renamed or recoloured
    if not said:
        return []
    cure = "" if now is None else f" The file of {flag} numbers them."
    return [
        f"Classes of {of} differ from those that {place} was trained with: {listing(said, limit=3)}; {means}.{cure}"
    ]


def _kind(slot: Slot | None) -> str:
    if slot is None:
        return "pictures"
    return f"{slot.classes} classes" + (" and a channel of what is of none" if slot.unknown_channel else "")


def _changes(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """What classes, by their numbers, were and are."""
    pairs = enumerate(zip(before, after, strict=False))
    return [f"class {number} was {was} and is {now}" for number, (was, now) in pairs if was != now]


def _take_up(network: nn.Module, loaded: Network, *, name: str, where: str) -> str:
    """Take up the weights, and say so in a line for the log."""
    assert isinstance(network, Network)
    if network.config == loaded.config:
        network.load_state_dict(loaded.state_dict())
        network.forget()
        return f"{name} starts from {where}; its optimizer starts afresh."
    if (taken := network.take_over(loaded)) is not None:
        return f"{name} starts from {where} with {taken}."
    different = sorted(
        f"{key}: {loaded.config.get(key)} -> {network.config.get(key)}"
        for key in loaded.config.keys() | network.config.keys()
        if loaded.config.get(key) != network.config.get(key)
    )
    raise ValueError(
        f"--init_from {where}: its network differs from this run's ({'; '.join(different)}): "
        "give the flags that make them equal"
    )
