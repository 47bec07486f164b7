"""Every number that an evaluation gives: its name for people, its unit, and which way is better.

python -c "from img2img_hub.evaluation.metrics import METRICS; print(METRICS['ssim'])"
"""

from collections.abc import Iterable

from img2img_hub.families import FAMILIES
from img2img_hub.families.base import Metric


class _Metrics(dict[str, Metric]):
    """And the families' own."""

    def __missing__(self, name: str) -> Metric:
        for family in FAMILIES.values():
            if name in family.metrics:
                return family.metrics[name]
        raise KeyError(name)


_TARGET, _SOURCE = "translated sources against real targets", "translated targets against real sources"

METRICS = _Metrics(
    {
        "l1": Metric("L1", "values in 0–1"),
        "psnr": Metric("PSNR", "dB", higher_is_better=True, digits=2),
        "ssim": Metric("SSIM", "at most 1", higher_is_better=True),
        "ms_ssim": Metric("MS-SSIM", "0–1", higher_is_better=True),
        "lpips": Metric("LPIPS", "AlexNet"),
        "cycle_l1_source": Metric("cycle L1, source", "there and back, values in 0–1"),
        "cycle_l1_target": Metric("cycle L1, target", "there and back, values in 0–1"),
        "swd_target": Metric("SWD, target", f"sliced Wasserstein distance, {_TARGET}"),
        "swd_source": Metric("SWD, source", f"sliced Wasserstein distance, {_SOURCE}"),
        "fid_target": Metric("FID, target", f"Fréchet Inception distance, {_TARGET}", digits=2),
        "fid_source": Metric("FID, source", f"Fréchet Inception distance, {_SOURCE}", digits=2),
        "kid_target": Metric("KID, target", f"kernel Inception distance, {_TARGET}", digits=5),
        "kid_source": Metric("KID, source", f"kernel Inception distance, {_SOURCE}", digits=5),
    }
)


def metric_names(
    *, paired: bool, cycles: bool = True, extra: Iterable[str] = (), own: Iterable[str] = ()
) -> tuple[str, ...]:
    """What an evaluation gives, in its order, where `extra` (some of lpips, fid, kid) could be loaded.

    Args:
        cycles: unpaired data are translated there and back; without it nothing is made of targets.
        own: the family's (`Family.metrics`), which pairs have.

    Raises:
        ValueError: lpips without pairs.
    """
    extra = set(extra)
    if "lpips" in extra and not paired:
        raise ValueError(
            "--extra_metrics lpips compares outputs with their targets, and unpaired data have none: take fid or kid"
        )
    cycles = cycles and not paired
    sides = ("target", "source") if cycles else ("target",)
    kinds = ("swd", *(kind for kind in ("fid", "kid") if kind in extra))
    first = ["l1", "psnr", "ssim", "ms_ssim"] if paired else ["cycle_l1_source", "cycle_l1_target"] if cycles else []
    lpips = ["lpips"] if "lpips" in extra else []
    return (*first, *lpips, *(f"{kind}_{side}" for side in sides for kind in kinds), *(own if paired else ()))
