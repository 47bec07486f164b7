"""What a command writes goes out, whatever the standard streams can show, and ends quietly where nobody reads on.

img2img_hub --help | head
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BROKEN_PIPE = 141  # as of a program that SIGPIPE has ended


@contextmanager
def standard_streams() -> Iterator[None]:
    """Around a command.

    Raises:
        SystemExit: whoever read the output has gone, such as `head`.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's is none
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at its end, which would fail again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        raise SystemExit(BROKEN_PIPE) from None
