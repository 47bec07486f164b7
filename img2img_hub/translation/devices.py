"""Devices: the best one here, moving a network to one, and how a lack of memory on one is said.

python -c "from img2img_hub.translation.devices import best_device; print(best_device())"
"""

import torch

from img2img_hub.errors import first_line
from img2img_hub.networks import Network

_OUT_OF_MEMORY = ("allocate memory", "tried to allocate", "out of memory", "bad_alloc")  # as the runtimes say it


def best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def moved(network: Network, device: str | torch.device) -> Network:
    """The network itself, on that device. Raises ValueError where it cannot be used."""
    try:
        return network.to(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {str(device)!r} cannot be used ({first_line(error)}); cpu always can") from None


def out_of_memory(error: Exception) -> bool:
    """Whether an error of any runtime says that there is not enough memory."""
    said = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in said for words in _OUT_OF_MEMORY)
