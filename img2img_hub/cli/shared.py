"""What the commands share: loading the model they name, and errors in one line.

python -m img2img_hub translate --help
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from img2img_hub.errors import one_line

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
    from img2img_hub.translation.translator import Translator

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


def explained(error: BaseException) -> str:
    """An error's message in one line; the Hub's "not found" in words."""
    text = one_line(error)
    if isinstance(error, RepositoryNotFoundError):
        text = f"there is no such repo on the Hub, or you may not see it (log in: hf auth login). {text}"
    return text
