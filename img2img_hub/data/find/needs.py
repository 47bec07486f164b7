"""What a method reads, by its slots, as columns or subfolders of a data set: what it declares, and what the user says.

from img2img_hub.data.find.needs import Needs
from img2img_hub.data.find.config import DataConfig

print(Needs.of(DataConfig(dataset="street", labels=("12",)), slots=()).sources)
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from img2img_hub.data.find.config import AUTO, MAX_TARGET_CLASSES, DataConfig, DataError
from img2img_hub.data.samples.opened import About
from img2img_hub.errors import counted
from img2img_hub.images.palettes import UNLABELLED, read_palette, usual_palette
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
    holes: tuple[Slot, ...] = ()
    """What a method that fills holes reads, all of which is made of the targets; () for others."""
    auto: frozenset[str] = frozenset()
    """Keys of `sources`, and "target", of which the palette is to be read off the images."""

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
        if config.degradation is not None and target.scale == 1:
            raise DataError(
                "--degradation is of methods that enlarge, and this one makes no larger images: leave it out"
            )
        holes = tuple(inputs) if any(slot.kind == "hole" for slot in inputs) else ()
        if config.holes and not holes:
            raise DataError("--holes is of methods that fill holes, such as inpaint, and this one fills none: drop it")
        if holes:
            _check_that_targets_are_all(config)
        if inputs != [SOURCE] and not holes:
            config, sources = _declared(config, inputs)
        else:
            sources = {}
        if target.scale > 1 and config.side_by_side:
            raise DataError(
                "--side_by_side is of halves of one size, and this method enlarges: leave it out, and whole pictures "
                "are made smaller, or bring pairs of two sizes by --source_column and --target_column"
            )
        if (how := config.shrinks(target.scale)) is not None:
            config.check_that_one_set_is_named(f"--degradation {how}" + ("" if config.degradation else " (by default)"))
        known, said = set(config.sources) or {"source", *filter(None, [config.source_name])}, _said(config)
        if foreign := sorted(set(said) - known - set(extras)):
            raise DataError(
                f"--labels, --palette, --instances or --masks say what {foreign[0]} is, which is none of the sources "
                f"({', '.join(sorted(known))}): name one of these"
            )
        of_sources = [name for name in said if name not in extras]
        if not config.sources and len(of_sources) > 1:
            raise DataError(f"--labels and --masks say twice what {' and '.join(of_sources)} is: say it once")
        target, auto = _target(config, target), set()
        if target.kind == "labels" and target.classes and not target.palette and config.target_palette != AUTO:
            target = replace(target, palette=usual_palette(target.classes))
        for name in of_sources:
            column = name if config.sources else "source"
            sources[column] = _with(sources.get(column, Slot(name=name)), said[name], config)
            auto |= {column} if "auto" in said[name] and not sources[column].palette else set()
        for name in said.keys() & extras.keys():
            if "auto" in said[name]:
                raise DataError(f"--palette {name}=auto is of what training alone reads: name a file in place of auto")
            extras[name] = _with(extras[name], said[name], config)
        if config.unknown is not None or config.unknown_channel:  # of maps that the method or a model names
            maps = {column: slot for column, slot in sources.items() if slot.kind == "labels"}
            sources |= {column: _of_classes(slot, {}, config) for column, slot in maps.items()}
        auto |= {"target"} if config.target_palette == AUTO and not target.palette else set()
        _check(sources, extras, target, auto, config)
        return cls(config=config, sources=sources, target=target, extras=extras, holes=holes, auto=frozenset(auto))

    def like(self, about: About) -> Needs:
        """The same, with the palettes that were read off images, for other splits of them."""
        found = {slot.name: slot for slot in about.inputs if slot.kind == "labels"}
        sources = {column: found.get(slot.name, slot) for column, slot in self.sources.items()}
        target = self.target if about.output is None else replace(about.output, scale=self.target.scale)
        return replace(self, sources=sources, target=target, auto=frozenset())


def _check_that_targets_are_all(config: DataConfig) -> None:
    """Refuse what is said of sources, or of targets that are no images, where holes are drawn. Raises DataError."""
    by = f"--holes {' '.join(config.holes)}" if config.holes else "this method, which draws holes into pictures,"
    config.check_that_one_set_is_named(by, rasters=True)
    if _said(config) or config.maps_targets:
        raise DataError(f"{by} fills pictures or rasters, so --labels, --palette, --instances and --masks have no use")


def _said(config: DataConfig) -> dict[str, dict[str, Any]]:
    """What the user says of images, by column, "source" for the only source, as settings of their slots; "auto" where
    the palette is to be read off them."""
    found: dict[str, dict[str, Any]] = {}
    for text in config.labels:
        name, _, classes = text.rpartition("=")
        found[name or "source"] = {"kind": "labels", "classes": int(classes)}
    for name, file in config.palettes.items():
        known = found.setdefault(name, {"kind": "labels", "classes": 0})
        known |= {"auto": True} if file == AUTO else _of_file(file, classes=known["classes"], unknown=config.unknown)
    found |= {name: {"kind": "instances", "dtype": "int32"} for name in config.instances}
    return found | {name: {"kind": "mask", "dtype": "uint8"} for name in config.masks}


def _of_file(file: str, *, classes: int, unknown: int | None) -> dict[str, Any]:
    """What a palette's file says. Raises DataError."""
    try:
        names, colours = read_palette(file)
    except ValueError as error:
        raise DataError(str(error)) from None
    count = len(colours)
    classes = classes or (count - 1 if count > 1 and unknown == count - 1 else count)
    if count not in (classes, classes + 1):
        raise DataError(
            f"palette {file} has {counted(count, 'colour')}, and --labels says {counted(classes, 'class', 'classes')}: "
            "a colour for each is needed, and perhaps one more of what is of no class"
        )
    return {"classes": classes, "palette": colours, "class_names": names[:classes]}


def _with(slot: Slot, said: Mapping[str, Any], config: DataConfig) -> Slot:
    """A slot with what the user says of it."""
    known = {key: value for key, value in said.items() if key != "auto"}
    if said["kind"] != "labels":
        return replace(_bare(slot), bands=1, **known)
    if slot.kind == "labels" and not known["classes"]:  # of a model, whose palette this is
        known = {key: value for key, value in known.items() if key != "classes"}
    elif slot.kind != "labels" or slot.classes != known["classes"]:
        slot = _bare(slot)
    return _of_classes(slot, known, config)


def _of_classes(slot: Slot, known: Mapping[str, Any], config: DataConfig) -> Slot:
    settings: dict[str, Any] = {"kind": "labels", "bands": 1, **known}
    settings |= {} if config.unknown is None else {"unknown": config.unknown}
    settings |= {"unknown_channel": True} if config.unknown_channel and slot.name != "target" else {}
    settings["dtype"] = "uint8" if settings.get("classes", slot.classes) <= UNLABELLED else "uint16"
    return replace(slot, **settings)


def _bare(slot: Slot) -> Slot:
    return Slot(name=slot.name, scale=slot.scale, training_only=slot.training_only)


def _target(config: DataConfig, target: Slot) -> Slot:
    """The targets, as the method and the user say."""
    if not config.maps_targets:
        return target
    if target.kind == "raster" or (target.kind == "picture" and target.bands == 1):
        raise DataError("--target_labels makes pictures in colours of the targets, which this method does not make")
    known: dict[str, Any] = {"classes": config.target_labels or 0}
    if config.target_palette not in (None, AUTO):
        known = _of_file(str(config.target_palette), classes=known["classes"], unknown=config.unknown)
    if target.kind == "labels" and target.palette and config.target_palette in (None, AUTO):  # of a model
        return target if known["classes"] in (0, target.classes) else _of_classes(_bare(target), known, config)
    return _of_classes(_bare(target), known, config)


def check_made(target: Slot) -> None:
    """Refuse more classes than an image with a palette holds. Raises DataError."""
    if target.kind == "labels" and target.classes > MAX_TARGET_CLASSES:
        raise DataError(f"targets of {target.classes} classes, and at most {MAX_TARGET_CLASSES} can be made: join some")


def _check(
    sources: Mapping[str, Slot], extras: Mapping[str, Slot], target: Slot, auto: Container[str], config: DataConfig
) -> None:
    """Refuse what is not said enough of. Raises DataError."""
    for column, slot in [*sources.items(), *extras.items(), ("target", target)]:
        if slot.kind == "labels" and not slot.classes and column not in auto:
            flag = "target_labels" if slot is target else "labels"
            how = f"--{flag} NUMBER"
            if slot is not target and (config.sources or slot.training_only):
                how = f"--labels {slot.name}=NUMBER"
            raise DataError(
                f"{slot.name} holds class numbers, and how many classes there are nobody said: type {how}"
                + ("" if slot.training_only else f", or --{flag.replace('labels', 'palette')} for maps in colours")
            )
    check_made(target)
    instances = [slot.name for slot in sources.values() if slot.kind == "instances"]
    if len(instances) > 1:
        raise DataError(f"{' and '.join(instances)} both number instances: a source has one such map, name one")
    if instances and not any(slot.kind == "labels" for slot in sources.values()):
        raise DataError(
            f"{instances[0]} numbers instances and says nothing of their classes: name the label map beside it, by "
            "--source_column and --labels"
        )
    maps = [slot for slot in (*sources.values(), *extras.values(), target) if slot.kind == "labels"]
    if config.unknown is not None and not maps:
        raise DataError("--unknown is of label maps, and there are none: say which are by --labels or --target_labels")
    if config.unknown_channel and not any(slot.kind == "labels" for slot in sources.values()):
        raise DataError("--unknown_channel is of sources that are label maps: say which by --labels or --palette")


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
