"""A plugin of the tests that train in their own process: pytest_plugins = ["tests.starting"]."""

import hashlib
import os
import shutil

import pytest
from accelerate.state import AcceleratorState
from filelock import FileLock

from img2img_hub import DataConfig, TrainConfig, train
from img2img_hub.training.run.lock import FolderLock
from tests.conftest import write_domains, write_pairs
from tests.families import of_pairs, small, smallest_size


def train_tiny(family, place, output, *, architecture=None, data=None, **settings):
    """A tiny network for 6 steps on the CPU, by default of the data set in `place`; the run is in place/output."""
    AcceleratorState._reset_state(reset_partial_state=True)
    data = data or DataConfig(dataset=str(place / ("pairs" if family.paired else "domains")), **of_pairs(family))
    settings = {
        "max_steps": 6,
        "image_size": smallest_size(family),
        "cpu": True,
        "cpu_threads": 1,
        "num_workers": 0,
        "log_steps": 2,
        "sample_steps": 3,
        "checkpoint_steps": 2,
        "num_samples": 2,
        **settings,
    }
    return train(
        family,
        TrainConfig(output_dir=str(place / output), **settings),
        data,
        architecture=architecture or small(family),
    )


@pytest.fixture
def start_run(tmp_path, paired_folder, unpaired_folder):
    """start_run(family, output, **settings) trains, see `train_tiny`."""

    def run(family, output, **settings):
        return train_tiny(family, tmp_path, output, **settings)

    yield run
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def start(start_run):
    """The same, of which only the run's folder is wanted."""
    return lambda *arguments, **settings: start_run(*arguments, **settings).path


@pytest.fixture
def finished(tmp_path, tmp_path_factory):
    """finished(family, output, **settings): the folder that `start` would leave, as a copy of a run that is trained
    once for all tests and processes. For tests of what becomes of a run, not of the training itself."""

    def copied(family, output, **settings):
        root = tmp_path_factory.getbasetemp()
        shelf = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "finished"
        shelf.mkdir(exist_ok=True)
        said = repr((family, output, sorted(settings.items())))
        place = shelf / hashlib.sha256(said.encode()).hexdigest()[:16]
        with FileLock(f"{place}.lock"):
            if not (place / "whole").exists():
                shutil.rmtree(place, ignore_errors=True)  # of a process that was stopped
                (write_pairs if family.paired else write_domains)(place / ("pairs" if family.paired else "domains"))
                train_tiny(family, place, output, **settings)
                (place / "whole").touch()
        folder = tmp_path / output
        shutil.copytree(place / output, folder)
        for file in folder.rglob("run.json"):
            file.write_text(file.read_text().replace(str(place), str(tmp_path)))
        FolderLock(folder).release()  # it says which process was the last
        return folder

    return copied
