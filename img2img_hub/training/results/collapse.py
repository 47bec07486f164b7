"""A warning where the discriminators have won for good: then their generators learn little from them.

python -c "from img2img_hub.training.results.collapse import CollapseWatch as C; print(C.__doc__)"
"""

import math

from img2img_hub.families import Family
from img2img_hub.families.adversarial import AdversarialFamily
from img2img_hub.objectives.losses import UNHALVED

_NEAR_ZERO = 0.01  # vanilla: sure to 99 %; lsgan: within 0.1 of the label
_LONG = 500  # steps


class CollapseWatch:
    """Looks at the averages of every log line and speaks once: when all losses of the discriminators on real and fake
    images have been near the least that they can be for 500 steps and more.

    wgangp has no such bound, and with hinge the generator learns beyond it: both are left alone. Penalties are not
    looked at. A resumed run begins to count anew.
    """

    def __init__(self, family: Family, *, start_step: int) -> None:
        kind = family.adversarial_loss if isinstance(family, AdversarialFamily) else "wgangp"
        phases = family.judging_phases if kind not in UNHALVED else frozenset()
        self._prefixes = tuple(f"{phase}/{term}" for phase in phases for term in ("real", "fake"))
        # A smoothed label of real images cannot be met: its entropy remains of a cross-entropy.
        share = family.label_smoothing if isinstance(family, AdversarialFamily) and kind == "vanilla" else 0.0
        self._least_of_real = -sum(p * math.log(p) for p in (share, 1 - share) if p)
        self._since = start_step
        self._said = False

    def look(self, step: int, losses: dict[str, float]) -> str | None:
        """The warning, where it is due at this line of averages ({phase/term: unweighted loss})."""
        own = {key: value for key, value in losses.items() if key.startswith(self._prefixes)}
        if not own or any(value - self._least(key) > _NEAR_ZERO for key, value in own.items()):
            self._since = step
            return None
        if self._said or step - self._since < _LONG:
            return None
        self._said = True
        values = ", ".join(f"{key} {value:.2g}" for key, value in own.items())
        return (
            f"Warning: for {step - self._since} steps the discriminator has been all but certain ({values}), so that "
            "the generator learns little from it. If the samples get no better: --label_smoothing 0.1, --diff_augment "
            "color,translation,cutout, a lower --discriminator_learning_rate or a smaller --discriminator_width."
        )

    def _least(self, key: str) -> float:
        return self._least_of_real if key.split("/")[1].startswith("real") else 0.0
