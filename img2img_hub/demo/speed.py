"""What runs each translator fastest on this machine: PyTorch at once, OpenVINO or ONNX Runtime when they are made.

    IMG2IMG_BACKEND=torch python app.py    # or openvino, onnx; without it the fastest that is installed
    IMG2IMG_DTYPE=float32 python app.py    # or bfloat16; without it what the model's examples say, see `prepare`

The first picture never waits. A network that was not exported yet is exported in a process of its own and kept in
~/.cache/img2img_hub; opening what is kept takes half a second. Where that fails, PyTorch goes on and the log says once
why.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from importlib.util import find_spec
from typing import cast, get_args
from weakref import WeakKeyDictionary, WeakSet

import torch

from img2img_hub.demo.prepare import Asked, prepare
from img2img_hub.runtimes.backends import Backend, knows_bfloat16
from img2img_hub.translation.engine import Dtype
from img2img_hub.translation.translator import Translator

VARIABLE = "IMG2IMG_BACKEND"
DTYPE_VARIABLE = "IMG2IMG_DTYPE"
TITLES: dict[Backend, str] = {"torch": "PyTorch", "openvino": "OpenVINO", "onnx": "ONNX Runtime"}
# The faster one first, by `python -m benchmarks.translate_latency`. Both read the file with onnx.
_NEEDS: dict[Backend, tuple[str, ...]] = {"openvino": ("openvino", "onnx"), "onnx": ("onnxruntime", "onnx")}
HEAD_START = 3.0  # seconds in which the first picture has the processor for itself

_made: WeakKeyDictionary[Translator, Translator] = WeakKeyDictionary()
_begun: WeakSet[Translator] = WeakSet()
_making: WeakSet[Translator] = WeakSet()
_lock = threading.Lock()
_turn = threading.Lock()  # one is made at a time

logger = logging.getLogger(__name__)


def candidates() -> list[Backend]:
    """The backends to try beside PyTorch, the fastest first: those that are installed, or the one that is asked for.

    Raises:
        ValueError: IMG2IMG_BACKEND or IMG2IMG_DTYPE names none, or one that cannot be had here.
    """
    asked = os.environ.get(VARIABLE) or "auto"
    if asked not in ("auto", *TITLES):
        raise ValueError(f"{VARIABLE} is {asked!r}: give auto, {', '.join(TITLES)}, or leave it out")
    installed = [name for name, packages in _NEEDS.items() if all(map(find_spec, packages))]
    if asked not in ("auto", "torch", *installed):
        raise ValueError(f"{VARIABLE} is {asked!r}, which is not installed: pip install 'img2img_hub[{asked}]'")
    found = [name for name in installed if asked in ("auto", name)]
    if asked_dtype() == "bfloat16":
        if "openvino" not in found:
            raise ValueError(
                f"{DTYPE_VARIABLE} is 'bfloat16', in which OpenVINO alone computes for the page: leave it out, or "
                f"leave {VARIABLE} out and pip install 'img2img_hub[openvino]'"
            )
        if not knows_bfloat16():
            raise ValueError(
                f"{DTYPE_VARIABLE} is 'bfloat16', which needs a processor that computes in bfloat16, and this one does "
                "not: leave it out"
            )
    return found


def asked_dtype() -> Asked:
    """What OpenVINO shall compute in: IMG2IMG_DTYPE, or else "auto".

    Raises:
        ValueError: it names none.
    """
    asked = os.environ.get(DTYPE_VARIABLE) or "auto"
    if asked not in get_args(Asked):
        raise ValueError(f"{DTYPE_VARIABLE} is {asked!r}: give {', '.join(get_args(Asked))}, or leave it out")
    return cast(Asked, asked)


def fastest(translator: Translator) -> Translator:
    """What runs `translator` fastest by now; the first call begins to make something faster in the background."""
    with _lock:
        if (made := _made.get(translator)) is not None:
            return made
        if translator in _begun or translator.device.type != "cpu" or not candidates():
            return translator
        _begun.add(translator)
        _making.add(translator)
    threading.Thread(target=_make, args=(translator,), daemon=True).start()
    return translator


def is_making(translator: Translator) -> bool:
    """Whether something faster than PyTorch is on its way."""
    return translator in _making


def _make(translator: Translator) -> None:
    time.sleep(HEAD_START)
    with _turn:
        try:
            faster = _opened(translator)
        except Exception as error:  # each exporter and runtime has its own classes
            logger.warning("%s: PyTorch goes on, nothing faster could be made: %s", translator.name, error)
        else:
            with _lock:
                _made[translator] = faster
    _making.discard(translator)


def _opened(translator: Translator) -> Translator:
    """The translator by the first backend that runs it.

    Raises:
        Exception: what the last one said, or why nothing could be exported.
    """
    *others, last = candidates()
    for backend in others:
        dtype = _prepared(translator, backend)
        try:
            return _tried(translator, backend, dtype)
        except Exception as error:
            logger.warning("%s: not by %s: %s", translator.name, TITLES[backend], error)
    return _tried(translator, last, _prepared(translator, last))


def _prepared(translator: Translator, backend: Backend) -> Dtype:
    return prepare(translator, asked_dtype() if backend == "openvino" else "float32")


def _tried(translator: Translator, backend: Backend, dtype: Dtype) -> Translator:
    faster = translator.with_backend(backend, dtype=dtype)
    side = translator.settings.working_size
    blank = torch.zeros(1, translator.network.in_channels, side, side)
    for _ in range(2):  # the first call compiles; the second one says how long the next will take
        faster.translate_tensor(blank)
    return faster
