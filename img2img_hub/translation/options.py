"""What a caller may say beside an image, for the two forms of `Translator.__call__`.

python -c "from img2img_hub import Translator; help(Translator.__call__)"
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from img2img_hub.images.read import ImageLike
from img2img_hub.translation.settings import Resize

Input = ImageLike | Mapping[str, ImageLike]
"""What is translated: an image, or several by name for a model whose input is made of several."""
Mask = ImageLike | Sequence[ImageLike]
"""Where holes are, of one image or of each of a list."""


class Options(TypedDict, total=False):
    """See `Translator.__call__`."""

    resize: Resize | None
    seed: int | None
    style: ImageLike | None
    mask: Mask | None
    batch_size: int
