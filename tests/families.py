"""The families of the package, as tests take them: all of them, each as small as it gets.

python -m pytest tests/test_training.py
"""

import pytest

from img2img_hub.families import FAMILIES, Family

_TINY = {"cyclegan": {"pool_size": 2}, "cut": {"head_width": 8}, "fastcut": {"head_width": 8}}

PACKAGED: list[type[Family]] = [
    family for _, family in sorted(FAMILIES.items()) if family.__module__.startswith("img2img_hub.")
]


def tiny(family: type[Family], **knobs) -> Family:
    return family(**(_TINY.get(family.name, {}) | knobs))


each_family = pytest.mark.parametrize("family", [tiny(family) for family in PACKAGED], ids=lambda family: family.name)
