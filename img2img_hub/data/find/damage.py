"""Images that cannot be used, found before a training rather than in its third hour.

    from img2img_hub.data.find.damage import glance

    print(glance(data))

A glance at every file takes a header, and an end where a format has one: it finds what is empty, no image, cut short.
--skip_bad reads all images, and leaves out those that cannot be used; `check-data` names them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm.auto import tqdm

from img2img_hub.data.find.config import DataError
from img2img_hub.data.samples.opened import ImageData, PairedData, readers
from img2img_hub.data.samples.reading import FileImages
from img2img_hub.data.samples.stack import lists_of
from img2img_hub.data.stream.streaming import StreamedData
from img2img_hub.errors import counted, listing, one_line
from img2img_hub.images.formats import ImageError
from img2img_hub.images.headers import HeaderError, kind_of
from img2img_hub.images.read import Decoded

Opened = TypeVar("Opened", bound=ImageData | StreamedData | None)
_SECONDS = 20  # of looking, on a file system that takes its time
_TAIL = 2**16
_ENDS = {".png": b"IEND", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}


def refuse_damaged(*opened: ImageData | StreamedData | None) -> None:
    """Raises DataError where a glance at the files of data shows damage; of tables and streams nothing is seen."""
    seen = [data for data in opened if data is not None and not isinstance(data, StreamedData)]
    if found := list(dict.fromkeys(line for data in seen for line in glance(data))):
        raise DataError(
            f"{counted(len(found), 'image')} cannot be used ({listing(found, limit=3)}): mend or delete them, or leave "
            "them out by --skip_bad; `img2img_hub check-data` reads all images and names each"
        )


def glance(data: ImageData) -> Iterator[str]:
    """What is wrong with each file that is damaged at its beginning or its end, in one line each."""
    until, seen = time.monotonic() + _SECONDS, set[str]()
    for side in data.sides.values():
        for images in lists_of(side.images):
            for row in side.rows.tolist() if isinstance(images, FileImages) else ():
                path = images.where(row)
                if time.monotonic() > until:
                    return
                if path not in seen and (wrong := _wrong(path)):
                    yield wrong
                seen.add(path)


def without_bad(data: Opened) -> Opened:
    """The same data without what cannot be used, each image read once; a stream as it is.

    Raises:
        DataError: nothing is left.
    """
    if data is None or isinstance(data, StreamedData):
        return data
    wrong: list[str] = []
    good: list[np.ndarray] = []
    for read, length in readers(data):
        found = []
        for index in tqdm(range(length), desc="reading all images", unit="image", leave=False):
            try:
                read(index)
                found.append(index)
            except (DataError, ImageError) as error:
                wrong.append(one_line(error))
        good.append(np.asarray(found, dtype=np.int64))
    if not wrong:
        return data
    for line in wrong:  # in full here; cards have their number and names
        tqdm.write(f"left out: {line}", file=sys.stderr)
    if not all(len(each) for each in good):
        raise DataError(f"no image of {data.id} can be used: {listing(wrong, limit=3)}")
    left = data.select(good[0]) if isinstance(data, PairedData) else data.select(good[0], good[1])
    what, names = "pair" if isinstance(data, PairedData) else "image", _names_of_the_others(data, good)
    note = f"{counted(len(wrong), what)} that cannot be used left out ({listing(names)})"
    left.about = replace(left.about, notes=(*left.about.notes, note))
    return left  # type: ignore[return-value]


def _names_of_the_others(data: ImageData, good: list[np.ndarray]) -> list[str]:
    """Names below their folders, which say nothing of where these are."""
    if isinstance(data, PairedData):
        return [data.name(index) for index in np.setdiff1d(np.arange(len(data)), good[0]).tolist()]
    sides = (data.sides["source"], data.sides["target"])
    return [
        side.images.name(int(side.rows[index]))
        for side, kept in zip(sides, good, strict=True)
        for index in np.setdiff1d(np.arange(len(side.rows)), kept).tolist()
    ]


def _wrong(path: str) -> str:
    """What is wrong with a file, "" for nothing that shows."""
    try:
        if not os.path.getsize(path):
            return f"{path} is empty"
        kind_of(path)
        end = _ENDS.get(Path(path).suffix.lower())
        if end is None:
            return ""
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - _TAIL))
            if end in file.read():
                return ""
        Decoded(path).picture(channels=3)  # what looks cut short may be of another format, or of a careless program
    except HeaderError:
        return f"{path} is damaged or no image"
    except ImageError as error:
        return one_line(error)
    except OSError as error:
        return f"{path} cannot be read ({error.strerror or error})"
    return ""
