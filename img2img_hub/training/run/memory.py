"""Keeping the memory that a step frees, for the next step needs the same again.

python -c "from img2img_hub.training.run.memory import keep_freed_memory; print(keep_freed_memory())"
"""

import ctypes

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Let this process keep the main memory that it frees; whether its C library can be asked for that (glibc can).

    By itself glibc gives large blocks back to the system, which hands them out again page by page, each filled with
    zeros at its first touch. A step on the CPU takes and frees hundreds of megabytes (activations, gradients); a sixth
    of pix2pix's was spent on this. The process then stays at its peak, which is some hundredths higher.
    """
    mallopt = getattr(ctypes.pythonapi, "mallopt", None)  # of all that this process has loaded
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))
