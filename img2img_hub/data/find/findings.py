"""What somebody should know of a data set before training on it: what was left out, what is read as something else.

    from img2img_hub.data.find.findings import findings

    print("\\n".join(findings(data)))

`check-data` notes the same while it reads every image; this reads a few, so that training starts at once.
"""

from __future__ import annotations

from img2img_hub.data.samples.opened import ImageData, readers
from img2img_hub.data.stream.streaming import StreamedData
from img2img_hub.images.remarks import noted, told
from img2img_hub.images.values import spread

_LOOKED_AT = 8  # images, or pairs, that are read


def findings(data: ImageData | StreamedData) -> list[str]:
    """One line for each thing, from the folders and a few images, spread over all; of a stream, the first ones."""
    images = data.first if isinstance(data, StreamedData) else data
    if images is None:
        return []
    with noted() as notes:
        for read, length in readers(images):
            for index in spread(length, _LOOKED_AT):
                try:
                    read(index)
                except ValueError:  # whoever reads all of them says so
                    continue
    return [*left_out(images), *told(notes)]


def left_out(data: ImageData) -> list[str]:
    """One line for each folder, or column, of which something was not taken."""
    return list(dict.fromkeys(line for side in data.sides.values() if (line := side.images.left_out)))
