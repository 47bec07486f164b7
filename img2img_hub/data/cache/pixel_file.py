"""A file of images' pixels of one size, mapped into memory, which any number of processes fill and read at once.

    python -m benchmarks.input_path    # how much it saves

No pixel is believed without its check. An image is written before its check is, and a process that meets an image for
the first time computes the check again: a kill, a power cut, a full disk or a file system that shows two machines two
states can leave an image to be decoded once more, never a wrong one. Files are written by plain writes and mapped for
reading only, for a write through a mapping that finds the disk full kills the process.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import secrets
import weakref
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from img2img_hub.data.samples.opened import Side


class PixelFile:
    """An .npy file with a record for each image: its check (8 bytes, 0 where there is none yet) and its pixels.

    Can be pickled; a copy opens the file for itself. Every method but ``used`` raises OSError.
    """

    def __init__(self, path: Path, side: Side, *, load_size: int) -> None:
        self.path = path
        self.length = len(side.rows)
        self.leave_free = 0
        """Bytes of the disk that a write must leave to others."""
        pixels = (side.channels, load_size, load_size)
        self._record = np.dtype([("check", "<u8"), ("pixels", side.dtype, pixels)])
        fields = {"descr": np.lib.format.dtype_to_descr(self._record), "fortran_order": False, "shape": (self.length,)}
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, fields)
        self.header = header.getvalue()
        self.size = len(self.header) + self.length * self._record.itemsize
        """Bytes, once every image is there."""
        self._file: int | None = None

    def used(self) -> int:
        """Bytes that it takes on the disk by now."""
        try:
            return min(self.path.stat().st_blocks * 512, self.size)
        except FileNotFoundError:
            return 0

    def open(self) -> int:
        """Open the file and return its descriptor; make it anew if it is missing or is not what it should be."""
        if not hasattr(os, "pwrite"):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        for _ in range(10):  # another process may be making or deleting it at this moment
            try:
                file = os.open(self.path, os.O_RDWR)
            except FileNotFoundError:
                self._make()
                continue
            if os.fstat(file).st_size == self.size and os.pread(file, len(self.header), 0) == self.header:
                break
            os.close(file)
            self.path.unlink(missing_ok=True)  # whoever has it open keeps it
        else:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        weakref.finalize(self, os.close, file)
        mapping = mmap.mmap(file, self.size, access=mmap.ACCESS_READ)
        records = np.frombuffer(mapping, dtype=self._record, offset=len(self.header))
        self._pixels = records["pixels"]
        self._believed = bytearray(self.length)
        self._file = file
        return file

    def _make(self) -> None:
        """An empty file under its name, whole or not at all. It takes no room before it is written to."""
        draft = self.path.with_name(f"{self.path.name}.{secrets.token_hex(8)}")
        file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            os.ftruncate(file, self.size)
            os.pwrite(file, self.header, 0)
            with suppress(FileExistsError):  # somebody else was faster: theirs is as good
                os.link(draft, self.path)
        finally:
            os.close(file)
            draft.unlink(missing_ok=True)

    def read(self, index: int) -> np.ndarray | None:
        """Image ``index`` modulo their number, read-only; None where it is not there, or not as it was written."""
        file = self.open() if self._file is None else self._file
        row = index % self.length
        if not self._believed[row]:
            # Not through the mapping: a page that was never written may need room even to be looked at (on tmpfs), and
            # the process dies where there is none.
            check = int.from_bytes(os.pread(file, 8, self._place(row)), "little")
            if check == 0 or check != _check(self._pixels[row]):
                return None
            self._believed[row] = True
        return self._pixels[row]

    def write(self, index: int, pixels: np.ndarray) -> None:
        """Keep image ``index``."""
        file = self.open() if self._file is None else self._file
        disk = os.fstatvfs(file)
        if disk.f_bavail * disk.f_frsize < self.leave_free:
            raise OSError(errno.ENOSPC, f"less than {describe_size(self.leave_free)} is free")
        start = self._place(index % self.length)
        rest, place = pixels.data.cast("B"), start + 8
        while rest:  # a disk that gets full may take a part first, and says why at the next try
            written = os.pwrite(file, rest, place)
            rest, place = rest[written:], place + written
        os.pwrite(file, _check(pixels).to_bytes(8, "little"), start)

    def _place(self, row: int) -> int:
        return len(self.header) + row * self._record.itemsize

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_pixels": None, "_believed": None}


def describe_size(size: int) -> str:
    """ "3.1 GB", "0.4 MB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _check(pixels: np.ndarray) -> int:
    return 1 << 32 | zlib.crc32(pixels.data)  # never 0
