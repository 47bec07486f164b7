"""The cache of decoded images: the same bits as without it, whoever shares it, whatever happens to it."""

import hashlib
import json
import multiprocessing
import os
import pickle
import random
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, features
from torch.utils.data import DataLoader

from img2img_hub.data.cache import resized as cache_module
from img2img_hub.data.cache.resized import ResizedImages, cache_name, open_cache
from img2img_hub.data.find.columns import ColumnImages
from img2img_hub.data.find.sources import DataConfig, DataError, ImageData, PairedData, UnpairedData, open_data
from img2img_hub.data.samples.opened import About
from img2img_hub.data.samples.transforms import EpochStream, TrainingDataset
from img2img_hub.images.resize import training_array

SIZE, LOAD = 30, 37  # odd, so that no record is a round number of bytes
NUMBER = 6
fork = multiprocessing.get_context("fork")


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Six side-by-side pairs, as lossy files."""
    folder = tmp_path / "photos"
    (folder / "train").mkdir(parents=True)
    for index in range(NUMBER):
        picture(index, (96, 40)).save(folder / "train" / f"{index}.jpg")
    return folder


@pytest.fixture
def domains(tmp_path: Path) -> Path:
    """Four sources and six targets of several sizes, colour and grey."""
    folder = tmp_path / "domains"
    for name, count in (("trainA", 4), ("trainB", NUMBER)):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            image = picture(10 * len(name) + index, (40 + index, 50))
            image.convert("L" if index == 2 else "RGB").save(folder / name / f"{index}.png")
    return folder


def opened(root: Path, *, paired: bool = True, channels: tuple[int, int] = (3, 3), **options: Any) -> ImageData:
    config = DataConfig(dataset=str(root), side_by_side=paired, **options)
    return open_data(config, paired=paired, split="train", in_channels=channels[0], out_channels=channels[1])


def samples(data: ImageData, cache: ResizedImages | None = None, *, load_size: int = LOAD) -> TrainingDataset:
    return TrainingDataset(data, image_size=SIZE, load_size=load_size, flip=True, seed=3, cache=cache)


def digest(dataset: TrainingDataset, *, epochs: int = 3) -> str:
    """Of every bit of every sample."""
    values = hashlib.sha256()
    for epoch in range(epochs):
        for index in range(len(dataset)):
            sample = dataset[(epoch, index)]
            assert sample["source"].dtype == torch.float32
            for name in ("source", "target"):
                values.update(str(tuple(sample[name].shape)).encode() + sample[name].numpy().tobytes())
    return values.hexdigest()


def is_full(data: ImageData, folder: Path) -> bool:
    """Whether a cache opened anew has every image, none being looked for in the data set."""
    files = open_cache(data, load_size=LOAD, folder=folder)._files
    assert files is not None
    return all(file.read(index) is not None for file in files for index in range(file.length))


def in_process(target: Callable[..., None], *arguments: Any) -> Any:
    """What `target(send, *arguments)` sends from a process of its own; None if it dies before."""
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=lambda: target(sender.send, *arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        return None
    finally:
        process.join()


@pytest.mark.parametrize("channels", [(3, 3), (1, 3), (3, 1)])
@pytest.mark.parametrize("paired", [True, False])
def test_every_sample_is_the_same_to_the_bit(
    pairs: Path, domains: Path, tmp_path: Path, paired: bool, channels: tuple[int, int]
) -> None:
    root = pairs if paired else domains
    data = opened(root, paired=paired, channels=channels)
    expected = digest(samples(data))
    cache = open_cache(data, load_size=LOAD, folder=tmp_path / "cache")
    assert digest(samples(data, cache)) == expected  # filled on the way
    assert digest(samples(data, cache)) == expected
    assert is_full(data, tmp_path / "cache")
    again = open_cache(data, load_size=LOAD, folder=tmp_path / "cache")
    shutil.rmtree(root)  # from here on there is only the cache
    assert digest(samples(data, again)) == expected


def test_the_files_are_plain_arrays_of_the_datas_own_type(pairs: Path, tmp_path: Path) -> None:
    data = opened(pairs, channels=(1, 3))
    assert isinstance(data, PairedData)
    cache = open_cache(data, load_size=LOAD, folder=tmp_path)
    cache.pair(4)
    (place,) = tmp_path.glob(f"photos-{LOAD}-*")
    source = np.load(place / "source.npy", mmap_mode="r")
    target = np.load(place / "target.npy", mmap_mode="r")
    assert source["pixels"].shape == (NUMBER, 1, LOAD, LOAD)
    assert target["pixels"].dtype == np.uint8
    assert np.array_equal(target["pixels"][4], training_array(data.target(4), load_size=LOAD))
    assert np.array_equal(source["pixels"][4, 0], np.asarray(data.source(4).resize((LOAD, LOAD), Image.BICUBIC)))
    assert [bool(check) for check in source["check"]] == [index == 4 for index in range(NUMBER)]  # only as asked for
    assert len(list(place.iterdir())) == 2


def test_the_description_says_where_and_how_much(pairs: Path, tmp_path: Path) -> None:
    data = opened(pairs)
    cache = open_cache(data, load_size=256, folder=tmp_path)
    assert cache.description == f"Images are cached in {next(tmp_path.glob('photos-256-*'))} (0.0 MB of 2.4 MB so far)"
    for index in range(NUMBER):
        cache.pair(index)
    again = open_cache(data, load_size=256, folder=tmp_path)
    assert again.description.endswith(" (2.4 MB)")
    assert samples(data, again, load_size=256).description == again.description
    assert samples(data).description == ""


def test_the_default_folder_is_the_users_cache(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    open_cache(opened(pairs), load_size=LOAD)
    assert len(list((tmp_path / "xdg" / "img2img_hub").iterdir())) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the specification says to ignore
    open_cache(opened(pairs), load_size=LOAD)
    assert len(list((tmp_path / "home" / ".cache" / "img2img_hub").iterdir())) == 1
    open_cache(opened(pairs), load_size=LOAD, folder="~/elsewhere")
    assert len(list((tmp_path / "home" / "elsewhere").iterdir())) == 1


def test_a_cache_of_something_else_is_refused(pairs: Path, tmp_path: Path) -> None:
    data = opened(pairs)
    cache = open_cache(data, load_size=LOAD, folder=tmp_path)
    with pytest.raises(ValueError, match="another load_size"):
        samples(data, cache, load_size=LOAD + 1)
    with pytest.raises(ValueError, match="other data"):
        samples(opened(pairs), cache)


def test_whatever_changes_a_pixel_changes_the_name(pairs: Path, domains: Path) -> None:
    def name(root: Path = pairs, *, load_size: int = LOAD, **options: Any) -> str:
        return cache_name(opened(root, **options), load_size=load_size)

    data = opened(pairs)
    assert isinstance(data, PairedData)
    source, target = (side.images for side in data.sides.values())
    about = About(id=data.id, hub_ids=(), split="train")
    one_by_one = UnpairedData(source, target, range(NUMBER), range(NUMBER), about=about)
    names = [
        name(),
        name(direction="BtoA"),
        name(max_samples=4),
        name(channels=(1, 3)),
        name(load_size=LOAD + 1),
        name(domains, paired=False),
        name(domains, paired=False, direction="BtoA"),
        cache_name(data.select([0, 1, 2, 4, 3, 5]), load_size=LOAD),
        cache_name(one_by_one, load_size=LOAD),
    ]
    assert name() == names[0]
    image = pairs / "train" / "3.jpg"
    os.utime(image, ns=(0, 0))
    names.append(name())
    content, times = image.read_bytes(), image.stat()
    image.write_bytes(content[:-40] + bytes(40))  # as long as it was, and as old as it was
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
    names.append(name())
    image.rename(pairs / "train" / "33.jpg")
    names.append(name())
    pairs.rename(pairs.with_name("moved"))  # the files are as they were, but any folder may hold such ones
    names.append(name(pairs.with_name("moved")))
    assert len(set(names)) == len(names)


def test_another_release_of_any_decoder_is_another_name(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, version = [cache_name(opened(pairs), load_size=LOAD)], features.version
    for library in ("libjpeg_turbo", "jpg", "jpg_2000", "webp", "avif", "libtiff"):
        with monkeypatch.context() as patch:
            patch.setattr(features, "version", lambda name, new=library: "new" if name == new else version(name))
            anew = runpy.run_path(cache_module.__file__)  # as a process that starts with this release
        names.append(anew["cache_name"](opened(pairs), load_size=LOAD))
    assert len(set(names)) == len(names)


def test_a_table_is_told_from_another_by_its_library_its_column_rows_and_files(tmp_path: Path) -> None:
    import datasets

    paths = [str(tmp_path / f"{index}.png") for index in range(4)]
    for index, path in enumerate(paths):
        picture(index, (20, 20)).save(path)
    encoded = [{"bytes": Path(path).read_bytes(), "path": None} for path in paths]
    rows: dict[str, list[Any]] = {"a": encoded, "b": encoded, "c": [{"bytes": None, "path": path} for path in paths]}
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "table"))

    def name(first: str = "a", second: str = "b", *, skip: int = 0, rows: list[int] | None = None) -> str:
        table = datasets.load_from_disk(str(tmp_path / "table")).skip(skip)
        sides = [ColumnImages(table, column, title="", rows=rows) for column in (first, second)]
        about = About(id="user/table", hub_ids=(), split="train")
        return cache_name(PairedData(*sides, range(len(sides[0])), about=about), load_size=LOAD)

    names = [name(), name("b", "a"), name("a", "c"), name(skip=1), name(rows=[0, 1, 2]), name(rows=[0, 2, 1])]
    assert len(set(names)) == len(names)
    assert name() == names[0]
    assert in_process(lambda send: send(name())) == names[0]
    Path(paths[2]).touch()
    assert name() == names[0]  # holds the images themselves
    assert name("a", "c") not in names
    assert name("a", "c", rows=[0, 1, 3]) == name("a", "c", rows=[0, 1, 3])


@pytest.mark.parametrize("paired", [True, False])
def test_processes_fill_one_cache_at_once(pairs: Path, domains: Path, tmp_path: Path, paired: bool) -> None:
    data = opened(pairs if paired else domains, paired=paired)
    expected = digest(samples(data))
    start, results = fork.Barrier(4), fork.SimpleQueue()

    def run() -> None:
        start.wait()
        results.put(digest(samples(data, open_cache(data, load_size=LOAD, folder=tmp_path / "cache"))))

    processes = [fork.Process(target=run) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [results.get() for _ in processes] == [expected] * 4
    (place,) = (tmp_path / "cache").iterdir()
    assert sorted(path.name for path in place.iterdir()) == ["source.npy", "target.npy"]
    assert is_full(data, tmp_path / "cache")


def test_processes_that_make_a_cache_at_once_share_it(pairs: Path, tmp_path: Path) -> None:
    data = opened(pairs)
    together, rounds = fork.Barrier(3), 20

    def run(rank: int) -> None:
        for number in range(rounds):
            together.wait()
            cache = open_cache(data, load_size=LOAD, folder=tmp_path / str(number))
            together.wait()
            for index in range(rank, NUMBER, 3):
                cache.pair(index)

    processes = [fork.Process(target=run, args=(rank,)) for rank in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert all(is_full(data, tmp_path / str(number)) for number in range(rounds))


def test_a_kill_while_it_is_filled_leaves_no_wrong_pixel(pairs: Path, tmp_path: Path) -> None:
    data = opened(pairs)
    load_size = 600  # large, so that a kill comes in the middle of things
    expected = digest(samples(data, load_size=load_size), epochs=1)
    draw = random.Random(0)

    def fill() -> None:
        for index in draw.sample(range(NUMBER), NUMBER):
            open_cache(data, load_size=load_size, folder=tmp_path / "cache").pair(index)

    for _ in range(12):
        process = fork.Process(target=fill)
        process.start()
        time.sleep(draw.uniform(0.005, 0.05))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL or process.exitcode == 0
        draw.random()
    cache = open_cache(data, load_size=load_size, folder=tmp_path / "cache")
    assert digest(samples(data, cache, load_size=load_size), epochs=1) == expected


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)


def lose_a_block(file: Path) -> None:
    """As after a power cut: the check was written, some pixels were not."""
    content = bytearray(file.read_bytes())
    content[4096:8192] = bytes(4096)
    file.write_bytes(content)


def spoil_the_header(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[20:40] = b"\xff" * 20
    file.write_bytes(content)


def exchange_two_images(file: Path) -> None:
    pixels = np.load(file, mmap_mode="r+")["pixels"]
    pixels[[0, 1]] = pixels[[1, 0]]


@pytest.mark.parametrize("name", ["source.npy", "target.npy"])
@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        lose_a_block,
        spoil_the_header,
        exchange_two_images,
        lambda file: os.truncate(file, file.stat().st_size - 1),
        lambda file: os.truncate(file, 0),
        lambda file: file.unlink(),
    ],
)
def test_damage_is_seen_and_mended(pairs: Path, tmp_path: Path, damage: Callable[[Path], Any], name: str) -> None:
    data = opened(pairs)
    expected = digest(samples(data))
    digest(samples(data, open_cache(data, load_size=LOAD, folder=tmp_path / "cache")))
    (place,) = (tmp_path / "cache").iterdir()
    damage(place / name)
    assert not is_full(data, tmp_path / "cache")
    cache = open_cache(data, load_size=LOAD, folder=tmp_path / "cache")
    assert digest(samples(data, cache)) == expected
    assert is_full(data, tmp_path / "cache")


def test_it_may_be_deleted_while_in_use(pairs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = opened(pairs)
    expected = digest(samples(data))
    dataset = samples(data, open_cache(data, load_size=LOAD, folder=tmp_path / "cache"))
    frozen = pickle.dumps(dataset)
    dataset[(0, 1)]
    shutil.rmtree(tmp_path / "cache")
    assert digest(dataset) == expected
    assert caplog.messages == []
    assert digest(pickle.loads(frozen)) == expected  # a worker that starts late finds nothing
    assert len(caplog.messages) == 1
    assert "cannot be read any more (No such file or directory)" in caplog.text


def test_where_no_folder_can_be_made_images_are_decoded(pairs: Path, tmp_path: Path) -> None:
    data = opened(pairs)
    (tmp_path / "file").write_text("not a folder")
    cache = open_cache(data, load_size=LOAD, folder=tmp_path / "file" / "cache")
    assert "decoded anew every time" in cache.description
    assert "(Not a directory): give another --cache_dir" in cache.description
    assert digest(samples(data, cache)) == digest(samples(data))


@pytest.mark.parametrize("opened_before", [False, True])
def test_a_limit_on_file_sizes_costs_the_cache_and_nothing_else(
    pairs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, opened_before: bool
) -> None:
    data = opened(pairs)
    expected = digest(samples(data))

    def run(send: Callable[[Any], None]) -> None:
        cache = open_cache(data, load_size=LOAD, folder=tmp_path / "cache") if opened_before else None
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 * 3 * LOAD * LOAD, resource.RLIM_INFINITY))
        cache = cache or open_cache(data, load_size=LOAD, folder=tmp_path / "cache")
        found = digest(samples(data, cache))
        send((found, cache.description, caplog.messages))

    found, description, lines = in_process(run)
    assert found == expected
    if opened_before:
        assert lines == [
            "the cache takes no more images (File too large): the others are decoded anew every time"
        ]  # once, and what fitted in is kept
        assert not is_full(data, tmp_path / "cache")
    else:
        assert "(File too large)" in description
        assert lines == []


FULL_DISK = """
    import json, os, subprocess, sys
    from tests.test_cache import LOAD, digest, cache_name, opened, open_cache, samples
    from pathlib import Path

    root, disk = Path(sys.argv[1]), Path(sys.argv[2])
    data = opened(root)
    found = {"expected": digest(samples(data)), "name": cache_name(data, load_size=LOAD)}

    def mount(*options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(disk)], check=True)

    def run(name, fill_up=None):
        cache = open_cache(data, load_size=LOAD, folder=disk)
        if fill_up is not None:
            cache.pair(0)
            with open(disk / "other", "wb", buffering=0) as other:
                try:
                    while True:
                        other.write(bytes(4096))
                except OSError:
                    pass
            if not fill_up:  # not even what is to be left to others is asked about: the write itself fails
                for file in cache._files:
                    file.leave_free = 0
        print(name, file=sys.stderr)
        found[name] = [digest(samples(data, cache)), digest(samples(data, cache)), cache.description]

    mount("size=64k")
    run("small")
    mount("size=256k")
    run("filled", fill_up=True)
    mount("size=256k")
    run("full", fill_up=False)
    mount("size=1m", "ro")
    run("read-only")
    print(json.dumps(found))
"""


def test_a_small_a_full_and_a_read_only_disk(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    own_mounts = ["unshare", "--map-root-user", "--mount"]
    probe = ["sh", "-c", f"mount -t tmpfs none {tmp_path / 'disk'}"]
    if not shutil.which("unshare") or subprocess.run([*own_mounts, *probe], capture_output=True).returncode:
        pytest.skip("no file systems can be mounted here")
    code = [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(pairs), str(tmp_path / "disk")]
    done = subprocess.run([*own_mounts, *code], cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr  # a write through a mapping would have died of SIGBUS
    found = json.loads(done.stdout)
    expected = found.pop("expected")
    assert found.pop("name") == cache_name(opened(pairs), load_size=LOAD)  # the same in every process
    assert all(result[:2] == [expected] * 2 for result in found.values())
    assert "more than half of the 0.1 MB free" in found["small"][2]
    assert "(Read-only file system)" in found["read-only"][2]
    assert done.stderr.splitlines() == [
        "small",
        "filled",
        "the cache takes no more images (less than 0.0 MB is free): the others are decoded anew every time",
        "full",
        "the cache takes no more images (No space left on device): the others are decoded anew every time",
        "read-only",
    ]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_fill_and_read_it(pairs: Path, tmp_path: Path, method: str) -> None:
    data = opened(pairs)
    order = EpochStream(NUMBER, batch_size=2, rank=0, world_size=1, seed=3, num_steps=6)
    expected = list(DataLoader(samples(data), batch_sampler=order))
    dataset = samples(data, open_cache(data, load_size=LOAD, folder=tmp_path / "cache"))
    workers = 2 if method == "fork" else 1  # a spawned one takes seconds to start
    found = list(DataLoader(dataset, batch_sampler=order, num_workers=workers, multiprocessing_context=method))
    for one, other in zip(found, expected, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in ("source", "target"))
    assert is_full(data, tmp_path / "cache")


def test_a_pair_of_two_sizes_is_refused_every_time(domains: Path, tmp_path: Path) -> None:
    shutil.copytree(domains / "trainB", domains / "train" / "A")
    shutil.copytree(domains / "trainB", domains / "train" / "B")
    picture(1, (20, 22)).save(domains / "train" / "B" / "3.png")
    root = domains / "train"
    config = DataConfig(dataset=str(root))
    unpaired = open_data(config, paired=False, split="train")
    cache = open_cache(unpaired, load_size=LOAD, folder=tmp_path / "cache")
    for index in range(NUMBER):  # both images of the pair are fine, taken one by one
        cache.source(index)
        cache.target(index)
    data = open_data(config, paired=True, split="train")
    dataset = samples(data, open_cache(data, load_size=LOAD, folder=tmp_path / "cache"))
    for _ in range(2):
        with pytest.raises(DataError, match="a pair has two sizes"):
            dataset[(0, 3)]


def test_the_benchmark_of_the_input_path_runs(pairs: Path, domains: Path) -> None:
    command = ["-m", "benchmarks.input_path", "--data", pairs, "--unpaired_data", domains, "--turns", "2"]
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, *command], cwd=root, capture_output=True, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["name"] == "input_path"
    *paths, channels = result["cases"]
    assert [case["case"] for case in paths] == [
        "paired, warm cache", "unpaired, warm cache", "labels and instances, warm cache",
    ]  # fmt: skip
    assert channels["case"] == "channels of a step with labels"
    missed = [case["ratio"] < case["target"] for case in paths] + [channels["ratio"] > channels["target"]]
    assert done.returncode == int(any(missed))
