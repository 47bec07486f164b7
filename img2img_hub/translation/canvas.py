"""What takes a translation that comes row by row, from above to below.

python -c "from img2img_hub.translation.canvas import Canvas; print(Canvas(3, 640, 480, picture=True).made)"
"""

import torch
from PIL import Image
from torch import Tensor

from img2img_hub.images.picture import to_image


class Canvas:
    """A picture in 8 bits from the first row on, or a tensor (C, H, W)."""

    def __init__(self, bands: int, width: int, height: int, *, picture: bool) -> None:
        mode = "L" if bands == 1 else "RGB"
        self.made: Image.Image | Tensor = (
            Image.new(mode, (width, height)) if picture else torch.empty(bands, height, width)
        )

    def write(self, first: int, rows: Tensor) -> None:
        """Put (C, n, W) in [-1, 1] at the rows from `first` on."""
        if isinstance(self.made, Image.Image):
            self.made.paste(to_image(rows), (0, first))
        else:
            self.made[:, first : first + rows.shape[1]] = rows
