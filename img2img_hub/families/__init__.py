"""The families, one paper a file, found by looking into this folder: a new one is one new file and nothing else.

python -c "from img2img_hub.families import FAMILIES; print(sorted(FAMILIES))"
"""

import pkgutil
from importlib import import_module

from img2img_hub.families.base import Batch, Family, Networks, Outputs, Phase, Terms

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

FAMILIES: dict[str, type[Family]] = {family.name: family for family in Family.__subclasses__()}

__all__ = ["FAMILIES", "Batch", "Family", "Networks", "Outputs", "Phase", "Terms"]
