"""Functions that take turns, each in a process of its own, which does nothing while another has its turn.

    child = Child("benchmarks.spade", {"work": "step", "whose": "ours"}); child.turn(); child.finish()

So each has its own memory, too, whose peak can be compared. The module is started as `python -m MODULE --child
SETTINGS`, and calls `serve` then.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.harness import Case, compare, seconds, summary


class Child:
    """A process that makes a turn's steps when it is asked to."""

    def __init__(self, module: str, settings: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, "--child", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"ACCELERATE_MIXED_PRECISION": "bf16" if settings.get("bf16") else "no"},
        )
        self.first = self._answer()

    def _answer(self) -> float:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a step's process has ended: its message stands above")
        return float(line)

    def turn(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("turn\n")
        self.process.stdin.flush()
        self._answer()

    def finish(self) -> float:
        """The peak of its memory, in bytes: resident, or on the GPU."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        peak = self._answer()
        self.process.wait()
        return peak


def serve(step: Callable[[], object], settings: dict[str, Any]) -> None:
    """Seconds of the first step, an answer a turn, and the peak of the memory at the end."""
    gpu = settings.get("gpu", False)

    def steps(count: int) -> None:
        for _ in range(count):
            step()
        if gpu:
            torch.cuda.synchronize()

    print(seconds(lambda: steps(1)), flush=True)
    for _ in sys.stdin:
        steps(settings.get("steps", 1))
        print(0, flush=True)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(torch.cuda.max_memory_allocated() if gpu else resident, flush=True)


def versus(
    name: str, module: str, plain: dict[str, Any], ours: dict[str, Any], *, kind: str = "", target: float, turns: int
) -> list[Case]:
    """Speed and peak memory of our function with these settings, against the plain one with those."""
    children = {"plain": Child(module, plain), f"ours{kind}": Child(module, ours)}
    for whose, child in children.items():
        print(f"{name}, {whose}: the first step took {child.first:.1f} s", file=sys.stderr)
    first, second = children.values()
    speed = compare(f"{name}, images a second{kind}", plain=first.turn, ours=second.turn, target=target, turns=turns)
    peaks = [child.finish() for child in (first, second)]
    print(f"{name}: peak memory {peaks[0] / 2**20:.0f} MiB plain, {peaks[1] / 2**20:.0f} MiB ours", file=sys.stderr)
    return [speed, summary(f"{name}, peak memory{kind}", [peaks[1] / peaks[0]] * 2, target=1.0, at_most=True)]
