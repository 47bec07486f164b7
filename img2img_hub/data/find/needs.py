"""What a method reads, by its slots, as columns or subfolders of a data set: what it declares, and what the user says.

from img2img_hub.data.find.needs import Needs
from img2img_hub.data.find.config import DataConfig

print(Needs.of(DataConfig(dataset="street", labels=("12",)), slots=()).sources)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from img2img_hub.data.find.config import DataConfig, DataError
from img2img_hub.images.slots import Slot

SOURCE, TARGET = Slot(name="source"), Slot(name="target")
PICTURES = (SOURCE, TARGET)
"""What most methods read: one image, and one to make of it, both as the files are."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Where each slot's images are, and what is known of them before any is looked at."""

    config: DataConfig
    """The user's, with the columns that the method names."""
    sources: dict[str, Slot]
    """{column, or "source" for the only one: what it is} of the sources of which that is said."""
    target: Slot
    extras: dict[str, Slot]
    """{column: what it is} of what training alone reads."""

    @classmethod
    def of(cls, config: DataConfig, *, slots: Sequence[Slot]) -> Needs:
        """Raises DataError where the user says something of no source, or too little."""
        slots = slots or PICTURES
        target = next((slot for slot in slots if slot.name == "target"), TARGET)
        extras = {config.column_of(slot.name): slot for slot in slots if slot.training_only}
        inputs = [slot for slot in slots if slot.name != "target" and not slot.training_only]
        if unknown := sorted({text.split("=")[0] for text in config.columns} - {slot.name for slot in slots}):
            names = ", ".join(slot.name for slot in slots)
            raise DataError(f"--columns names {unknown[0]}, which this method does not read: it reads {names}")
        if config.corrupt and (extras or target.scale != 1 or inputs != [SOURCE]):
            raise DataError("--corrupt makes sources of targets, which this method does not take: leave it out")
        if inputs != [SOURCE]:
            config, sources = _declared(config, inputs)
        else:
            sources = {}
        known, kinds = set(config.sources) or {"source", *filter(None, [config.source_name])}, _said(config)
        if foreign := sorted(set(kinds) - known - set(extras)):
            raise DataError(
                f"--labels or --masks say what {foreign[0]} is, which is none of the sources "
                f"({', '.join(sorted(known))}): name one of these"
            )
        said = {name: slot for name, slot in kinds.items() if name not in extras}
        by_column = {name if config.sources else "source": slot for name, slot in said.items()}
        if len(by_column) < len(said):
            raise DataError(f"--labels and --masks say twice what {' and '.join(said)} is: say it once")
        for column, slot in by_column.items():
            sources[column] = replace(slot, name=sources[column].name if column in sources else slot.name)
        for column, slot in kinds.items():
            if column in extras:
                extra = extras[column]
                extras[column] = replace(slot, name=extra.name, scale=extra.scale, training_only=True)
        for slot in (*sources.values(), *extras.values()):
            if slot.kind == "labels" and not slot.classes:
                how = f"--labels {slot.name}=NUMBER" if config.sources or slot.training_only else "--labels NUMBER"
                raise DataError(
                    f"{slot.name} holds class numbers, and how many classes there are nobody said: type {how}"
                )
        return cls(config=config, sources=sources, target=target, extras=extras)


def _said(config: DataConfig) -> dict[str, Slot]:
    """What the user says of images, by column, "source" for the only source."""
    found = {}
    for text in config.labels:
        name, _, classes = text.rpartition("=")
        dtype = "uint8" if int(classes) <= 256 else "uint16"
        name = name or "source"
        found[name] = Slot(name=name, kind="labels", bands=1, dtype=dtype, classes=int(classes))
    return found | {name: Slot(name=name, kind="mask", bands=1) for name in config.masks}


def _declared(config: DataConfig, inputs: Sequence[Slot]) -> tuple[DataConfig, dict[str, Slot]]:
    """The columns of what the method reads, and what they are."""
    if len(inputs) == 1:
        (slot,) = inputs
        if config.source_column is None and slot.name != "source":
            target = config.target_column or config.column_of("target")
            config = replace(config, source_column=config.column_of(slot.name), target_column=target)
        return config, {} if slot.kind is None and slot.name == "source" else {"source": slot}
    called = tuple(config.column_of(slot.name) for slot in inputs)
    names = config.sources or called
    if set(names) == set(called):  # in whatever order they were typed
        names = called
    if len(names) != len(inputs):
        wanted = " ".join(slot.name for slot in inputs)
        raise DataError(f"--source_column names {len(names)} images, and this method reads {wanted}: name each")
    target = config.target_column or config.column_of("target")
    config = replace(config, source_column=names, target_column=target)
    return config, dict(zip(names, inputs, strict=True))
