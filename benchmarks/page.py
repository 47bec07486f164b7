"""The page in a process of its own, on the shipped models, for the benchmarks that ask it for translations.

python -m benchmarks.demo_start
"""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from gradio_client import Client, handle_file

from img2img_hub.demo.models import find_models
from img2img_hub.demo.speed import TITLES, candidates

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120  # seconds


def first_model() -> tuple[str, Path]:
    """The key of the first shipped model, and its first example."""
    key, model = next(iter(find_models("").models.items()))
    return key, model.examples[0]


@contextmanager
def page(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Address and process of a page that keeps its files in `folder`; it ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if key != "IMG2IMG_MODELS"}
    environment |= {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder / "cache"), "NO_PROXY": "127.0.0.1"}
    server = subprocess.Popen([sys.executable, str(ROOT / "app.py")], cwd=folder, env=environment, stdout=sys.stderr)
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + PATIENCE
        while not _answers(address):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"app.py did not serve {address} within {PATIENCE} s")
            time.sleep(0.02)
        yield address, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(timeout=30)


def settle(client: Client, key: str, picture: Path) -> None:
    """Translate until the page answers by the fastest backend that is installed."""
    deadline = time.monotonic() + PATIENCE
    for backend in candidates()[:1]:
        while TITLES[backend] not in client.predict(key, handle_file(str(picture)), "fit", api_name="/translate")[2]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the page did not go over to {TITLES[backend]} within {PATIENCE} s")
            time.sleep(0.5)


def _answers(address: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False
