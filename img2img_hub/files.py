"""Files of a run that are complete or not there at all, and tensors written as fast as the disk takes them.

python -c "from pathlib import Path; from img2img_hub.files import write_text; write_text(Path('a.txt'), '1')"
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_text(path: Path, text: str) -> None:
    """Put a text in the place of a file at once: whoever reads it, after a kill too, finds the old or the new one."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)  # a kill's, or a link, through which nothing is written
    with aside.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync(path.parent)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file straight from the tensors' memory and bring it to the disk.

    A checkpoint halts the training, and safetensors' own `save_file` (0.8) took three times as long as the plain write
    of the same bytes. The format: length of the header, header in JSON, then the data, widest types first, so that
    every tensor stands where its type may.
    """
    parts = sorted(tensors.items(), key=lambda part: -part[1].element_size())
    header: dict[str, dict[str, object]] = {}
    offset = 0
    for name, tensor in parts:
        end = offset + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb", buffering=0) as file:
        _write_all(file.fileno(), len(text).to_bytes(8, "little") + text)
        for _, tensor in parts:
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            _write_all(file.fileno(), flat.view(torch.uint8).numpy())
        os.fsync(file.fileno())


def _write_all(descriptor: int, data: object) -> None:
    """os.write until nothing is left: one call writes at most 2 GB, and less on a disk that fills up."""
    left = memoryview(data)  # type: ignore[arg-type]
    while left:
        left = left[os.write(descriptor, left) :]


def sync(path: Path) -> None:
    """Ask the system to bring a file or a folder's entries to the disk."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
