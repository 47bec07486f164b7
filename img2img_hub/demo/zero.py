"""ZeroGPU, the Hub's shared GPUs: a Space gets one for the time of a call that asks for it, and nowhere else.

The `spaces` package is there on Spaces; anywhere else a call is just made.
"""

import os
from collections.abc import Callable
from typing import TypeVar

Call = TypeVar("Call", bound=Callable[..., object])

ON_ZERO_GPU = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
"""Whether this is such a Space. Weights have to be on "cuda" before the first visitor comes: each call runs in a
process of its own, and what it loads is gone after it."""


def gpu(call: Call) -> Call:
    """`call`, with a GPU for as long as it takes."""
    if not ON_ZERO_GPU:
        return call
    import spaces

    return spaces.GPU(call)
