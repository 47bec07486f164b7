"""Train an image-to-image translator on a Hub data set or a folder, on any number of devices.

img2img_hub train pix2pix --dataset facades --side_by_side --direction BtoA --output_dir runs/a
accelerate launch train_accelerate.py cyclegan --dataset yosemite --output_dir runs/b
img2img_hub train --config runs/a/training_config.json --output_dir runs/again
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, field, fields, make_dataclass
from types import NoneType
from typing import Any, NoReturn, get_args, get_type_hints

import torch
from torch import distributed

from img2img_hub.cli.parsing import bare_type, parse
from img2img_hub.cli.run_file import with_file
from img2img_hub.cli.shared import explained
from img2img_hub.cli.streams import standard_streams
from img2img_hub.cli.training_help import Texts, short_help
from img2img_hub.data.find.sources import DataConfig
from img2img_hub.families import FAMILIES, Family
from img2img_hub.families.options import Architecture
from img2img_hub.hub.publish import PUSH_ERRORS
from img2img_hub.training.loop import train
from img2img_hub.training.run.config import LATER, TrainConfig


def main(arguments: Sequence[str] | None = None, *, program: str = "img2img_hub train") -> int:
    """Exit status: 0; 2 with one line on stderr for what the user can mend; 130 after Ctrl-C and 143 after SIGTERM."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    asks = bool({"-h", "--help"} & set(words))
    with standard_streams(go_on=not asks):
        return _main(words, program=program)


def _main(words: list[str], *, program: str) -> int:
    helped = "--help" in words
    families = sorted(FAMILIES.values(), key=lambda family: family.name)
    try:
        commands = {family.name: command(family, helped=helped) for family in families}
        if words[:1] and words[0] in commands and "-h" in words and not helped:
            print(short_help(FAMILIES[words[0]], program=program))
            return 0
        words = with_file(words, commands)
        call = parse(commands, prog=program, description=(__doc__ or "").splitlines()[0], arguments=words)
        return call()
    except BrokenPipeError:  # of a help text
        raise
    except PUSH_ERRORS as error:
        return _say(f"error: {explained(error)}", program=program, status=2)
    except (torch.OutOfMemoryError, MemoryError) as error:
        text = f"error: out of memory: lower --batch_size, --image_size or --width ({error})"
        return _say(text, program=program, status=2)
    except KeyboardInterrupt:
        said = "stopped at once: --resume goes on from the last checkpoint, if there is one"
        return _say(said, program=program, status=128 + signal.SIGINT)


def command(family: type[Family], *, helped: bool = False) -> Callable[..., int]:
    """A subcommand whose flags are the fields of the four configurations.

    helped: with texts that say what holds where nothing is typed, which take a moment to put together.
    """

    def run(objective: Family, networks: Any, data: DataConfig, run: TrainConfig) -> int:
        shape = {item.name: getattr(networks, item.name) for item in fields(networks)}
        settings = {item.name: getattr(run, item.name) for item in fields(TrainConfig)}
        done = train(objective, TrainConfig(**settings), data, architecture=Architecture(**shape))
        return 0 if done.stopped_by is None else 128 + done.stopped_by

    run.__doc__ = (
        f"{family.__doc__}\n\n--config FILE takes flags from a YAML or JSON file, or a run's training_config.json."
    )
    texts = Texts(family) if helped else None
    known = TrainConfig.defaults_of(family) | dict.fromkeys(LATER)  # asked of a run that is resumed
    run.__annotations__ = {
        "objective": family if texts is None else _with(family, texts=texts),
        "networks": Architecture if texts is None else _with(Architecture, texts=texts),
        "data": DataConfig if texts is None else _with(DataConfig, texts=texts),
        "run": _with(TrainConfig, texts=texts, defaults=known),
    }
    return run


def _with(base: type[Any], *, texts: Texts | None, defaults: dict[str, Any] | None = None) -> type[Any]:
    """The data class with other defaults and, for a help text, with words."""
    changed: list[tuple[Any, ...]] = []
    types = get_type_hints(base, include_extras=True)
    for item in fields(base):
        default, kind = (defaults or {}).get(item.name, item.default), types[item.name]
        if default is None and NoneType not in get_args(bare_type(kind)):
            kind |= None
        if texts is not None:
            kind = texts.of(item, kind, default)
        changed.append((item.name, kind) if default is MISSING else (item.name, kind, field(default=default)))
    return make_dataclass(base.__name__, changed, bases=(base,), frozen=True, kw_only=True)


def _say(text: str, *, program: str, status: int) -> int:
    """One line on stderr, from one process a machine: what stops all of them is mostly the same on each."""
    if "0" in (os.environ.get("RANK", "0"), os.environ.get("LOCAL_RANK")):
        print(f"{program}: {' '.join(text.split())}", file=sys.stderr)
    return status


def leave(status: int) -> NoReturn:
    """End this process; one that is still in a group of processes ends at once, and the others notice.

    An interpreter that ends beside PyTorch's threads for the group is now and then aborted by them: SIGABRT in place of
    `status`.
    """
    if distributed.is_available() and distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
