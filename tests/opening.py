"""Opens data sets in tests, and tells which plain pictures came out or what was said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from img2img_hub.data.find.sources import DataConfig, DataError, PairedData, UnpairedData, open_data
from tests.pictures import value_of


def opened(root: Path, *, split: str = "train", **options: Any) -> PairedData:
    data = open_data(DataConfig(dataset=str(root), **options), paired=True, split=split)
    assert isinstance(data, PairedData)
    return data


def opened_unpaired(root: Path, *, split: str = "train", **options: Any) -> UnpairedData:
    data = open_data(DataConfig(dataset=str(root), **options), paired=False, split=split)
    assert isinstance(data, UnpairedData)
    return data


def values(data: PairedData) -> list[tuple[int, int]]:
    return [(value_of(source), value_of(target)) for source, target in map(data.pair, range(len(data)))]


def sides(data: UnpairedData) -> tuple[list[int], list[int]]:
    return (
        [value_of(data.source(index)) for index in range(data.num_source)],
        [value_of(data.target(index)) for index in range(data.num_target)],
    )


def message(call: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)
