"""Streams: who reads what in which order, that --resume finds its place again, and what they cannot do.

    python -m pytest tests/test_streaming.py

Most of it streams Parquet files from a folder; the last part trains from the project's own Hub.
"""

import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest
import torch
from accelerate.state import AcceleratorState
from datasets import ClassLabel, Dataset, Features
from safetensors.torch import load_file

from img2img_hub import Architecture, CycleGAN, Pix2Pix, TrainConfig, train
from img2img_hub.data.find import sources
from img2img_hub.data.find.sources import DataConfig, PairedData, StreamedData, open_data, open_train_and_validation
from img2img_hub.data.samples.transforms import TrainingDataset
from img2img_hub.data.stream import streaming
from img2img_hub.data.stream.batches import StreamedDataset, StreamOrder
from img2img_hub.images.formats import ImageError
from img2img_hub.training.batches import open_samples, open_stream
from img2img_hub.training.loop import Stepper
from img2img_hub.training.run.plan import Plan
from tests.conftest import picture
from tests.hub import HubServer, client_environment, run_client
from tests.hub.client import ROOT
from tests.hub.fixtures import ALICE
from tests.opening import message
from tests.pictures import plain, side_by_side, value_of, write


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    datasets.disable_progress_bars()


def shards(root: Path, sizes: Sequence[int], split: str = "train", **columns: Sequence[Any]) -> Path:
    """ROOT/data/SPLIT-*.parquet with so many rows each, of columns that are as long together."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    features = Features({name: datasets.Image() for name in columns})
    rows = Dataset.from_dict({name: list(cells) for name, cells in columns.items()}, features=features)
    assert len(rows) == sum(sizes)
    first = 0
    for number, size in enumerate(sizes):
        name = f"{split}-{number:05d}-of-{len(sizes):05d}.parquet"
        rows.select(range(first, first + size)).to_parquet(root / "data" / name)
        first += size
    return root


def told(root: Path, **splits: int) -> Path:
    """Let the card say how many rows the splits have, as cards of pushed data sets do."""
    lines = "".join(
        f"  - name: {name}\n    num_examples: {count}\n    num_bytes: 0\n" for name, count in splits.items()
    )
    (root / "README.md").write_text(f"---\ndataset_info:\n  splits:\n{lines}---\n")
    return root


def pairs(root: Path, sizes: Sequence[int] = (3, 3, 3, 3)) -> Path:
    """Pairs (0, 100), (1, 101) … and a card that tells how many."""
    count = sum(sizes)
    numbers = {"source": map(plain, range(count)), "target": map(plain, range(100, 100 + count))}
    return told(shards(root, sizes, **{name: list(images) for name, images in numbers.items()}), train=count)


def streamed(root: Path, *, paired: bool = True, **options: Any) -> StreamedData:
    config = DataConfig(dataset=str(root), streaming=True, **{"validation_split": "none"} | options)
    data, validation = open_train_and_validation(config, paired=paired, seed=0)
    assert isinstance(data, StreamedData)
    assert validation is None
    return data


def drawn(
    data: StreamedData, count: int, *, start: int = 0, rank: int = 0, world: int = 1, seed: int = 0
) -> list[tuple[int, int]]:
    """Values of sources and targets of a rank's next samples."""
    samples = islice(data.samples(seed=seed, rank=rank, world_size=world, start=start), count)
    return [(value_of(source), value_of(target)) for source, target in map(data.images, samples)]


def batches(
    root: Path, start: int, stop: int, *, rank: int = 0, world: int = 1, paired: bool = True, **settings: Any
) -> Iterator[dict[str, torch.Tensor]]:
    config = TrainConfig(output_dir="run", max_steps=100, image_size=16, **{"num_workers": 0} | settings).of(Pix2Pix())
    data = streamed(root, paired=paired, shuffle_buffer=4)
    process: Any = SimpleNamespace(process_index=rank, num_processes=world, device=torch.device("cpu"))
    return open_stream(open_samples(data, config=config), config=config, accelerator=process, start=start, stop=stop)


def same(first: Iterator[dict[str, torch.Tensor]], second: Iterator[dict[str, torch.Tensor]]) -> bool:
    both = list(zip(first, second, strict=True))
    return len(both) > 0 and all(
        torch.equal(one[name], two[name]) for one, two in both for name in ("source", "target")
    )


# The order


def test_every_epoch_has_an_order_of_its_own_that_the_seed_decides(tmp_path: Path) -> None:
    data = streamed(pairs(tmp_path), shuffle_buffer=4)
    assert data.num_samples == 12
    assert data.description.startswith("a stream of 12 pairs: ")
    everything = [(value, 100 + value) for value in range(12)]
    order = drawn(data, 24)
    assert order == drawn(streamed(tmp_path, shuffle_buffer=4), 24)
    assert sorted(order[:12]) == sorted(order[12:]) == everything
    assert order[:12] != order[12:]
    assert order[:12] != everything
    assert order[:12] != drawn(data, 12, seed=1)


def test_the_buffer_mixes_what_a_shard_has_in_order(tmp_path: Path) -> None:
    root = pairs(tmp_path, [12])
    assert drawn(streamed(root, shuffle_buffer=1), 12) == [(value, 100 + value) for value in range(12)]
    first, *_ = drawn(streamed(root, shuffle_buffer=5), 12)
    assert first[0] < 5
    begun = {tuple(drawn(streamed(root, shuffle_buffer=5), 7, seed=seed)) for seed in range(4)}
    assert len(begun) == 4, "rows are drawn from the buffer while there are more to come"
    limited = streamed(pairs(tmp_path / "more", [1, 9, 2]), shuffle_buffer=5, max_samples=4)
    assert limited.num_samples == 4
    assert [sorted(drawn(limited, 4, start=start)) for start in (0, 4)] == [[(n, 100 + n) for n in range(4)]] * 2


@pytest.mark.parametrize(
    ("sizes", "world"),
    [([3, 3, 3, 3], 2), ([3, 3, 3, 3], 4), ([12], 3), ([4, 4, 4], 2), ([5, 1, 6], 3), ([7, 3, 2], 2)],
    ids=["two each", "one each", "fewer than ranks", "not to be shared", "uneven", "uneven, not to be shared"],
)
def test_ranks_take_each_sample_once_an_epoch(tmp_path: Path, sizes: list[int], world: int) -> None:
    data = streamed(pairs(tmp_path, sizes), shuffle_buffer=3)
    for epoch in range(2):
        seen = Counter(
            pair
            for rank in range(world)
            for pair in drawn(data, 12 // world, start=epoch * 12 // world, rank=rank, world=world)
        )
        assert set(seen) <= {(value, 100 + value) for value in range(12)}
        if sizes == [5, 1, 6]:  # a rank's share is its own shard: all steps are there, some rows come more than once
            assert seen.total() == 12
        else:
            assert sorted(seen.values()) == [1] * 12
    both = drawn(data, 2 * 12 // world, world=world)
    assert both[: 12 // world] != both[12 // world :]


def test_shards_come_in_another_order_every_epoch(tmp_path: Path) -> None:
    order = drawn(streamed(pairs(tmp_path), shuffle_buffer=1), 60)
    firsts = [tuple(order[epoch * 12 + place][0] for place in (0, 3, 6, 9)) for epoch in range(5)]
    assert {tuple(sorted(values)) for values in firsts} == {(0, 3, 6, 9)}
    assert len(set(firsts)) > 2


def test_a_data_set_of_very_many_files_is_read_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2img_hub.data.stream.streaming._MOST_SHARDS", 2)
    data = streamed(pairs(tmp_path, [1] * 12), shuffle_buffer=2)
    seen = [pair for rank in range(3) for pair in drawn(data, 4, rank=rank, world=3)]
    assert sorted(seen) == [(value, 100 + value) for value in range(12)]


def test_two_ranks_with_two_workers_see_each_sample_once_an_epoch(tmp_path: Path) -> None:
    root = pairs(tmp_path)
    settings: dict[str, Any] = {"load_size": 16, "num_workers": 2}
    ranks = [list(batches(root, 0, 12, rank=rank, world=2, **settings)) for rank in (0, 1)]
    assert [len(rank) for rank in ranks] == [12, 12]
    for epoch in (slice(0, 6), slice(6, 12)):
        values = [round(float((batch["source"].mean() + 1) * 127.5)) for rank in ranks for batch in rank[epoch]]
        assert sorted(values) == list(range(12))


# The place in the run


@pytest.mark.parametrize("length", ["told", "not told", "told wrongly"])
@pytest.mark.parametrize("world", [1, 2, 3], ids=lambda world: f"{world} ranks")
def test_every_place_is_found_again(tmp_path: Path, length: str, world: int) -> None:
    root = pairs(tmp_path, [4, 2])
    if length == "told wrongly":
        told(root, train=11)
    elif length == "not told":
        (root / "README.md").unlink()
    data = streamed(root, shuffle_buffer=3)
    assert (data.num_samples is None) == (length == "not told")
    for rank in range(world):
        order = drawn(data, 30, rank=rank, world=world)
        for start in (1, 6, 13, 25):
            assert drawn(data, 5, start=start, rank=rank, world=world) == order[start : start + 5], (rank, start)


@pytest.mark.parametrize(("known", "reads"), [(True, 4), (False, 8)])
def test_epochs_that_are_over_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool, reads: int
) -> None:
    root = pairs(tmp_path)
    if not known:  # then one epoch is read to find how long all are
        (root / "README.md").unlink()
    data = streamed(root)
    opened: list[str] = []
    original = streaming.reading
    monkeypatch.setattr(streaming, "reading", lambda rows, title: opened.append(title) or original(rows, title=title))
    drawn(data, 1, start=12 * 50)
    assert len(opened) == reads


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "unpaired"])
def test_batches_are_the_same_from_any_place_with_any_number_of_workers(tmp_path: Path, paired: bool) -> None:
    pictures = {
        name: [picture(seed=seed + index, size=(40, 30)) for index in range(7)] for seed, name in ((0, "A"), (50, "B"))
    }
    root = told(shards(tmp_path, [3, 4], **pictures), train=7)
    whole = list(batches(root, 0, 9, paired=paired, batch_size=2))
    assert same(iter(whole), batches(root, 0, 9, paired=paired, batch_size=2, num_workers=2))
    for start in (3, 5):
        assert same(iter(whole[start:]), batches(root, start, 9, paired=paired, batch_size=2, num_workers=start % 2))
    assert len({batch["source"].numpy().tobytes() for batch in whole}) == 9, "no two epochs have one jitter"


def test_a_batch_of_two_is_what_two_ranks_have_of_one(tmp_path: Path) -> None:
    pictures = {
        name: [picture(seed=seed + index, size=(40, 30)) for index in range(5)] for seed, name in ((0, "A"), (50, "B"))
    }
    root = told(shards(tmp_path, [5], **pictures), train=5)
    ranks = [batches(root, 0, 7, rank=rank, world=2) for rank in (0, 1)]
    merged = [{name: torch.cat([one[name], two[name]]) for name in one} for one, two in zip(*ranks, strict=True)]
    assert same(iter(merged), batches(root, 0, 7, batch_size=2))


def test_samples_are_jittered_as_those_of_downloaded_data(tmp_path: Path) -> None:
    pictures = {name: [picture(seed=seed, size=(40, 30))] for seed, name in ((0, "A"), (1, "B"))}
    data = streamed(told(shards(tmp_path, [1], **pictures), train=1))
    settings: dict[str, Any] = {"image_size": 16, "load_size": 16, "flip": False, "seed": 0}
    sample = next(data.samples(seed=0, rank=0, world_size=1, start=0))
    expected = TrainingDataset(data.preview(), **settings)[(0, 0)]
    given = pickle.loads(pickle.dumps(StreamedDataset(data, **settings)))[sample]  # as a spawned worker has it
    assert torch.equal(given["source"], expected["source"])
    assert torch.equal(given["target"], expected["target"])
    for paired in (True, False):
        large = StreamedDataset(streamed(tmp_path, paired=paired), **settings | {"load_size": 64, "flip": True})
        row = dict.fromkeys(("A", "B"), sample[1]["A"])  # the same image on both sides
        samples = [large[(number, row, row)] for number in range(20)]
        assert len({one["source"].numpy().tobytes() for one in samples}) > 10, "the jitter is drawn by the number"
        alike = [torch.equal(one["source"], one["target"]) for one in samples]
        assert all(alike) if paired else sum(alike) < 5, "one draw for both halves of a pair, or one each"


# Unpaired


def test_unpaired_columns_are_drawn_independently_and_empty_cells_left_out(tmp_path: Path) -> None:
    columns = {"imageA": [*map(plain, range(8)), None, None], "imageB": [*map(plain, range(100, 110))]}
    data = streamed(told(shards(tmp_path, [5, 5], **columns), train=10), paired=False, shuffle_buffer=4)
    assert (data.num_samples, data.paired) == (10, False)
    order = drawn(data, 40)
    assert set(range(8)) == {source for source, _ in order}
    assert sorted(target for _, target in order[:10]) == list(range(100, 110))
    apart = drawn(streamed(pairs(tmp_path / "full"), paired=False, shuffle_buffer=4), 12)
    assert len({target - source for source, target in apart}) > 5, "rows do not belong together"
    assert drawn(data, 10, start=17) == order[17:27]


def test_unpaired_splits_and_data_sets(tmp_path: Path) -> None:
    one = shards(tmp_path / "one", [2, 1], "trainA", image=[*map(plain, range(3))])
    told(shards(one, [4], "trainB", image=[*map(plain, range(100, 104))]), trainA=3, trainB=4)
    other = told(shards(tmp_path / "other", [2], picture=[*map(plain, range(200, 202))]), train=2)
    data = streamed(one, paired=False)
    assert (data.num_samples, data.split) == (4, "train")
    for side, expected in ((0, {0, 1, 2}), (1, {100, 101, 102, 103})):
        assert {pair[side] for pair in drawn(data, 4)} == expected
    assert {source for source, _ in drawn(streamed(one, paired=False, direction="BtoA"), 4)} == {100, 101, 102, 103}
    both = streamed(one, paired=False, target_dataset=str(other), source_split="trainA")
    assert {target for _, target in drawn(both, 2)} == {200, 201}


def test_side_by_side_and_the_other_direction(tmp_path: Path) -> None:
    root = told(shards(tmp_path, [2, 2], image=[side_by_side(value, 100 + value) for value in range(4)]), train=4)
    data = streamed(root, side_by_side=True)
    assert sorted(drawn(data, 4)) == [(value, 100 + value) for value in range(4)]
    assert "left halves of" in data.description
    assert sorted(drawn(streamed(root, side_by_side=True, direction="BtoA"), 4))[0] == (100, 0)


# Lengths, validation, and what is refused


def test_a_stream_of_unknown_length_needs_max_steps(tmp_path: Path) -> None:
    data = streamed(shards(tmp_path, [2], source=[plain(1)] * 2, target=[plain(2)] * 2))
    assert data.num_samples is None
    assert data.description.startswith("a stream of pairs: ")
    config = TrainConfig(output_dir="run").of(Pix2Pix())
    with pytest.raises(ValueError, match="give --max_steps"):
        Plan.make(Pix2Pix(), config, num_samples=None, world_size=1)
    config = TrainConfig(output_dir="run", max_steps=7).of(Pix2Pix())
    plan = Plan.make(Pix2Pix(), config, num_samples=None, world_size=2)
    assert (plan.total_steps, plan.epoch(5), plan.epochs(5)) == (7, 0, None)
    assert "7 steps (of a stream of unknown length), global batch 2" in plan.describe(config)[0]
    plan = Plan.make(Pix2Pix(), config, num_samples=4, world_size=1)
    assert (plan.epoch(5), plan.epochs(5)) == (1, 1.25)
    assert "7 steps (1.8 epochs of 4)" in plan.describe(config)[0]


def test_the_first_rows_are_validated_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = pairs(tmp_path)
    shards(root, [2, 2], "test", source=[*map(plain, range(50, 54))], target=[*map(plain, range(60, 64))])
    config = DataConfig(dataset=str(root), streaming=True)
    _, validation = open_train_and_validation(config, paired=True, seed=0)
    assert isinstance(validation, PairedData)
    assert (len(validation), validation.split) == (4, "test")
    assert "rows)" not in validation.description
    assert open_data(config, paired=True, split="test").description == validation.description
    monkeypatch.setattr(sources, "_HEAD", 3)
    _, validation = open_train_and_validation(config, paired=True, seed=0)
    assert isinstance(validation, PairedData)
    assert [value_of(validation.source(index)) for index in range(len(validation))] == [50, 51, 52]
    assert validation.split == "test (first 3)"
    assert "split test (first 3 rows), column source" in validation.description
    limited = streamed(root, max_samples=2).preview()
    assert len(limited) == 2
    downloaded = shards(tmp_path / "other", [3], source=[plain(1)] * 3, target=[plain(2)] * 3)
    whole = open_data(DataConfig(dataset=str(downloaded)), paired=True, split="train")
    assert (whole.split, "rows)" in whole.description) == ("train", False)


def test_nothing_can_be_held_out_of_a_stream(tmp_path: Path) -> None:
    root = pairs(tmp_path)
    said = message(lambda: streamed(root, validation_split=None))
    assert f"{root.name} has no split called validation, val, test" in said
    assert "type --validation_split with another split, or with none" in said
    assert streamed(root, validation_split=None, validation_fraction=0)


def test_what_cannot_be_streamed_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "folder", "train", [1])
    assert "is here, and its images are read as they are needed" in message(lambda: streamed(folder, side_by_side=True))
    Dataset.from_dict({"source": [1]}).save_to_disk(tmp_path / "saved")
    assert "is a saved data set here" in message(lambda: streamed(tmp_path / "saved"))
    for options in ({"shuffle_buffer": 0}, {"source_label": "a", "target_label": "b"}):
        assert next(iter(options)) in message(lambda options=options: streamed(folder, **options))
    root = tmp_path / "labels"
    features = Features({"image": datasets.Image(), "label": ClassLabel(names=["trainA", "trainB"])})
    (root / "data").mkdir(parents=True)
    rows = Dataset.from_dict({"image": [plain(1), plain(2)], "label": [0, 1]}, features=features)
    rows.to_parquet(root / "data/train.parquet")
    assert "by the label of each row" in message(lambda: streamed(root, paired=False))
    files = write(write(tmp_path / "files", "train/in", [1]), "train/out", [2])
    (files / "train/metadata.csv").write_text("input_file_name,target_file_name\nin/1.png,out/1.png\n")
    assert "holds files of images" in message(lambda: drawn(streamed(files), 1))


# What is broken


def test_bad_rows_are_named_when_read(tmp_path: Path) -> None:
    broken = {"bytes": b"no image", "path": "x.png"}
    targets = [plain(100), plain(101, size=(9, 9)), broken, None]
    root = shards(tmp_path, [2, 2], source=[*map(plain, range(4))], target=targets)
    data = streamed(root)
    by_source = {value_of(data._source.read(one[1], channels=3)): one for one in islice(samples_of(data), 4)}  # type: ignore[arg-type]
    where = f"of {root.name}, split train, column"
    assert data.images(by_source[0])
    row = "row 1 of shard 0 (of 0 to 1)"
    assert f"{row} {where} source is 8x6, {row} {where} target is 9x9" in message(lambda: data.images(by_source[1]))
    with pytest.raises(ImageError) as caught:
        data.images(by_source[2])
    assert str(caught.value).startswith(f"row 0 of shard 1 (of 0 to 1) (x.png) {where} target is not an image")
    assert f"row 1 of shard 1 (of 0 to 1) {where} target holds no image" in message(lambda: data.images(by_source[3]))
    before = stream_threads()
    with pytest.raises(ValueError, match="split train, column"):
        list(batches(root, 0, 800, num_workers=1))
    assert stream_threads() <= before


def samples_of(data: StreamedData) -> Iterator[Any]:
    return data.samples(seed=0, rank=0, world_size=1, start=0)


def test_a_stream_of_nothing_ends(tmp_path: Path) -> None:
    data = streamed(shards(tmp_path, [0], source=[], target=[]))
    assert "holds no images" in message(lambda: drawn(data, 1))
    empty = told(shards(tmp_path / "more", [2], imageA=[None, None], imageB=[plain(1)] * 2), train=2)
    assert "column imageA holds no images" in message(lambda: drawn(streamed(empty, paired=False), 1))


def test_a_damaged_file_is_one_line_and_ends_the_reading_thread(tmp_path: Path) -> None:
    root = pairs(tmp_path, [3, 3])
    damaged = root / "data/train-00001-of-00002.parquet"
    damaged.write_bytes(damaged.read_bytes()[:400])
    data = streamed(root, shuffle_buffer=1)
    before = stream_threads()
    order = StreamOrder(data, batch_size=1, rank=0, world_size=1, seed=0, num_steps=20)
    assert f"{root.name}, split train, column source cannot be read any further (" in message(lambda: list(order))
    assert stream_threads() <= before


def stream_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "stream"}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_stream_that_is_left_early_leaves_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    monkeypatch.setattr("img2img_hub.data.stream.batches._READ_AHEAD", 1)  # soon it has to wait
    before = stream_threads()
    stream = batches(pairs(tmp_path), 0, 90, num_workers=num_workers)
    next(stream)
    time.sleep(0.5)
    assert len(stream_threads() - before) == 1
    stream.close()  # type: ignore[attr-defined]
    assert stream_threads() <= before


def test_who_reads_what_is_said(tmp_path: Path) -> None:
    data = streamed(pairs(tmp_path))
    assert data.describe_reading(world_size=1).startswith("Streaming 4 shards, read by one process. 1000 rows")
    assert "4 shards, of which each of 2 processes reads its own" in data.describe_reading(world_size=2)
    assert "each of 3 processes reads all" in data.describe_reading(world_size=3)


# Whole runs


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    found = (folder / f"checkpoints/step-{step}").glob("*.safetensors")
    return {f"{path.stem}/{name}": value for path in found for name, value in load_file(path).items()}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return (
        len(first) > 0
        and first.keys() == second.keys()
        and all(torch.equal(first[name], second[name]) for name in first)
    )


@pytest.mark.usefixtures("fresh_accelerate")
@pytest.mark.parametrize("family", [Pix2Pix(), CycleGAN(pool_size=2)], ids=lambda family: family.name)
def test_a_run_that_was_stopped_in_an_epoch_goes_on_bit_for_bit(
    family: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = {
        name: [picture(seed=seed + index, size=(32, 32)) for index in range(5)] for seed, name in ((0, "A"), (50, "B"))
    }
    root = shards(tmp_path / "data", [2, 3], **pictures)

    def run(name: str, **options: Any) -> Path:
        AcceleratorState._reset_state(reset_partial_state=True)
        small = {"width": 4, "discriminator_layers": 1} | ({} if family.paired else {"blocks": 1})
        config = TrainConfig(
            output_dir=str(tmp_path / name), max_steps=8, image_size=16, cpu=True, cpu_threads=1, **options
        )
        data = DataConfig(dataset=str(root), streaming=True, shuffle_buffer=2, validation_split="none")
        return train(family, config, data, architecture=Architecture(**small)).path

    whole = run("whole", num_workers=0)
    original, count = Stepper.step, [0]

    def stepping(self: Stepper, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        count[0] += 1
        if count[0] == 7:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Stepper, "step", stepping)
    stopped = run("stopped", num_workers=2)
    assert [path.name for path in (stopped / "checkpoints").iterdir()] == ["step-7"]
    run("stopped", num_workers=1, resume=True)
    assert equal(weights(whole, 8), weights(stopped, 8))
    assert "a stream of" in (whole / ("README.md" if family.paired else "source2target/README.md")).read_text()


PUSH_DATA = """
    import numpy as np
    from datasets import Dataset, Features, Image
    from PIL import Image as Pictures

    def pictures(seed, count):
        noise = np.random.default_rng(seed).integers(0, 256, (count, 20, 20, 3), dtype=np.uint8)
        return [Pictures.fromarray(each) for each in noise]

    def data(seed, count):
        columns = {"source": pictures(seed, count), "target": pictures(seed + 1, count)}
        return Dataset.from_dict(columns, features=Features({name: Image() for name in columns}))

    data(0, 12).push_to_hub("alice/pairs", num_shards=4)
    data(2, 3).push_to_hub("alice/pairs", split="test")
"""


def test_a_hub_that_fails_in_the_middle_of_a_stream_costs_nothing_that_was_learnt(
    hub_server: HubServer, tmp_path: Path
) -> None:
    alice = client_environment(hub_server, ALICE, tmp_path / "home") | {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    run_client(PUSH_DATA, alice)
    command = ["train_accelerate.py", "pix2pix", "--dataset", "alice/pairs", "--streaming", "--shuffle_buffer", "2"]
    command += ["--image_size", "16", "--width", "4", "--discriminator_layers", "1", "--cpu", "--cpu_threads", "1"]
    command += ["--num_workers", "0", "--num_epochs", "1", "--decay_epochs", "0", "--checkpoint_steps", "1"]

    def run(*arguments: str, check: bool = True) -> Any:
        shutil.rmtree(tmp_path / "home/hub", ignore_errors=True)
        return run_client([ROOT / command[0], *command[1:], *arguments], alice, cwd=tmp_path, check=check)

    done = run("--output_dir", "whole")
    assert "12 steps (1.0 epochs of 12)" in done.stderr
    asked = [request for request in hub_server.requests if request.startswith("GET") and "/data/train-" in request]
    assert len({request.rpartition("/")[2] for request in asked}) == 4
    # A file that is gone ends the run, with one line and what was learnt before; a cut connection is mended.
    third = asked[[request.rpartition("/")[2] for request in asked].index("train-00003-of-00004.parquet")]
    assert "train-00003" in third
    hub_server.fail_next("GET .*/data/train-00003", 403)
    done = run("--output_dir", "failed", check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error:" in line]
    assert "alice/pairs, split train, column source cannot be read any further (" in line
    assert "--resume goes on from the last checkpoint" in line
    steps = [int(path.name.removeprefix("step-")) for path in (tmp_path / "failed/checkpoints").iterdir()]
    assert 1 <= max(steps) < 12
    hub_server.fail_next("GET /_lfs/", "cut")
    done = run("--output_dir", "failed", "--resume")
    assert "The Hub does not answer: waiting, and asking again" in done.stderr
    assert "Retrying" not in done.stderr
    assert equal(weights(tmp_path / "whole", 12), weights(tmp_path / "failed", 12))
    # Nothing was downloaded to stay.
    assert not list((tmp_path / "home").rglob("*.parquet"))
    assert not list((tmp_path / "home").rglob("*.arrow"))


def test_a_stop_is_heard_while_a_stream_waits_for_a_hub_that_is_gone(hub_server: HubServer, tmp_path: Path) -> None:
    alice = client_environment(hub_server, ALICE, tmp_path / "home") | {"OMP_NUM_THREADS": "1"}
    run_client(PUSH_DATA, alice)
    command = [sys.executable, str(ROOT / "train_accelerate.py"), "pix2pix", "--dataset", "alice/pairs", "--streaming"]
    command += ["--image_size", "16", "--width", "4", "--discriminator_layers", "1", "--cpu", "--cpu_threads", "1"]
    command += ["--num_workers", "0", "--max_steps", "100000", "--log_steps", "1", "--output_dir", "run"]
    run = subprocess.Popen(command, env=alice, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: (tmp_path / "run/metrics.jsonl").exists() or run.poll() is not None)
        hub_server.stop()
        steps = 0
        while steps < (steps := len((tmp_path / "run/metrics.jsonl").read_text().splitlines())):
            time.sleep(3)  # what was read ahead is trained on first
        began = time.monotonic()
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=60)
        assert time.monotonic() - began < 30
    finally:
        run.kill()
    assert run.returncode == 143, said
    assert "Traceback" not in said
    (step,) = re.findall(r"Stopped at step ([0-9]+)", said)
    assert int(step) >= steps
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == [f"step-{step}"]
    assert "The Hub does not answer: waiting, and asking again" in said
    assert "thrown while requesting" not in said


def wait_for(what: Callable[[], bool], *, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.1)
