"""One run at a time in an output folder: a lock that goes with the process that holds it, however that ends.

python -c "from pathlib import Path; import img2img_hub.training.run.lock as l; l.FolderLock(Path('.')).release()"
"""

import errno
import os
import platform
import re
import stat
from pathlib import Path
from typing import Any

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are not noticed there
    fcntl = None


class FolderLock:
    """Held from its making to `release` or the end of the process; the system sees to it, so none can be left behind.

    It is a POSIX record lock rather than flock's, because a child does not inherit it: the processes that read images
    may outlive a killed training by some seconds, and must not keep --resume out. On NFS it holds across machines
    where the server's lock service runs; where a file system knows no locks, the run goes on without one.

    Raises:
        ValueError: another process holds it, or the file .lock is somebody else's.
        OSError: there is no writing in the folder.
    """

    def __init__(self, folder: Path) -> None:
        place = folder / ".lock"
        foreign = f"{place} is not a run's lock: name another folder, or move that file elsewhere"
        # Not through a link, which may lead to any file of the user's; and a pipe must not hold the run.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            self._file = os.open(place, flags, 0o666)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR):
                raise ValueError(foreign) from None
            raise
        regular = stat.S_ISREG(os.fstat(self._file).st_mode)
        said = os.read(self._file, 200).decode(errors="replace") if regular else ""
        if not regular or not re.fullmatch(r"(process \d+ on .*\n)?", said):
            os.close(self._file)
            raise ValueError(foreign)
        if fcntl is None:
            return
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                return
            holder = said.strip() or "another process"
            os.close(self._file)
            raise ValueError(
                f"--output_dir {folder}: a run is being made there by {holder}: wait for its end or stop it, or name "
                "another folder"
            ) from None
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, f"process {os.getpid()} on {platform.node()}\n".encode())

    def release(self) -> None:
        os.close(self._file)
