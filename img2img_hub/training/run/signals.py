"""Ctrl-C and SIGTERM as a wish: finish the step, save on every rank at the same step, leave cleanly.

    kill -TERM -PGID    # of the process group, or of the script itself

The launcher may not pass a signal on to every process, so the ranks tell each other. Where several processes were
started by it and it is gone, killed perhaps, they stop in the same way: nobody could stop them by it any more.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import distributed

from img2img_hub.training.run.launch import PATIENCE

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BROKEN = 1000  # above all signals


class Interrupted(BaseException):
    """A stop that was asked for while the run waits for something, such as a Hub that does not answer."""


class StopRequest:
    """Context in which a first signal asks to stop, and a second one stops at once."""

    def __init__(self) -> None:
        self.number = 0
        """The signal that asked, on this rank or another; 0 as long as none has."""
        self._launcher = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        self.broken = False
        """Whether the ranks have agreed to stop for one of them that cannot go on."""
        self._waiting = False
        self._before: dict[int, Any] = {}
        self._group: Any = None

    def __enter__(self) -> "StopRequest":
        try:
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._ask)
        except ValueError:  # not in the main thread (a notebook's worker): signals are not ours to take
            pass
        if distributed.is_initialized() and distributed.get_world_size() > 1:
            # On the CPU in any case: asking every step must not wait for the GPU's queue.
            self._group = distributed.new_group(backend="gloo", timeout=PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            signal.signal(number, self._before[number])
            signal.raise_signal(number)
        elif os.environ.get("RANK", "0") == "0":  # not print: a signal may come in the middle of one
            os.write(2, b"\nStopping after this step; a second Ctrl-C or SIGTERM stops at once.\n")
        self.number = number
        if self._waiting:
            raise Interrupted

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what may take for ever. Raises Interrupted where a stop is asked for inside."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    def agreed(self, *, broken: bool = False) -> bool:
        """Whether any rank was asked to stop; every rank gets the same answer at the same step.

        broken: this rank cannot go on.
        """
        if self._launcher is not None and os.getppid() != self._launcher:
            self.number = self.number or signal.SIGTERM
        agreed = _BROKEN if broken else int(self.number)
        if self._group is not None:
            number = torch.tensor(agreed)
            distributed.all_reduce(number, op=distributed.ReduceOp.MAX, group=self._group)
            agreed = int(number.item())
        self.broken = agreed == _BROKEN
        if agreed and not self.broken:  # else a signal may have come meanwhile, which is for the next step
            self.number = agreed
        return bool(agreed)


def leave_signals_to_the_run(_worker: int = 0) -> None:
    """For the workers of a DataLoader: the training process alone decides when to stop.

    A SIGTERM to the whole process group must not take a worker away from a step that is still to be finished; the
    alarm sees to it that nobody waits for ever for a worker that was told to go.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(120))
