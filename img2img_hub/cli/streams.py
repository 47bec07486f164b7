"""What a command writes goes out, whatever the standard streams can show, and nobody has to read it.

img2img_hub --help | head
"""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

BROKEN_PIPE = 141  # as of a program that SIGPIPE has ended


@contextmanager
def standard_streams(*, go_on: bool = False) -> Iterator[None]:
    """Around a command. go_on: what it does is worth more than what it says, so that it does not end where nobody reads
    on, as after `| head` or a terminal that was closed.

    Raises:
        SystemExit: whoever read the output has gone.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's is none
            stream.reconfigure(errors="backslashreplace")
    before = sys.stdout, sys.stderr
    if go_on:
        sys.stdout, sys.stderr = _Unread(sys.stdout), _Unread(sys.stderr)
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        if not any(_is_unread(stream) for stream in before):
            raise  # of another pipe
        for stream in before:
            _silence(stream)  # Python flushes once more at its end, which would fail again
        raise SystemExit(BROKEN_PIPE) from None
    finally:
        sys.stdout, sys.stderr = before


class _Unread:
    """A stream whose reader may go: what is written from then on is lost, and nothing else."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            _silence(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            _silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_unread(stream: IO[str] | None) -> bool:
    """Whether nobody is at the other end of its pipe."""
    with suppress(AttributeError, OSError, ValueError):  # no stream, or none of a file
        asked = select.poll()
        asked.register(stream.fileno(), select.POLLERR)  # type: ignore[union-attr]
        return bool(asked.poll(0))
    return False


def _silence(stream: IO[str] | None) -> None:
    with suppress(AttributeError, OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)
