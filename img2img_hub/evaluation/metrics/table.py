"""Every number that an evaluation gives: its name for people, its unit, and which way is better.

python -c "from img2img_hub.evaluation.metrics import METRICS; print(METRICS['ssim'])"
"""

import re
from collections.abc import Iterable

from img2img_hub.families import FAMILIES
from img2img_hub.families.base import Metric


class _Metrics(dict[str, Metric]):
    """And the families' own, and those by other weights of EfficientNet-Lite0."""

    def __missing__(self, name: str) -> Metric:
        found = re.fullmatch(r"(?:pd_(lite0-[0-9a-f]{8})|[fk]d_(lite0-[0-9a-f]{8})_(?:target|source))", name)
        if found is not None:
            return _by_network(found[1] or found[2])[name]
        for family in FAMILIES.values():
            if name in family.metrics:
                return family.metrics[name]
        raise KeyError(name)


_LUMA = "luminance of BT.601, border cropped"  # and so no number of RGB: tables of super-resolution are of it
_TARGET, _SOURCE = "translated sources against real targets", "translated targets against real sources"


def _by_network(name: str) -> dict[str, Metric]:
    """The numbers of EfficientNet-Lite0's features, by the name of its weights."""
    found = {f"pd_{name}": Metric(f"PD {name}", "perceptual difference of features, 0–4")}
    for side, what in (("target", _TARGET), ("source", _SOURCE)):
        found[f"fd_{name}_{side}"] = Metric(f"FD {name}, {side}", f"Fréchet distance of features, {what}", digits=2)
        found[f"kd_{name}_{side}"] = Metric(f"KD {name}, {side}", f"kernel distance of features, {what}", digits=5)
    return found


METRICS = _Metrics(
    {
        "l1": Metric("L1", "values in 0–1"),
        "psnr": Metric("PSNR", "dB", higher_is_better=True, digits=2),
        "ssim": Metric("SSIM", "at most 1", higher_is_better=True),
        "ms_ssim": Metric("MS-SSIM", "0–1", higher_is_better=True),
        "psnr_y": Metric("PSNR-Y", f"dB, {_LUMA}", higher_is_better=True, digits=2),
        "ssim_y": Metric("SSIM-Y", f"at most 1, {_LUMA}", higher_is_better=True),
        "lpips": Metric("LPIPS", "AlexNet"),
        "cycle_l1_source": Metric("cycle L1, source", "there and back, values in 0–1"),
        "cycle_l1_target": Metric("cycle L1, target", "there and back, values in 0–1"),
        "swd_target": Metric("SWD, target", f"sliced Wasserstein distance, {_TARGET}"),
        "swd_source": Metric("SWD, source", f"sliced Wasserstein distance, {_SOURCE}"),
        "fid_target": Metric("FID, target", f"Fréchet Inception distance, {_TARGET}", digits=2),
        "fid_source": Metric("FID, source", f"Fréchet Inception distance, {_SOURCE}", digits=2),
        "kid_target": Metric("KID, target", f"kernel Inception distance, {_TARGET}", digits=5),
        "kid_source": Metric("KID, source", f"kernel Inception distance, {_SOURCE}", digits=5),
        "pixel_accuracy": Metric("pixel accuracy", "share of pixels of the right class, 0–1", higher_is_better=True),
        "class_accuracy": Metric("class accuracy", "the same of each class, their mean, 0–1", higher_is_better=True),
        "mean_iou": Metric("mean IoU", "intersection over union of each class, their mean, 0–1", higher_is_better=True),
        **_by_network("lite0"),
    }
)


_EXTRA = ("lpips", "pd", "fid", "kid", "fd", "kd")


def ordered(extra: Iterable[str]) -> list[str]:
    """Numbers by trained networks, such as lpips, fid and fd_lite0, each once, in the order of an evaluation."""
    return sorted(set(extra), key=lambda kind: (_EXTRA.index(kind.partition("_")[0]), kind))


def metric_names(
    *, paired: bool, cycles: bool = True, extra: Iterable[str] = (), own: Iterable[str] = (), luma: bool = False
) -> tuple[str, ...]:
    """What an evaluation gives, in its order, where `extra` (some of lpips, fid, kid, pd_lite0, fd_lite0, kd_lite0)
    could be loaded; pd_lite0 is of pairs alone.

    Args:
        cycles: unpaired data are translated there and back; without it nothing is made of targets.
        own: the family's (`Family.metrics`), which pairs have.
        luma: whether pictures are made larger, of which pairs have PSNR-Y and SSIM-Y, with those of bicubic enlargement
            beside them.

    Raises:
        ValueError: lpips without pairs.
    """
    extra = ordered(extra)
    if "lpips" in extra and not paired:
        raise ValueError(
            "--extra_metrics lpips compares outputs with their targets, and unpaired data have none: take fid or kid"
        )
    cycles = cycles and not paired
    sides = ("target", "source") if cycles else ("target",)
    of_pairs = [kind for kind in extra if kind == "lpips" or kind.startswith("pd_")]
    kinds = ("swd", *(kind for kind in extra if kind not in of_pairs))
    first = ["l1", "psnr", "ssim", "ms_ssim"] if paired else ["cycle_l1_source", "cycle_l1_target"] if cycles else []
    first += ["psnr_y", "ssim_y", "psnr_y_bicubic", "ssim_y_bicubic"] if paired and luma else []
    sets = (f"{kind}_{side}" for side in sides for kind in kinds)
    return (*first, *(of_pairs if paired else ()), *sets, *(own if paired else ()))
