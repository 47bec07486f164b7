"""The families, one paper a file, found by looking into this folder: a new one is one new file and nothing else.

    python -c "from img2img_hub.families import FAMILIES; print(sorted(FAMILIES))"

Those that are defined elsewhere are among them from then on.
"""

import pkgutil
from importlib import import_module

from img2img_hub.families.base import Batch, Direction, Family, Networks, Outputs, Phase, Terms

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

FAMILIES = Family.registry

__all__ = ["FAMILIES", "Batch", "Direction", "Family", "Networks", "Outputs", "Phase", "Terms"]
