"""Jitter that is the same for both halves of a pair, new every epoch, and the order of the samples."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader

from img2img_hub.data.find.sources import DataConfig, open_data
from img2img_hub.data.samples.transforms import EpochStream, TrainingDataset
from img2img_hub.images.picture import to_image, to_tensor
from img2img_hub.images.resize import resized

SIZE, LOAD = 12, 16


def noise(seed: int, size: int = LOAD) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs whose target is the inverse of the source."""
    root = tmp_path_factory.mktemp("pairs")
    for folder in ("trainA", "trainB"):
        (root / folder).mkdir()
    for index in range(6):
        image = noise(index)
        image.save(root / "trainA" / f"{index}.png")
        image.point(lambda value: 255 - value).save(root / "trainB" / f"{index}.png")
    return root


def dataset(root: Path, *, paired: bool, load_size: int = LOAD, flip: bool = True, seed: int = 0) -> TrainingDataset:
    data = open_data(DataConfig(dataset=str(root)), paired=paired, split="train")
    return TrainingDataset(data, image_size=SIZE, load_size=load_size, flip=flip, seed=seed)


def windows(image: Image.Image) -> dict[tuple[int, int, bool], bytes]:
    """Every crop that the jitter may make of an image of LOAD x LOAD, by (left, top, mirrored)."""
    array = np.asarray(image)
    return {
        (left, top, mirrored): np.ascontiguousarray(
            array[top : top + SIZE, left : left + SIZE][:, :: -1 if mirrored else 1]
        ).tobytes()
        for left in range(LOAD - SIZE + 1)
        for top in range(LOAD - SIZE + 1)
        for mirrored in (False, True)
    }


def place_of(sample: torch.Tensor, index: int) -> tuple[int, int, bool]:
    """Where in picture ``index`` a sample was cut."""
    pixels = to_image(sample).tobytes()
    return next(place for place, window in windows(noise(index)).items() if window == pixels)


def test_both_halves_of_a_pair_get_the_same_draw_and_every_draw_happens(pairs: Path) -> None:
    samples = dataset(pairs, paired=True)
    places: Counter[tuple[int, int, bool]] = Counter()
    for epoch in range(150):
        sample = samples[(epoch, 2)]
        assert sample["source"].shape == (3, SIZE, SIZE)
        assert sample["source"].dtype == torch.float32
        assert torch.allclose(sample["source"], -sample["target"], atol=1e-6)
        places[place_of(sample["source"], 2)] += 1
    lefts: Counter[int] = Counter()
    tops: Counter[int] = Counter()
    mirrored: Counter[bool] = Counter()
    for (left, top, mirror), count in places.items():
        lefts[left] += count
        tops[top] += count
        mirrored[mirror] += count
    assert set(lefts) == set(tops) == set(range(LOAD - SIZE + 1))  # uniform: no corner is left out
    assert max(*lefts.values(), *tops.values()) < 55
    assert 50 < mirrored[True] < 100


def test_a_sample_depends_on_seed_epoch_and_index_alone(pairs: Path) -> None:
    first, again = dataset(pairs, paired=True), dataset(pairs, paired=True)
    torch.manual_seed(1)
    np.random.seed(1)
    wanted = {(epoch, index): first[(epoch, index)] for epoch in range(3) for index in range(6)}
    torch.manual_seed(2)
    np.random.seed(2)
    for position in reversed(wanted):
        assert torch.equal(again[position]["source"], wanted[position]["source"])
    places = [place_of(first[(epoch, 0)]["source"], 0) for epoch in range(8)]
    assert len(set(places)) > 3  # not frozen: another draw in every epoch
    others = dataset(pairs, paired=True, seed=5)
    assert [place_of(others[(epoch, 0)]["source"], 0) for epoch in range(8)] != places
    assert [place_of(first[(epoch, 1)]["source"], 1) for epoch in range(8)] != places


def test_without_flip_and_without_crop_the_image_is_left_alone(pairs: Path) -> None:
    samples = dataset(pairs, paired=True, load_size=SIZE, flip=False)
    expected = to_tensor(noise(3).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    assert all(torch.equal(samples[(epoch, 3)]["source"], expected) for epoch in range(6))


def test_resize_is_bicubic_and_to_load_size(tmp_path: Path) -> None:
    image = noise(1, size=40).resize((40, 23))
    for folder in ("trainA", "trainB"):
        (tmp_path / folder).mkdir()
        image.save(tmp_path / folder / "1.png")
    cut = to_image(dataset(tmp_path, paired=True)[(0, 0)]["source"]).tobytes()
    assert cut in windows(image.resize((LOAD, LOAD), Image.Resampling.BICUBIC)).values()
    evaluated = resized(image, (SIZE, SIZE))
    assert evaluated.tobytes() == image.resize((SIZE, SIZE), Image.Resampling.BICUBIC).tobytes()


def test_every_value_becomes_the_number_that_to_tensor_makes_of_it(tmp_path: Path) -> None:
    values = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    for folder in ("trainA", "trainB"):
        (tmp_path / folder).mkdir()
        values.save(tmp_path / folder / "1.png")
    data = open_data(DataConfig(dataset=str(tmp_path)), paired=True, split="train", out_channels=1)
    samples = TrainingDataset(data, image_size=16, load_size=16, flip=True, seed=0)
    found = {"as it was": 0, "mirrored": 0}
    for epoch in range(20):
        sample = samples[(epoch, 0)]
        mirrored = bool(sample["target"][0, 0, 0] > sample["target"][0, 0, 1])
        expected = ImageOps.mirror(values) if mirrored else values
        assert torch.equal(sample["target"], to_tensor(expected))
        assert torch.equal(sample["source"], to_tensor(expected.convert("RGB")))
        found["mirrored" if mirrored else "as it was"] += 1
    assert min(found.values()) > 2


def test_load_size_below_image_size_is_refused(pairs: Path) -> None:
    with pytest.raises(ValueError, match=r"load_size 11 is smaller than image_size 12.*12 or more"):
        dataset(pairs, paired=True, load_size=11)


def test_unpaired_source_by_index_target_at_random_with_jitter_of_its_own(tmp_path: Path) -> None:
    for folder, seeds in (("trainA", range(3)), ("trainB", range(10, 15))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            noise(seed).save(tmp_path / folder / f"{seed}.png")
    samples = dataset(tmp_path, paired=False)
    assert len(samples) == 5  # the longer side
    where = {
        pixels: (seed, place) for seed in (*range(3), *range(10, 15)) for place, pixels in windows(noise(seed)).items()
    }
    targets: Counter[int] = Counter()
    drawn = set()
    same = 0
    for epoch in range(40):
        for index in range(5):
            sample = samples[(epoch, index)]
            source, source_place = where[to_image(sample["source"]).tobytes()]
            target, target_place = where[to_image(sample["target"]).tobytes()]
            assert source == index % 3
            targets[target] += 1
            drawn.add((index, target))
            same += source_place == target_place
            assert torch.equal(samples[(epoch, index)]["target"], sample["target"])
    assert set(targets) == set(range(10, 15))
    assert max(targets.values()) < 70
    assert len(drawn) == 5 * 5  # in time every source meets every target
    assert same < 20  # of 200; independent draws agree once in 50


def test_samples_are_the_same_in_worker_processes(pairs: Path) -> None:
    samples = dataset(pairs, paired=True)
    order = EpochStream(6, batch_size=2, rank=0, world_size=1, seed=3, num_steps=4)
    here = [batch["target"] for batch in DataLoader(samples, batch_sampler=order)]
    there = [batch["target"] for batch in DataLoader(samples, batch_sampler=order, num_workers=2)]
    assert len(here) == len(there) == 4
    assert all(torch.equal(one, other) for one, other in zip(here, there, strict=True))
    thawed = pickle.loads(pickle.dumps(samples))  # what a spawned worker gets
    assert torch.equal(thawed[(1, 1)]["source"], samples[(1, 1)]["source"])


@pytest.mark.parametrize(
    ("length", "batch_size", "world_size"), [(7, 1, 1), (7, 2, 1), (10, 3, 2), (5, 1, 4), (2, 4, 2)]
)
def test_over_all_ranks_every_sample_comes_once_an_epoch(length: int, batch_size: int, world_size: int) -> None:
    steps = -(-4 * length // (batch_size * world_size))
    ranks = [
        list(EpochStream(length, batch_size=batch_size, rank=rank, world_size=world_size, seed=1, num_steps=steps))
        for rank in range(world_size)
    ]
    assert all(len(batches) == steps and {len(batch) for batch in batches} == {batch_size} for batches in ranks)
    stream = [position for step in range(steps) for batches in ranks for position in batches[step]]
    epochs = [[index for at, index in stream if at == epoch] for epoch in range(4)]
    assert all(sorted(epoch) == list(range(length)) for epoch in epochs)
    assert [at for at, _ in stream] == sorted(at for at, _ in stream)
    if length > 5:
        assert epochs[0] != epochs[1]
        assert epochs[0] != list(range(length))


def test_the_stream_resumes_at_any_step_and_follows_the_seed() -> None:
    def stream(seed: int = 0, start_step: int = 0) -> EpochStream:
        return EpochStream(9, batch_size=2, rank=1, world_size=2, seed=seed, start_step=start_step, num_steps=20)

    whole = list(stream())
    for step in (0, 1, 7, 19, 20):
        assert list(stream(start_step=step)) == whole[step:]
        assert len(stream(start_step=step)) == 20 - step
    assert list(stream(seed=1)) != whole
    assert list(stream()) == whole


def test_an_impossible_stream_is_refused() -> None:
    with pytest.raises(ValueError, match="length=0"):
        EpochStream(0, batch_size=1, rank=0, world_size=1, seed=0, num_steps=1)
    with pytest.raises(ValueError, match="rank=2"):
        EpochStream(4, batch_size=1, rank=2, world_size=2, seed=0, num_steps=1)
