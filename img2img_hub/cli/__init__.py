"""The command line: train, translate images, evaluate a model, look at a data set, push a model, serve the page.

    python -m img2img_hub train pix2pix --dataset facades --side_by_side --direction BtoA --output_dir runs/facades
    python -m img2img_hub translate photos/ --model model_cards/facades-label2photo --output translated/
    python -m img2img_hub evaluate --model runs/facades --dataset facades --side_by_side --direction BtoA --split test
    python -m img2img_hub check-data --dataset facades --side_by_side --sheet preview.png
    python -m img2img_hub push-model runs/facades --repo_id user/facades
    python -m img2img_hub push-space user/translators --models model_cards user/model
    python -m img2img_hub convert latest_net_G.pth --output models/facades
    python -m img2img_hub export --model user/facades --output facades.onnx --dynamic
    python -m img2img_hub demo runs/facades

Exit status: 0; 1 where some images could not be used and the others were; 2, with one line on stderr, for what the
user can mend, and where no image could be used. What is heavy (torch and what needs it) is imported inside the
commands, so that --help is quick.
"""

import os
import sys
import warnings
from collections.abc import Callable, Sequence

from img2img_hub import __version__
from img2img_hub.cli.check_data import check_data
from img2img_hub.cli.convert import convert
from img2img_hub.cli.demo import demo
from img2img_hub.cli.evaluate import evaluate
from img2img_hub.cli.export import export
from img2img_hub.cli.parsing import parse
from img2img_hub.cli.push_model import push_model
from img2img_hub.cli.push_space import push_space
from img2img_hub.cli.shared import HTTPError, explained, missing_package
from img2img_hub.cli.streams import standard_streams
from img2img_hub.cli.translate import translate


def _train() -> int:
    """Train a translator: `img2img_hub train pix2pix -h` names the flags that are used most."""
    return train([], program="img2img_hub train")


COMMANDS: dict[str, Callable[..., int]] = {
    "train": _train,
    "demo": demo,
    "translate": translate,
    "evaluate": evaluate,
    "check-data": check_data,
    "push-model": push_model,
    "push-space": push_space,
    "convert": convert,
    "export": export,
}


DESCRIPTION = "Image-to-image translation: train, use, measure and share."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with standard_streams():
        if words == ["--version"]:
            print(f"img2img_hub {__version__}")
            return 0
        if words[:1] == ["train"]:
            return train(words[1:], program="img2img_hub train")
        try:
            return _run(words)
        except ModuleNotFoundError as error:
            return _say_what_is_missing(error, program="img2img_hub")


def train(words: Sequence[str], *, program: str) -> int:
    """Train, as `cli.training` has it; its flags are each family's own, and to know them takes PyTorch."""
    try:
        from img2img_hub.cli.training import leave, main
    except ModuleNotFoundError as error:
        return _say_what_is_missing(error, program=program)
    status = main(words, program=program)
    if "RANK" in os.environ:
        leave(status)
    return status


def _say_what_is_missing(error: ModuleNotFoundError, *, program: str) -> int:
    if (said := missing_package(error)) is None:
        raise error
    print(f"{program}: error: {said}", file=sys.stderr)
    return 2


def _run(words: list[str]) -> int:
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"img2img_hub: warning: {message}", file=sys.stderr)
        try:
            call = parse(COMMANDS, prog="img2img_hub", description=DESCRIPTION, arguments=words)
            return call()
        except BrokenPipeError:
            raise
        except (ValueError, OSError, HTTPError) as error:
            print(f"img2img_hub: error: {explained(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("img2img_hub: stopped", file=sys.stderr)
            return 130
