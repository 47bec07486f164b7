"""Settings for all tests: no network but loopback, one thread a process where speed matters little, small pictures."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# Read by the clients when they are imported, so before anything else.
os.environ.update(
    {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",  # tests that speak to the test server do so from processes with their own environment
        "GRADIO_ANALYTICS_ENABLED": "False",
        "TOKENIZERS_PARALLELISM": "false",
    }
)

# A shell that starts the suite in the background has it ignore Ctrl-C, which tests press; their processes inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.hub.fixtures"]


# The files of most time, the longest first: with two processes one of them would else wait at the end for the other.
LONGEST = """
test_bfloat16 test_launch test_demo_more test_translate test_fuzz test_precision test_security_uploads test_tabs_work
test_tabs test_streaming test_privacy test_crash test_push_beside_training test_page test_paint test_whole_loop
test_compile test_backends test_security test_demo_guests test_evaluated_runs test_cli test_examples test_any_model
test_hub_server test_devices test_resume test_demo test_demo_batch test_demo_compare test_translate_latency
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first, which holds with --no-loadscope-reorder."""
    places = {name: place for place, name in enumerate(LONGEST.split())}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session", autouse=True)
def no_cache_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trainings that tests start, also as processes, keep their images here and not in the user's ~/.cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        # Or a page in this process goes on to prepare faster backends for all its models beside the tests that follow;
        # tests of these say so.
        patch.setenv("IMG2IMG_BACKEND", "torch")
        yield


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_command(line: str) -> int:
    """The exit status of a line of `python -m img2img_hub`."""
    from img2img_hub.cli import main

    return main(line.split())


@pytest.fixture
def paired_folder(tmp_path: Path) -> Path:
    """A data set of pairs side by side, 64×32: train (5 pairs) and test (3)."""
    return write_pairs(tmp_path / "pairs")


def write_pairs(folder: Path) -> Path:
    for split, count in (("train", 5), ("test", 3)):
        (folder / split).mkdir(parents=True)
        for index in range(count):
            picture(seed=100 * len(split) + index, size=(64, 32)).save(folder / split / f"{index}.png")
    return folder


@pytest.fixture
def unpaired_folder(tmp_path: Path) -> Path:
    """Two domains of 32×32 pictures: trainA (4), trainB (3), testA (2), testB (2)."""
    return write_domains(tmp_path / "domains")


def write_domains(folder: Path) -> Path:
    for split, count in (("trainA", 4), ("trainB", 3), ("testA", 2), ("testB", 2)):
        (folder / split).mkdir(parents=True)
        for index in range(count):
            picture(seed=1000 * ord(split[-1]) + index, size=(32, 32)).save(folder / split / f"{index}.png")
    return folder


def picture(*, seed: int, size: tuple[int, int]) -> Image.Image:
    """A smooth random colour picture."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
