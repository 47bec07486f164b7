"""What the benchmarks share: interleaved timing, one JSON line at the end, an exit status.

A case compares two functions that do the same work. They take turns, so that a machine that slows down slows both, and
the ratio is taken within each turn; its median and spread are reported.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch


@dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison: the median ratio of all turns, the spread between its quartiles, and what it should reach."""

    case: str
    ratio: float
    target: float
    at_most: bool  # whether the target is an upper bound
    spread: tuple[float, float]

    @property
    def met(self) -> bool:
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


def seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def compare(
    case: str,
    *,
    plain: Callable[[], object],
    ours: Callable[[], object],
    target: float,
    at_most: bool = False,
    turns: int = 15,
    warm_up: int = 2,
) -> Case:
    """Let both take turns; the ratio is plain time / our time ("× faster"), or with `at_most` our time / plain time."""
    for _ in range(warm_up):
        plain()
        ours()
    ratios = []
    for turn in range(turns):
        first, second = (plain, ours) if turn % 2 == 0 else (ours, plain)
        times = {first: seconds(first), second: seconds(second)}
        ratios.append(times[ours] / times[plain] if at_most else times[plain] / times[ours])
        print(f"{case}: turn {turn + 1}/{turns}, ratio {ratios[-1]:.3f}", file=sys.stderr)
    return summary(case, ratios, target=target, at_most=at_most)


def summary(case: str, ratios: list[float], *, target: float, at_most: bool = False) -> Case:
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Case(
        case=case, ratio=round(median, 4), target=target, at_most=at_most, spread=(round(low, 4), round(high, 4))
    )


def report(name: str, cases: list[Case]) -> int:
    """Print the JSON line; the exit status, 1 where a target is missed."""
    print(json.dumps({"name": name, "cases": [asdict(case) for case in cases], "machine": machine()}))
    return 0 if all(case.met for case in cases) else 1


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "processor": model,
        "cores": cores(),
        "simd": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
