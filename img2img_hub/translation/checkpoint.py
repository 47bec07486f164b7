"""A generator out of a run's checkpoint, so that a run can be looked at before its end.

    python -m img2img_hub translate photos/ --model runs/facades/checkpoints/step-1000 --output translated/

The weights are the average's where the run keeps one, as the finished generator's will be. Of a run with generators of
two directions the name of one comes behind: runs/zebras/checkpoints/step-1000/target2source.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from img2img_hub.errors import one_line
from img2img_hub.families import FAMILIES, Family
from img2img_hub.networks import Generator, Network
from img2img_hub.translation.settings import TranslationSettings

MODEL_FILE = "model.json"
STATE_FILE = "training_state.pt"  # of all files of a checkpoint the one that no other folder has


class _Refused(Exception):
    """What is no damage."""


def is_checkpoint(where: str) -> bool:
    """Whether it names a run's checkpoint, or a generator in one."""
    path = Path(where)
    return (path / STATE_FILE).is_file() or (path.parent / STATE_FILE).is_file()


def open_checkpoint(where: str) -> tuple[Generator, TranslationSettings]:
    """The generator, in eval mode on the CPU, and how it translates.

    Raises:
        ValueError: the checkpoint is of a former version or damaged, or holds several generators and none is named.
    """
    path = Path(where)
    folder, wanted = (path, "") if (path / STATE_FILE).is_file() else (path.parent, path.name)
    try:
        said = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        family = _family(run)
        ways = {direction.folder or direction.generator: direction for direction in family.directions}
        if wanted not in ways and (wanted or len(ways) > 1):
            choices = " or ".join(str(folder / name) for name in ways)
            raise _Refused(f"{where} holds {' and '.join(ways)}: name one, {choices}")
        way = ways[wanted] if wanted else next(iter(ways.values()))
        networks = {
            name: _network(folder, name, said["networks"][name])
            for name in (way.generator, *way.auxiliaries)
            if name in said["networks"]
        }
        generator = family.complete(networks[way.generator], dict(networks)).eval()
        if not isinstance(generator, Generator):
            raise TypeError(f"{way.generator} is a {type(generator).__name__}")
        settings = TranslationSettings.from_dict(said["translations"][way.generator])
    except FileNotFoundError as error:
        raise ValueError(
            f"{folder} lacks {Path(error.filename or MODEL_FILE).name}, as checkpoints of former versions do, or is "
            "damaged: resume the run, whose next checkpoint will translate, or name a finished generator"
        ) from None
    except _Refused as refusal:
        raise ValueError(str(refusal)) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"the checkpoint {folder} is damaged ({one_line(error, most=200)}): name another") from None
    return generator, settings


def _family(run: dict[str, Any]) -> Family:
    kind = FAMILIES.get(run["family"])
    if kind is None:
        raise _Refused(f"its run is of the family {run['family']!r}, which is not known here")
    known = {item.name for item in fields(kind)}
    return kind(**{key: value for key, value in run["objective"].items() if key in known})


def _network(folder: Path, name: str, config: dict[str, Any]) -> Network:
    network = Network._from_config(config, where=str(folder / MODEL_FILE))
    average = folder / f"{name}.ema.safetensors"
    if average.is_file():
        state = {
            key.removeprefix("module."): value for key, value in load_file(average).items() if key.startswith("module.")
        }
    else:
        state = load_file(folder / f"{name}.safetensors")
    return network.copy_as_saved(dtype="float32", state=state)
