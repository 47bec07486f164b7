#!/usr/bin/env python
"""Train an image-to-image translator on a Hub data set or a folder, on any number of devices.

accelerate launch train_accelerate.py pix2pix --dataset facades --side_by_side --direction BtoA --output_dir runs/a
accelerate launch train_accelerate.py cyclegan --dataset yosemite --output_dir runs/b
accelerate launch train_accelerate.py pix2pix --help
"""

import os
import sys
from collections.abc import Callable
from dataclasses import field, fields, make_dataclass
from typing import Any, NoReturn

import torch
import tyro
from torch import distributed

from img2img_hub.data.find.sources import DataConfig
from img2img_hub.families import FAMILIES, Family
from img2img_hub.families.options import Architecture
from img2img_hub.hub.publish import PUSH_ERRORS
from img2img_hub.training.loop import train
from img2img_hub.training.run.config import TrainConfig


def command(family: type[Family]) -> Callable[..., None]:
    """A subcommand whose flags are the fields of the four configurations."""

    def run(objective: Family, networks: object, data: DataConfig, run: TrainConfig) -> None:
        train(objective, TrainConfig(**vars(run)), data, architecture=networks)

    run.__doc__ = family.__doc__
    types: dict[str, Any] = {item.name: item.type for item in fields(TrainConfig)}
    types["decay_epochs"] |= None
    known = TrainConfig.defaults_of(family) | {"decay_epochs": None}  # a share of num_epochs, which may be given
    defaults = [(key, types[key], field(default=value)) for key, value in known.items()]
    own = make_dataclass("TrainConfig", defaults, bases=(TrainConfig,), frozen=True, kw_only=True)
    run.__annotations__ = {"objective": family, "networks": Architecture, "data": DataConfig, "run": own}
    return run


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0, or 2 with one line on stderr for what the user can mend."""
    commands = {family.name: command(family) for family in sorted(FAMILIES.values(), key=lambda family: family.name)}
    try:
        tyro.extras.subcommand_cli_from_dict(
            commands,
            args=arguments,
            description=(__doc__ or "").splitlines()[0],
            config=(tyro.conf.OmitArgPrefixes,),
            use_underscores=True,
        )
    except PUSH_ERRORS as error:
        return _say(f"error: {error}", status=2)
    except (torch.OutOfMemoryError, MemoryError) as error:
        return _say(f"error: out of memory: lower --batch_size, --image_size or --width ({error})", status=2)
    except KeyboardInterrupt:
        return _say("stopped at once: --resume goes on from the last checkpoint, if there is one", status=130)
    return 0


def _say(text: str, *, status: int) -> int:
    """One line on stderr, from one process a machine: what stops all of them is mostly the same on each."""
    if "0" in (os.environ.get("RANK", "0"), os.environ.get("LOCAL_RANK")):
        print(f"train_accelerate.py: {' '.join(text.split())}", file=sys.stderr)
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


if __name__ == "__main__":
    leave(main())
