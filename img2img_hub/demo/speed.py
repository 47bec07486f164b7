"""What runs each translator fastest on this machine: PyTorch at once, OpenVINO or ONNX Runtime when they are made.

    IMG2IMG_BACKEND=torch python app.py    # or openvino, onnx; without it the fastest that is installed

The first picture never waits. A network that was not exported yet is exported in a process of its own, with low
priority (some seconds for 8 million parameters), and kept in ~/.cache/img2img_hub; opening what is kept takes half a
second. Where that fails, PyTorch goes on and the log says once why.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from weakref import WeakKeyDictionary, WeakSet

import torch

from img2img_hub.translation.backends import Backend, has_export, keep_export
from img2img_hub.translation.translator import Translator

VARIABLE = "IMG2IMG_BACKEND"
TITLES: dict[Backend, str] = {"torch": "PyTorch", "openvino": "OpenVINO", "onnx": "ONNX Runtime"}
# The faster one first, by `python -m benchmarks.translate_latency`. Both read the file with onnx.
_NEEDS: dict[Backend, tuple[str, ...]] = {"openvino": ("openvino", "onnx"), "onnx": ("onnxruntime", "onnx")}
HEAD_START = 3.0  # seconds in which the first picture has the processor for itself
_PACKAGES = Path(__file__).resolve().parents[2]

_made: WeakKeyDictionary[Translator, Translator] = WeakKeyDictionary()
_begun: WeakSet[Translator] = WeakSet()
_making: WeakSet[Translator] = WeakSet()
_lock = threading.Lock()
_turn = threading.Lock()  # one is made at a time

logger = logging.getLogger(__name__)


def candidates() -> list[Backend]:
    """The backends to try beside PyTorch, the fastest first: those that are installed, or the one that is asked for.

    Raises:
        ValueError: IMG2IMG_BACKEND names none, or one that is not installed.
    """
    asked = os.environ.get(VARIABLE) or "auto"
    if asked not in ("auto", *TITLES):
        raise ValueError(f"{VARIABLE} is {asked!r}: give auto, {', '.join(TITLES)}, or leave it out")
    installed = [name for name, packages in _NEEDS.items() if all(map(find_spec, packages))]
    if asked in ("auto", "torch"):
        return installed if asked == "auto" else []
    if asked not in installed:
        raise ValueError(f"{VARIABLE} is {asked!r}, which is not installed: pip install 'img2img_hub[{asked}]'")
    return [name for name in installed if name == asked]


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
            where = translator.name if Path(translator.name).is_dir() else ""
            if not has_export(translator.network, where=where):
                _export(translator)
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
        Exception: what the last one said.
    """
    *others, last = candidates()
    for backend in others:
        try:
            return _tried(translator, backend)
        except Exception as error:
            logger.warning("%s: not by %s: %s", translator.name, TITLES[backend], error)
    return _tried(translator, last)


def _tried(translator: Translator, backend: Backend) -> Translator:
    faster = translator.with_backend(backend)
    side = translator.settings.working_size
    blank = torch.zeros(1, translator.network.in_channels, side, side)
    for _ in range(2):  # the first call compiles; the second one says how long the next will take
        faster.translate_tensor(blank)
    return faster


def _export(translator: Translator) -> None:
    """Make the network's export in another process, which keeps neither memory nor Python's lock from this one.

    Raises:
        ValueError: what that process said.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        translator.network.save_weights(folder)
        translator.settings.save(folder)
        path = os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            # -P: what lies in the current folder is no module of ours
            [sys.executable, "-P", "-m", "img2img_hub.demo.speed", folder],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    if done.returncode:
        raise ValueError(" ".join(done.stderr.split())[-300:] or f"the export ended with status {done.returncode}")


def _export_apart(folder: str) -> None:
    if hasattr(os, "nice"):
        os.nice(10)
    torch.set_num_threads(1)
    translator = Translator.from_pretrained(folder, device="cpu")
    shutil.rmtree(folder)  # now: should the page be stopped meanwhile, nobody else would
    try:
        keep_export(translator.network, working_size=translator.settings.working_size)
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _export_apart(sys.argv[1])
