"""Files that are whole or not there at all, whatever stops the writing, and where they are kept.

python -c "from pathlib import Path; from img2img_hub.files import write_text; write_text(Path('a.txt'), '1')"
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def replacing(path: Path, *, aside: str = "") -> Iterator[Path]:
    """A place to write to beside `path`, which takes its name in the end, or is gone where anything was raised.

    A file that is there is replaced at once, and so is a link: what it leads to stays as it is. Any number may write
    at once, unless that place is given a name, `aside`.
    """
    part = path.with_name(aside or f".{secrets.token_hex(8)}.part")
    part.unlink(missing_ok=True)  # a kill's, or a link, through which nothing is written
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Put content in the place of a file, whole or not at all; folders are made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Put a text in the place of a file at once: whoever reads it, after a power cut too, finds the old or the new."""
    with replacing(path, aside=f".{path.name}.new") as part:
        part.write_text(text, encoding="utf-8", newline="\n")
        sync(part)
    sync(path.parent)


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]", *, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all, and bring it to the disk.

    Until it is whole it is called .tmp with six letters or digits behind, which a kill leaves there.

    Raises:
        OSError: it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(own, path, metadata=metadata)
    except SafetensorError as error:  # a full disk is an OSError elsewhere, and is one here
        raise OSError(f"{path} cannot be written ({error})") from None
    mask = os.umask(0o077)  # which can be read by setting it alone
    os.umask(mask)
    with suppress(OSError):  # a file system without modes
        path.chmod(0o666 & ~mask)  # safetensors makes it for its owner alone
    sync(path)


def sync(path: Path) -> None:
    """Ask the system to bring a file or a folder's entries to the disk."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cache_folder() -> Path:
    """Where files are kept that can be made anew: $XDG_CACHE_HOME/img2img_hub, else ~/.cache/img2img_hub.

    Raises:
        RuntimeError: a user without a home.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "img2img_hub"
