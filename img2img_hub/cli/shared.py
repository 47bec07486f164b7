"""What the commands share: loading the model they name, and errors in one line.

python -m img2img_hub translate --help
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from img2img_hub.errors import one_line, said_by_http

if TYPE_CHECKING:
    from img2img_hub.translation.translator import Translator

# The HTTP library's own base class, whichever the Hub client uses: a refused connection comes as that.
HTTPError: type[Exception] = HfHubHTTPError.__bases__[0]


@contextmanager
def importing() -> Iterator[None]:
    """Around imports that bring PyTorch to a process that is all the command's: what is imported stays, and searching
    it for garbage, again and again as it grows, takes a tenth of a short command."""
    first = gc.isenabled() and "torch" not in sys.modules
    if first:
        gc.disable()
    try:
        yield
    finally:
        if first:
            gc.freeze()
            gc.enable()


def load_translator(model: str, *, device: str | None, revision: str | None = None, **options: Any) -> "Translator":
    """Load a model and say which. `options` are further ones of `Translator.from_pretrained`."""
    from img2img_hub.data.stream.waiting import say_it_shortly
    from img2img_hub.translation.translator import Translator

    say_it_shortly()
    try:
        translator = Translator.from_pretrained(model, device=device, revision=revision, **options)
    except LocalEntryNotFoundError:
        raise ValueError(
            f"model {model} is not in the cache, and the Hub cannot be reached: check the connection, or name a folder"
        ) from None
    print(f"{'model':18}{model}: {translator.describe()}")
    return translator


def private_or_public(*, private: bool, public: bool) -> bool | None:
    """What two flags say of a new repo; None: whatever it was made of decides. Raises ValueError for both."""
    if private and public:
        raise ValueError("--private and --public exclude each other: leave one out")
    return True if private else False if public else None


_EXTRAS = {"accelerate": "train", "datasets": "train", "gradio": "demo", "markdown_it": "demo"}
"""What pip installs a package with, by the name of its module."""


def missing_package(error: ModuleNotFoundError) -> str | None:
    """What to install, in one line; None for what is no extra of this package."""
    module = (error.name or "").split(".")[0]
    if module not in _EXTRAS:
        return None
    return f"this needs {module}, which is not installed: pip install 'img2img_hub[{_EXTRAS[module]}]'"


def explained(error: BaseException) -> str:
    """An error's message in one line; what the Hub answers in words."""
    if isinstance(error, GatedRepoError):
        return (
            f"this repo is gated: accept its conditions on its page, and log in (hf auth login). {said_by_http(error)}"
        )
    if isinstance(error, RepositoryNotFoundError):
        said = said_by_http(error)
        return f"there is no such repo on the Hub, or you may not see it (log in: hf auth login). {said}"
    if isinstance(error, HfHubHTTPError):
        status, said = getattr(error.response, "status_code", 0), said_by_http(error)
        if status in (401, 403):
            return f"the Hub does not allow this to your token: log in with one that may (hf auth login). {said}"
        return f"the Hub answered: {said}"
    if isinstance(error, HTTPError):
        return f"the Hub cannot be reached ({said_by_http(error)}): check the connection"
    return one_line(error)
