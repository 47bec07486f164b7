"""data.json: what images a run began with, so that --resume notices others.

python -m json.tool OUTPUT_DIR/data.json | head
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from img2img_hub.data.find.config import DataConfig
from img2img_hub.data.find.identity import difference, folders_read, identity_of
from img2img_hub.data.find.sources import ImageData, StreamedData
from img2img_hub.files import write_text

DATA_RECORD = "data.json"


class DataRecord:
    """The images of a run, found once by the main process."""

    def __init__(self, root: Path, train_data: ImageData | StreamedData, validation_data: ImageData | None) -> None:
        self.root = root
        validation = {} if validation_data is None else identity_of(validation_data)
        self.images = {"training": identity_of(train_data), "validation": validation}

    def compare(self, checkpoint: Path) -> list[str]:
        """A line for the log where a run of a former version goes on.

        Raises:
            ValueError: the images are not those that the run began with.
        """
        before = self._before()
        if before is None:
            return [
                f"{self.root} holds no record of the images that the run began with, so that others would not be "
                "noticed; it has one from here on."
            ]
        mended = self._broken()
        before = {part: _with_mended(known, self.images[part], names=mended) for part, known in before.items()}
        found = [difference(before[part], now, of=part) for part, now in self.images.items()]
        if different := "; ".join(filter(None, found)):
            raise ValueError(
                f"--resume: the images are not those that the run in {self.root} began with ({different}). Give the "
                f"same again, or start a new run in another folder with --init_from {checkpoint}; to go on with these "
                f"all the same, in an order that is another one, delete {self.root / DATA_RECORD} first"
            )
        return []

    def write(self) -> None:
        if self._before() != self.images:
            self._write(self._broken())

    def note_broken(self, errors: Sequence[str]) -> None:
        """Images ended the run: the one that goes on may have mended ones in their place."""
        names = {name for sides in self.images.values() for side in sides.values() for name, _ in _sizes(side)}
        said = " ".join(unicodedata.normalize("NFC", error).replace("\\", "/") for error in errors)
        named = {name for name in names if re.search(rf"(?:^|[/\s(]){re.escape(name)}(?=[\s:,;)]|$)", said)}
        self._write(self._broken() | named)

    def _write(self, broken: set[str]) -> None:
        known = self.images | ({"broken": sorted(broken)} if broken else {})
        write_text(self.root / DATA_RECORD, json.dumps(known, indent=0) + "\n")

    def _broken(self) -> set[str]:
        try:
            return set(json.loads((self.root / DATA_RECORD).read_text(encoding="utf-8")).get("broken", []))
        except (OSError, ValueError, TypeError, AttributeError):
            return set()

    def _before(self) -> dict[str, Any] | None:
        try:
            before = json.loads((self.root / DATA_RECORD).read_text(encoding="utf-8"))
            return {part: dict(before[part]) for part in self.images}
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _sizes(side: Any) -> list[tuple[str, str]]:
    """(name, size) of what `identity_of` says of one side."""
    lines = side.get("images", []) if isinstance(side, dict) else []
    return [(name, size) for name, _, size in (line.rpartition(" ") for line in lines)]


def _with_mended(before: dict[str, Any], now: dict[str, Any], *, names: set[str]) -> dict[str, Any]:
    """What was known of the images, but of these as they are now."""
    known: dict[str, Any] = {}
    for key, side in before.items():
        new = dict(_sizes(now.get(key)))
        known[key] = side
        if isinstance(side, dict) and "images" in side:
            images = [f"{name} {new.get(name, size) if name in names else size}" for name, size in _sizes(side)]
            begun = now.get(key, {}).get("beginnings", {})
            changed = {
                name: begun.get(name, said) if name in names else said for name, said in side["beginnings"].items()
            }
            known[key] = side | {"images": images, "beginnings": changed}
    return known


def refuse_among_the_images(output: Path, data: DataConfig, *opened: ImageData | StreamedData | None) -> None:
    """Raises ValueError where what a run draws would be read as data by the next one."""
    here = output.resolve()
    for folder in folders_read(data, *opened):
        if folder.resolve() in (here, *here.parents):
            raise ValueError(
                f"--output_dir {output} lies in {folder}, of which every image is training data, so that the run's own "
                "pictures would be among them: name a folder outside (a run that is there already can be moved out)"
            )
