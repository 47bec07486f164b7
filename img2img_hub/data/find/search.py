"""The images of a folder in an order that is the same everywhere, and what is left out of it: one line, always.

    from pathlib import Path
    from img2img_hub.data.find.search import images_below

    images, left_out = images_below(Path("photos"))
    print(left_out.describe("photos"))

Folders of runs, of models and of translations hold images that are no data: sample sheets, examples, outputs.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from img2img_hub.images.formats import IMAGE_EXTENSIONS

MARK = ".img2img_hub-output"
"""The file that `translate` puts into an output folder among its inputs: what is in there is no input, and no data."""

OUTPUT = "folder of outputs (of a run, a model or a translation)"
"""What `is_output` knows, in words."""

_NAMED = 3  # of each kind
_KINDS = 8  # in one line
_RUN_KEYS = {"family", "objective"}  # of run.json; another program's of that name has others


class LeftOut:
    """How many of what, and the first names."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def add(self, what: str, name: str) -> None:
        self._counts[what] = self._counts.get(what, 0) + 1
        names = self._names.setdefault(what, [])
        if len(names) < _NAMED:
            names.append(name)

    def add_file(self, path: Path) -> None:
        """One that is no image by its name."""
        if not path.exists():
            what = "link to nothing"
        elif not path.is_file():
            what = "pipe or device"
        else:
            what = f"{path.suffix.lower()} file" if path.suffix else "file without an ending"
        self.add(what, path.name)

    @property
    def kinds(self) -> list[str]:
        return sorted(self._counts)

    def describe(self, where: str) -> str:
        """ "photos: left out 2 .gif files (a.gif, b.gif) and 1 linked folder (old)"; "" where nothing was."""
        parts = []
        for what in self.kinds:
            count, names = self._counts[what], self._names[what]
            plural = re.sub("(file|folder|link|pipe|device)\\b", r"\1s", what) if count > 1 else what
            more = ", …" if count > len(names) else ""
            parts.append(f"{count} {plural} ({', '.join(names)}{more})")
        if not parts:
            return ""
        if len(parts) > _KINDS:
            others = sum(self._counts[what] for what in self.kinds[_KINDS:])
            parts = [*parts[:_KINDS], f"{others} files of {len(parts) - _KINDS} more kinds"]
        return f"{where}: left out {', '.join(parts[:-1])}{' and ' if parts[1:] else ''}{parts[-1]}"


def images_below(folder: Path) -> tuple[list[Path], LeftOut]:
    """The images in a folder and its subfolders, 2.jpg before 10.jpg, and what is there besides.

    A link to a folder is not followed; a link to nothing with an image's name stays in, for whoever reads it to be
    told. A folder that may not be looked into is left out.
    """
    images: list[Path] = []
    left_out = LeftOut()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except PermissionError:
            left_out.add("locked folder", here.name)
            continue
        if here != folder and is_output(here):
            left_out.add(OUTPUT, here.relative_to(folder).as_posix())
            continue
        for entry in entries:
            path = here / entry.name
            if is_hidden(entry.name):
                left_out.add("hidden file or folder", entry.name)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif entry.is_dir():
                left_out.add("linked folder", entry.name)
            elif path.suffix.lower() in IMAGE_EXTENSIONS:
                images.append(path)
            else:
                left_out.add_file(path)
    return sorted(images, key=lambda path: natural_key(path.relative_to(folder).as_posix())), left_out


def natural_key(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key that puts "2" before "10", and is the same on every file system and in every locale."""
    pieces = re.split(r"([0-9]+)", text)
    key = [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece.lower()) for piece in pieces if piece]
    return key, text  # the text itself decides between "01" and "1", "a" and "A"


def is_hidden(name: str) -> bool:
    """What systems and programs leave behind: .DS_Store, ._1.jpg, .git, __MACOSX."""
    return name.startswith((".", "__MACOSX"))


def is_output(folder: Path) -> bool:
    """Whether a folder holds a run, a model or a translation of the images around it."""
    return os.path.isfile(folder / MARK) or is_model(folder) or is_run(folder)


def is_model(folder: Path) -> bool:
    return os.path.isfile(folder / "translation.json") and os.path.isfile(folder / "config.json")


def is_run(folder: Path) -> bool:
    try:
        found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.keys() >= _RUN_KEYS
