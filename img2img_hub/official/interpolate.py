"""What is between two networks of one shape: each weight a share of the one's and the rest of the other's.

    python -m img2img_hub convert realesr-general-x4v3.pth --interpolate realesr-general-wdn-x4v3.pth 0.3 \\
        --output models/x4

So Real-ESRGAN sets how much noise its general model leaves, and ESRGAN how much texture (Wang et al. 2018, arXiv
1809.00219, section 3.4). It holds for networks of which one was trained on from the other, or both from a third.
"""

from pathlib import Path

import torch
from torch.nn.utils.parametrize import is_parametrized

from img2img_hub.errors import check_range
from img2img_hub.official.file import Official


def interpolate(one: Official, two: Official, *, share: float, where: tuple[Path, Path]) -> list[str]:
    """Give the one's weights that share of the other's.

    Args:
        share: 0 leaves the one as it is, 1 makes it the other.
        where: their files, for refusals.

    Returns:
        Notes on the other that are not the one's, too.

    Raises:
        ValueError: no such share, networks that are not alike, or some whose weights are no plain numbers.
    """
    check_range(interpolate=(share, 0.0, 1.0))
    configs = one.network.config, two.network.config
    keys = dict.fromkeys((*configs[0], *configs[1]))
    unlike = next((key for key in keys if configs[0].get(key) != configs[1].get(key)), None)
    if unlike is not None:
        first, second = (f"{path} has {unlike} {of.get(unlike)}" for path, of in zip(where, configs, strict=True))
        raise ValueError(f"{first}, and {second}: weights are interpolated between networks of the same shape alone")
    if any(is_parametrized(layer) for layer in one.network.modules()):
        raise ValueError(
            f"{where[0]} has weights that are divided by spectral norm, and between its vectors and another network's "
            "there are none: leave out --interpolate"
        )
    others = two.network.state_dict()
    with torch.no_grad():
        for name, value in one.network.state_dict().items():
            if value.is_floating_point():  # counters stay the one's
                value.lerp_(others[name], share)
    return [f"of {where[1].name}: {note}" for note in two.notes if note not in one.notes]
