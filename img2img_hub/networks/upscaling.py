"""What networks of super-resolution have in common: their range of values, their scales, how they enlarge.

python -c "from img2img_hub.networks.upscaling import shuffles; print(shuffles(8), shuffles(3))"
"""

from torch import Tensor

from img2img_hub.errors import check_range, is_whole
from img2img_hub.networks.base import Generator


def to_unit(image: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1], which the papers' networks read and most of them give."""
    return image * 0.5 + 0.5


def from_unit(image: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1]. Nothing is cut off: a value beyond must keep its gradient."""
    return image * 2 + -1  # no difference, which `strips.recording` does not know


def begin(network: Generator, *, scales: tuple[int, ...], in_channels: int, out_channels: int, scale: int) -> None:
    """What all of them are told first: bands, and a scale that the architecture has. Raises ValueError, whatever a
    config.json says."""
    if not is_whole(scale) or scale not in scales:
        *most, last = map(str, scales)
        raise ValueError(f"scale must be {', '.join(most)} or {last}, got {scale!r:.60}")
    check_range(in_channels=(in_channels, 1, 4096), out_channels=(out_channels, 1, 4096))
    network.in_channels, network.out_channels, network.scale = in_channels, out_channels, scale


def check_same_bands(network: Generator) -> None:
    """Refuse other bands in the output than in the source, which is added to it. Raises ValueError."""
    if network.in_channels != network.out_channels:
        raise ValueError(
            f"a {type(network).__name__} adds the enlarged source to what it makes, so that both have the same bands, "
            f"got in_channels {network.in_channels} and out_channels {network.out_channels}: make them equal, or take "
            "an RRDBGenerator"
        )


def shuffles(scale: int) -> tuple[int, ...]:
    """By what an image is enlarged one after the other: 2, 4 and 8 by twos, 3 by itself."""
    return (2,) * (scale.bit_length() - 1) if scale & (scale - 1) == 0 else (scale,)
