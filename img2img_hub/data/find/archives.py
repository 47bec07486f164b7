"""Images in zip and tar files (WebDataset's shards, too): unpacked once, into the cache, and read as a folder.

    python -m img2img_hub check-data --dataset pairs.zip

Of an archive only images and lists of them are taken, each to a place below the folder, whatever its name says: no
link, no device, no path that leads out. What is unpacked may be deleted at any time:

    rm -r ~/.cache/img2img_hub/unpacked
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from filelock import FileLock

from img2img_hub.data.find.config import DataError
from img2img_hub.data.find.lists import LISTS
from img2img_hub.data.find.names import SPLIT_WORDS
from img2img_hub.errors import counted, one_line
from img2img_hub.files import cache_folder
from img2img_hub.images.formats import IMAGE_EXTENSIONS

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_LEFT_FREE = 2**30  # bytes of the disk
_MOST_FILES = 5_000_000
_WHOLE = ".whole"
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)


class _Member(NamedTuple):
    name: str
    size: int
    open: Callable[[], BinaryIO]


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVES) and path.is_file()


def archives_in(folder: Path) -> list[Path]:
    """Those of a folder, and of the folders in it, in which all data are packed: there are no images beside them."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name[0] not in "._"]
        for name in files:
            path = Path(place, name)
            if name[0] not in "._" and path.suffix.lower() in {*IMAGE_EXTENSIONS, *LISTS}:
                return []
            found += [path] if name[0] not in "._" and is_archive(path) else []
    return sorted(found)


def unpacked(archives: Sequence[Path], *, root: Path) -> Path:
    """A folder with the images of archives below `root`: of train.zip, or of shards such as pairs-train-000.tar, in the
    folder of that split; of several others, such as trainA.zip and trainB.zip, each in one of its own name.

    Raises:
        DataError: one cannot be read, holds no images or two of one name, or the disk is too full.
    """
    facts = [f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in archives]
    endings = " ".join(sorted({*IMAGE_EXTENSIONS, *LISTS}))
    key = hashlib.sha256("\n".join([endings, *facts]).encode()).hexdigest()[:16]
    place = cache_folder() / "unpacked" / key
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f".{key}.lock")):  # the processes of one run ask for the same
            if not (place / _WHOLE).is_file():
                part = place.with_name(f".{key}.part")
                for left in (part, place):  # of a process that was killed
                    shutil.rmtree(left, ignore_errors=True)
                try:
                    for archive in archives:
                        _unpack(archive, part / _folder_of(archive, root=root, alone=len(archives) == 1))
                    (part / _WHOLE).touch()
                    part.rename(place)
                finally:
                    shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{archives[0]} cannot be unpacked into {place.parent} ({one_line(error)})") from None
    inside = [entry for entry in place.iterdir() if entry.name != _WHOLE]
    while len(inside) == 1 and inside[0].is_dir() and inside[0].name.lower() not in SPLIT_WORDS:  # what it was made of
        place, inside = inside[0], list(inside[0].iterdir())
    return place


def _folder_of(archive: Path, *, root: Path, alone: bool) -> Path:
    stem = archive.name[: -len(next(ending for ending in ARCHIVES[::-1] if archive.name.lower().endswith(ending)))]
    *words, last = re.split(r"[-_. ]+", stem.lower())
    shard = last.isdecimal()
    splits = [word for word in ([*words, last] if shard or not words else [last]) if word in SPLIT_WORDS]
    above = archive.parent.relative_to(root)
    if splits:
        return above / splits[-1]
    return above if alone or shard else above / stem


def _unpack(archive: Path, to: Path) -> None:
    try:
        with _members(archive) as members:
            taken = [each for each in members if _is_wanted(each.name)]
            if len(taken) > _MOST_FILES:
                raise DataError(f"{archive} holds {len(taken)} images: more than {_MOST_FILES} are refused")
            if not any(PurePosixPath(each.name).suffix.lower() in IMAGE_EXTENSIONS for each in taken):
                raise DataError(f"{archive} holds no images: put files with endings such as .png or .jpg into it")
            size, existing = sum(each.size for each in taken), next(each for each in to.parents if each.exists())
            free = shutil.disk_usage(existing).free - _LEFT_FREE
            if size > free:
                raise DataError(
                    f"{archive} holds images of {size / 1e9:.1f} GB, and the disk of {existing} has "
                    f"{free / 1e9:.1f} GB for them: make room, or set XDG_CACHE_HOME to a folder on another disk"
                )
            for each in taken:
                _copy(each, to / _below(each.name), archive=archive)
    except DataError:
        raise
    except (*_DAMAGED, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise DataError(f"{archive} cannot be read ({one_line(error, most=200)}): copy or pack it again") from None


def _is_wanted(name: str) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) and part.strip(".") for part in re.split(r"[/\\]", name))
    return not hidden and PurePosixPath(name).suffix.lower() in {*IMAGE_EXTENSIONS, *LISTS}


def _below(name: str) -> Path:
    """Its place below the folder; of an absolute path, or of one that leads out, what is left of it."""
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")]
    if len(parts) > 1 and re.fullmatch("[A-Za-z]:", parts[0]):
        parts = parts[1:]  # a drive
    return Path(*(part.replace(":", "_") if os.name == "nt" else part for part in parts))


def _copy(member: _Member, to: Path, *, archive: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    try:
        file = to.open("xb")
    except FileExistsError:
        raise DataError(f"{archive}: {member.name} is there twice, or in another archive: rename one of them") from None
    with file, member.open() as content:
        while block := content.read(2**20):
            left -= len(block)
            if left < 0:
                raise DataError(f"{archive}: {member.name} is larger than it says, {counted(member.size, 'byte')}")
            file.write(block)


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    """The regular files."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            regular = (info for info in zipped.infolist() if not info.is_dir() and info.external_attr >> 28 in (0, 8))
            yield (_Member(info.filename, info.file_size, _opener_of_zip(zipped, info)) for info in regular)
        return
    with tarfile.open(archive) as tarred:
        yield (_Member(info.name, info.size, _opener_of_tar(tarred, info)) for info in tarred if info.isfile())


def _opener_of_zip(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    return lambda: zipped.open(info)  # type: ignore[return-value]


def _opener_of_tar(tarred: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        content = tarred.extractfile(info)
        assert content is not None  # it is a regular file
        return content  # type: ignore[return-value]

    return opened
