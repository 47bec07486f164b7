"""What the README and the shipped cards say is there: links, pictures, flags, models, numbers."""

import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest

from img2img_hub import DataConfig, Network, TrainConfig, cli
from img2img_hub.cli.elsewhere import ELSEWHERE
from img2img_hub.evaluation.metrics import METRICS
from img2img_hub.families import FAMILIES
from img2img_hub.families.options import Architecture
from img2img_hub.translation.settings import TranslationSettings

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs/labels.md",
    ROOT / "docs/numbers.md",
    *sorted(ROOT.glob("model_cards/*/README.md")),
]
MODELS = sorted(path.parent for path in ROOT.glob("model_cards/*/README.md"))

# Of accelerate, pip, the test Hub, the benchmarks …: flags that are no field and no command's.
FOREIGN = {"multi_gpu", "num_processes", "num_machines", "mixed_precision", "dynamo_backend", "port", "user"}
FOREIGN |= {"no-deps", "quality", "facades"}  # the last of an example


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_are_there(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    assert targets or page.name == "CONTRIBUTING.md"
    for target in targets:
        if not target.startswith(("http", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_the_page_of_numbers_has_every_number():
    page = (ROOT / "docs/numbers.md").read_text(encoding="utf-8")
    assert [name for name in METRICS if f"`{re.sub('_(source|target)$', '', name)}" not in page] == []


def test_flags_of_the_readme_exist():
    classes = [Architecture, DataConfig, TrainConfig, *FAMILIES.values()]
    known = {field.name for part in classes for field in dataclasses.fields(part)}
    for command in vars(cli).values():
        if inspect.isfunction(command):
            known |= set(inspect.signature(command).parameters)
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/labels.md"))
    flags = set(re.findall(r"(?<![\w-])--([a-z][a-zA-Z_0-9-]*)", text))
    assert len(flags) > 20
    flags = {flag.removeprefix("no_") for flag in flags}  # --no_cache switches --cache off
    flags = {flag if flag in FOREIGN else flag.replace("-", "_") for flag in flags}
    assert flags <= known | FOREIGN | ELSEWHERE.keys() | {"help", "config"}


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_a_shipped_model_is_complete_and_small(folder):
    network = Network.from_pretrained(folder)
    TranslationSettings.load(folder)
    assert (folder / "model.safetensors").stat().st_size <= 16_000_000
    assert json.loads((folder / "training_config.json").read_text())["family"] in FAMILIES
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{network.parameter_count / 1e6:.3g} million" in card
    assert "train_accelerate.py" in card


def test_the_readmes_tables_have_the_cards_numbers():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert MODELS
    for folder in MODELS:
        card = (folder / "README.md").read_text(encoding="utf-8")
        (place,) = [number for number, line in enumerate(lines) if line.startswith(f"| [{folder.name}]")]
        head = next(lines[above - 1] for above in range(place, 0, -1) if lines[above].startswith("|---"))
        cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in (head, lines[place])]
        names, values = (each[3:] for each in cells)
        assert len(names) == len(values) >= 3
        for name, cell in zip(names, values, strict=True):
            (value,) = re.findall(rf"^\| {name} ?\(.*?\| ([\d.]+)", card, re.MULTILINE)
            assert cell.removesuffix(" dB") == value, (folder.name, name)
