"""What opened data are, so that other data are noticed: names and sizes of the images, and the beginnings of some.

    python -c "
    from img2img_hub.data.find.identity import identity_of
    from img2img_hub.data.find.sources import DataConfig, open_data
    print(identity_of(open_data(DataConfig(dataset='facades', side_by_side=True), paired=True, split='train')))"

Nothing in it depends on where the data lie or when they were written: a copy on another mount is the same. Nothing is
decoded, and of all but a few images no byte is read.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from img2img_hub.data.find.columns import ColumnImages
from img2img_hub.data.find.config import DataConfig
from img2img_hub.data.find.tables import TableSet
from img2img_hub.data.samples.opened import ImageData
from img2img_hub.data.samples.reading import FileImages, Half, Images
from img2img_hub.data.samples.stack import Stack, lists_of
from img2img_hub.data.stream.streaming import StreamedData

_BEGINNINGS = 16  # images a side, spread evenly, of which the first bytes are compared, too
_BYTES = 2**16

Identity = dict[str, Any]
"""{"source": {"images": ["NAME BYTES", …], "beginnings": {name: hash}}, "target": …}, and of a stream "stream"."""


def identity_of(data: ImageData | StreamedData) -> Identity:
    """What tells these data from others. Of a stream only its length, its parts and its first images are known."""
    if isinstance(data, StreamedData):
        known = {"stream": {"samples": data.num_samples, "shards": data.shards}}
        return known if data.first is None else known | identity_of(data.first)
    found: Identity = {}
    for name, side in data.sides.items():
        images = side.images
        if isinstance(images, Stack):
            for slot in images.slots:
                part = images.parts[slot.name]
                of_part = _side(part.both.images if isinstance(part, Half) else part, side.rows)
                found[name if slot.name == name else f"{name} {slot.name}"] = of_part
                if slot.palette:  # its file may have changed
                    of_part["palette"] = [*slot.palette]
            continue
        if not (isinstance(images, Half) and found):  # the other half is of the same files
            found[name] = _side(images.both.images if isinstance(images, Half) else images, side.rows)
    return found


def difference(before: Identity, now: Identity, *, of: str) -> str | None:
    """How the data differ, in words, None where they do not. `of`: what they are for, such as "training"."""
    stream = [each.get("stream") for each in (before, now)]
    if stream[0] != stream[1]:
        return f"{of} reads {_stream(stream[1])} where it read {_stream(stream[0])}"
    for side in sorted((before.keys() | now.keys()) - {"stream"}):
        old, new = before.get(side, {}), now.get(side, {})
        if stream[0] is not None:  # how many of the first images can be read at once may differ
            old, new = _in_both(old, new), _in_both(new, old)
        if old != new:
            return _difference(old, new, of=f"{of} {side}s")
    return None


def _in_both(own: Identity, other: Identity) -> Identity:
    if not (own and other):
        return {}
    beginnings = {name: value for name, value in own["beginnings"].items() if name in other["beginnings"]}
    return {"images": own["images"][: len(other["images"])], "beginnings": beginnings}


def folders_read(config: DataConfig, *opened: ImageData | StreamedData | None) -> list[Path]:
    """The local folders of which every image is read, however deep it lies."""
    named = [Path(name).expanduser() for name in (config.dataset, config.target_dataset) if name]
    folders = {path for path in named if path.is_dir() and TableSet.is_table(path)}
    for data in opened:
        for side in () if data is None or isinstance(data, StreamedData) else data.sides.values():
            files = [images for images in lists_of(side.images) if isinstance(images, FileImages)]
            folders |= {images.root for images in files if not images.listed}
    return sorted(folders)


def _side(images: Images, rows: np.ndarray) -> Identity:
    if isinstance(images, FileImages):
        paths = [Path(images.where(row)) for row in rows.tolist()]
        # macOS and Linux spell accents in two ways; a copy from one to the other is no other data set.
        names = [unicodedata.normalize("NFC", path.relative_to(images.root).as_posix()) for path in paths]
        sizes = [_size(path) for path in paths]
        contents: Any = lambda index: _beginning(paths[index])  # noqa: E731
    elif isinstance(images, ColumnImages):
        names = [f"row {images.name(row)}" for row in rows.tolist()]
        sizes, contents = _of_column(images, rows)
    else:
        raise TypeError(f"{type(images).__name__} has no place in {__name__}: say what tells two of them apart")
    some = np.unique(np.linspace(0, len(names) - 1, _BEGINNINGS).round().astype(int)).tolist() if names else []
    return {
        "images": [f"{name} {size}" for name, size in zip(names, sizes, strict=True)],
        "beginnings": {names[index]: hashlib.sha256(contents(index)).hexdigest()[:20] for index in some},
    }


def _of_column(images: ColumnImages, rows: np.ndarray) -> tuple[list[int], Any]:
    import pyarrow.compute as compute

    values = images._dataset.with_format("arrow")[:].column(images._column)
    places = images._rows[rows]
    inside = compute.struct_field(values, "bytes")  # where it lies: only lengths are copied
    lengths = compute.fill_null(compute.binary_length(inside), -1).to_numpy()[places].tolist()
    paths = compute.struct_field(values, "path").take(places).to_pylist()
    sizes = [_size(Path(path or "")) if size < 0 else size for size, path in zip(lengths, paths, strict=True)]

    def contents(index: int) -> bytes:
        if lengths[index] < 0:
            return _beginning(Path(paths[index] or ""))
        return inside[int(places[index])].as_py()[:_BYTES]

    return sizes, contents


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # whoever reads it will be told
        return 0


def _beginning(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would never end
            return b""
        with path.open("rb") as file:
            return file.read(_BYTES)
    except OSError:
        return b""


def _difference(before: Identity, now: Identity, *, of: str) -> str:
    old, new = before.get("images", []), now.get("images", [])
    parts = [f"{len(new)} {of} where there were {len(old)}" if len(new) != len(old) else f"other {of}"]
    sizes = [dict(line.rpartition(" ")[::2] for line in lines) for lines in (old, new)]
    for word, here, there in (("missing", sizes[0], sizes[1]), ("new", sizes[1], sizes[0])):
        parts += _first(word, [name for name in here if name not in there])
    both = [name for name in sizes[0] if name in sizes[1]]
    parts += _first("of another size", [name for name in both if sizes[0][name] != sizes[1][name]])
    if before.get("palette") != now.get("palette"):
        parts.append("another palette")
    elif len(parts) == 1 and old != new:
        parts.append("the same ones in another order")
    elif len(parts) == 1:
        begins = [each.get("beginnings", {}) for each in (before, now)]
        parts += _first(
            "of the same size with other contents", [n for n in begins[0] if begins[0][n] != begins[1].get(n)]
        )
    return ", ".join(parts)


def _first(word: str, names: Iterable[str]) -> list[str]:
    names = list(names)
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return [f"{word}: {names[0]}{more}"] if names else []


def _stream(stream: dict[str, Any] | None) -> str:
    if stream is None:
        return "no stream"
    count = "a stream of unknown length" if stream["samples"] is None else f"a stream of {stream['samples']} samples"
    return f"{count} in {stream['shards']} parts"
