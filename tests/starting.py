"""A plugin of the tests that train in their own process: pytest_plugins = ["tests.starting"]."""

import pytest
from accelerate.state import AcceleratorState

from img2img_hub import DataConfig, TrainConfig, train
from tests.families import small, smallest_size


@pytest.fixture
def start_run(tmp_path, paired_folder, unpaired_folder):
    """start_run(family, output, **settings) trains a tiny network for 6 steps on the CPU."""

    def run(family, output, *, architecture=None, data=None, **settings):
        AcceleratorState._reset_state(reset_partial_state=True)
        folder = paired_folder if family.paired else unpaired_folder
        data = data or DataConfig(dataset=str(folder), side_by_side=family.paired)
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
            TrainConfig(output_dir=str(tmp_path / output), **settings),
            data,
            architecture=architecture or small(family),
        )

    yield run
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def start(start_run):
    """The same, of which only the run's folder is wanted."""
    return lambda *arguments, **settings: start_run(*arguments, **settings).path
