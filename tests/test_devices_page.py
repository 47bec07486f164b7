"""docs/devices.md and the configurations that it names: the launcher takes them as they are."""

import re
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser

from tests.runs import PLAIN, ROOT, free_port, run

PAGE = (ROOT / "docs/devices.md").read_text(encoding="utf-8")
CONFIGS = sorted((ROOT / "docs/accelerate").glob("*.yaml"))
by_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)


def launched(config, *flags):
    """What the launcher makes of the file, the moment before it starts processes."""
    arguments = ["--config_file", str(config), *flags, "train_accelerate.py", "pix2pix"]
    return _validate_launch_command(launch_command_parser().parse_args(arguments))[0]


@by_config
def test_the_launcher_takes_the_configuration(config):
    content = yaml.safe_load(config.read_text())
    loaded = load_config_from_file(str(config))  # unknown keys are an error
    assert loaded.num_processes == content["num_processes"]
    arguments = launched(config)
    assert arguments.num_processes == content["num_processes"]
    assert arguments.num_machines == content["num_machines"]
    assert arguments.mixed_precision == content["mixed_precision"]
    assert bool(arguments.multi_gpu) == (content["distributed_type"] == "MULTI_GPU")
    assert not any(getattr(arguments, other) for other in ("use_deepspeed", "use_fsdp", "use_megatron_lm", "tpu"))
    assert arguments.dynamo_backend == "no"


def test_the_second_machine_says_so_by_a_flag():
    assert launched(ROOT / "docs/accelerate/machines.yaml").machine_rank == 0
    assert launched(ROOT / "docs/accelerate/machines.yaml", "--machine_rank", "1").machine_rank == 1


@by_config
def test_the_page_names_the_configuration_in_a_command_and_a_link(config):
    assert f"accelerate launch --config_file docs/accelerate/{config.name} train_accelerate.py" in PAGE
    assert f"(accelerate/{config.name})" in PAGE


def test_what_the_page_links_to_is_there():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGE) if "://" not in link]
    assert len(links) >= len(CONFIGS)
    assert all((Path(ROOT, "docs") / link).exists() for link in links)


def test_two_processes_on_cpus_by_their_configuration(paired_folder, tmp_path):
    settings = ["pix2pix", "--dataset", paired_folder, "--side_by_side", *PLAIN, "--max_steps", "1"]
    config = ["--config_file", str(ROOT / "docs/accelerate/cpus.yaml"), "--main_process_port", free_port()]
    result = run(*settings, "--output_dir", tmp_path / "run", launcher=config)
    assert result.returncode == 0, result.stderr
    assert "global batch 2" in result.stderr


def test_bfloat16_on_a_cpu_by_the_pages_command(paired_folder, tmp_path):
    (typed,) = re.findall(r"one CPU that computes in bfloat16 \| `python train_accelerate.py pix2pix … (.*)`", PAGE)
    settings = ["pix2pix", "--dataset", paired_folder, "--side_by_side", *PLAIN, "--max_steps", "1"]
    result = run(*settings, "--output_dir", tmp_path / "run", *typed.split())
    assert result.returncode == 0, result.stderr
    assert "| Precision | bfloat16 mixed, saved as float32 |" in (tmp_path / "run/README.md").read_text()
