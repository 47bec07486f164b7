"""What runs a generator: PyTorch, PyTorch compiled, ONNX Runtime or OpenVINO, each as one function of a batch.

    python -c "from img2img_hub import Translator as T; \
    T.from_pretrained('model_cards/facades-label2photo', backend='openvino')('a.png').save('b.png')"

ONNX Runtime and OpenVINO take the repo's model.onnx; where it has none, the network is exported once and kept in
~/.cache/img2img_hub (or $XDG_CACHE_HOME). All of them use as many threads as PyTorch is set to. OpenVINO computes in
bfloat16, too, where the processor does.
"""

import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from img2img_hub.errors import first_line, one_line
from img2img_hub.files import cache_folder
from img2img_hub.networks import Network
from img2img_hub.networks.fetch import fetch
from img2img_hub.runtimes.by_openvino import knows_bfloat16, open_openvino
from img2img_hub.runtimes.export import (
    EXPORT_VERSION,
    OPSET,
    fingerprint,
    need,
    open_session,
    working_shape,
    write_onnx,
)
from img2img_hub.translation.engine import Dtype, check_dtype

Backend = Literal["torch", "compile", "onnx", "openvino"]
Forward = Callable[[Tensor], Tensor]
ONNX_FILE = "model.onnx"
CPU_ONLY = ("onnx", "openvino")


def of_pytorch(backend: Backend, dtype: Dtype) -> Dtype:
    """What PyTorch computes in: variations and strips beside another runtime are worth its full precision."""
    return "float32" if backend in CPU_ONLY else dtype


def check_backend(
    backend: str,
    *,
    device: str | torch.device | None = None,
    onnx_file: str | Path | None = None,
    dtype: str = "float32",
) -> None:
    """Refuse, before anything is loaded, what cannot be: an unknown name, a missing package, another device.

    Raises:
        ValueError: says what to type.
    """
    check_dtype(dtype)
    if backend not in get_args(Backend):
        raise ValueError(f"backend must be one of {', '.join(get_args(Backend))}, got {backend!r}")
    if backend in CPU_ONLY and device is not None and str(device).split(":")[0] != "cpu":
        raise ValueError(f"backend {backend!r} runs on the CPU, got device {str(device)!r}: leave device out")
    if backend not in CPU_ONLY and onnx_file is not None:
        raise ValueError(f"onnx_file is for the backends onnx and openvino, got backend {backend!r}: leave one out")
    if backend in CPU_ONLY and dtype not in ("float32", "bfloat16" if backend == "openvino" else "float32"):
        takes = "torch, compile and openvino" if dtype == "bfloat16" else "torch and compile"
        raise ValueError(
            f"dtype {dtype!r} is for the backends {takes}, got {backend!r}: leave it out, or run a file that "
            "`export --half` wrote (onnx_file)"
        )
    if backend == "onnx":
        need("onnxruntime", extra="onnx", what="backend 'onnx'")
    if backend == "openvino":
        need("openvino", extra="openvino", what="backend 'openvino'")
        if dtype == "bfloat16" and not knows_bfloat16():
            raise ValueError(
                "dtype 'bfloat16' with backend 'openvino' needs a processor that computes in bfloat16, which this one "
                "does not: leave dtype (--dtype) out"
            )


def make_forward(
    network: Network,
    backend: Backend,
    *,
    where: str = "",
    onnx_file: str | Path | None = None,
    working_size: int = 256,
    dtype: Dtype = "float32",
    **download: Any,
) -> Forward | None:
    """What an Engine is to run in the network's place; None: the network itself.

    Args:
        network: with its batch norm's statistics set: they are baked in.
        where: folder or Hub repo of the network, which may have a model.onnx; "": none.
        onnx_file: another file to run, such as an int8 one: a path, or a file's name in `where`.
        working_size: what the first compilation is made for; other sizes work too.
        dtype: what OpenVINO computes in. (Of "compile" the engine's autocast decides.)
        download: revision, token … for files of a Hub repo.

    Raises:
        ValueError: a missing package, a file that is not there, or of another network.
    """
    if backend == "torch":
        return None
    if backend == "compile":
        return torch.compile(lambda batch: network(batch))
    opened = partial(
        _opened,
        backend=backend,
        own=fingerprint(network),
        dtype=dtype,
        trained_size=working_shape(network, working_size),
    )
    if onnx_file is not None:
        path = Path(onnx_file) if Path(onnx_file).is_file() else _in_repo(where, str(onnx_file), **download)
        if path is None:
            raise ValueError(f"there is no file {str(onnx_file)!r}, here or in {where or 'a repo'}: export makes one")
        return opened(path)
    if (shipped := _in_repo(where, ONNX_FILE, **download)) is not None:
        try:
            return opened(shipped, any_size=True)
        except ValueError as error:
            warnings.warn(f"{where}: its {ONNX_FILE} is not used: {error}", stacklevel=2)
    kept = kept_export(network, dtype=dtype)
    if kept.is_file():
        with suppress(ValueError):  # a damaged one is made anew
            return opened(kept, any_size=True)
    return opened(keep_export(network, working_size=working_size, dtype=dtype))


def has_export(network: Network, *, where: str = "", dtype: Dtype = "float32") -> bool:
    """Whether `make_forward` finds an export of the network, in the folder `where` or kept, and need not make one."""
    own = fingerprint(network)
    for path in (_in_repo(where, ONNX_FILE), _kept(own, dtype)):
        if path is not None and path.is_file():
            with suppress(ValueError):
                _size_of(_read(path), path, own=own, any_size=True)
                return True
    return False


def kept_export(network: Network, *, dtype: Dtype = "float32") -> Path:
    """Where the export of the network is kept, be it there yet or not."""
    return _kept(fingerprint(network), dtype)


def keep_export(network: Network, *, working_size: int = 256, dtype: Dtype = "float32") -> Path:
    """Export the network for the backends to find, and say where it is kept. Takes some seconds.

    For bfloat16 it is another graph, faster in it; the weights in the file are float32 all the same.

    Raises:
        ValueError: onnx or onnxscript is missing, the weights do not fit into one file, or it cannot be written.
    """
    path = kept_export(network, dtype=dtype)
    size, instead = working_shape(network, working_size), "set XDG_CACHE_HOME to a folder that can be"
    write_onnx(network, path, size=size, dynamic=True, phases=dtype == "bfloat16", instead=instead)
    return path


def _kept(own: str, dtype: Dtype) -> Path:
    suffix = "" if dtype == "float32" else f"-{dtype}"
    return cache_folder() / "onnx" / f"{own[:40]}-{OPSET}-{EXPORT_VERSION}{suffix}.onnx"


def _opened(
    path: Path, *, backend: Backend, own: str, dtype: Dtype, trained_size: tuple[int, int], any_size: bool = False
) -> Forward:
    """The file as a function of a batch.

    Raises:
        ValueError: it cannot be read, is of another network than `own` says, or of one size alone, not `any_size`.
    """
    height, width = _size_of(_read(path), path, own=own, any_size=any_size)
    try:
        run = open_session(path) if backend == "onnx" else open_openvino(path, dtype, trained_size)
    except ValueError:
        raise
    except Exception as error:  # each runtime has its own classes
        raise ValueError(f"{path} cannot be opened by {backend} ({one_line(error, most=200)})") from None
    return _of_one_size(run, path, height=height, width=width) if height else run


def _size_of(model: Any, path: Path, *, own: str, any_size: bool) -> tuple[int, int]:
    """(height, width) that the export was made for, (0, 0) for any; raises what `_opened` says."""
    if (said := {entry.key: entry.value for entry in model.metadata_props}.get("img2img_hub", "")) != own:
        raise ValueError(
            f"{path} was not exported from this network as it is now "
            f"({'other weights or norm statistics' if said else 'it does not name its weights'}): export it anew"
        )
    height, width = (entry.dim_value for entry in model.graph.input[0].type.tensor_type.shape.dim[2:])
    if height and any_size:
        raise ValueError(f"{path} was exported for {width}×{height} pixels alone: export it anew with --dynamic")
    return height, width


def _in_repo(where: str, name: str, **download: Any) -> Path | None:
    if not where:
        return None
    if Path(where).is_dir():
        return path if (path := Path(where, name)).is_file() else None
    try:
        return fetch(where, name, **download)
    except (ValueError, FileNotFoundError):  # the repo has none; or nobody can look, and the cache has none
        return None


def _read(path: Path) -> Any:
    need("onnx", extra="onnx", what="reading an ONNX file")
    import onnx

    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's, of several classes
        raise ValueError(f"{path} is no readable ONNX file ({first_line(error):.100}): export it anew") from None


def _of_one_size(run: Forward, path: Path, *, height: int, width: int) -> Forward:
    """`run`, of a file that is not dynamic, for batches of its size: one image at a time."""

    def forward(batch: Tensor) -> Tensor:
        if batch.shape[2:] != (height, width):
            raise ValueError(
                f"{path} was exported for {width}×{height} pixels, got {batch.shape[3]}×{batch.shape[2]} (padded): "
                "use resize='fit' (--resize fit), or export with --dynamic"
            )
        return torch.cat([run(image[None]) for image in batch])

    return forward
