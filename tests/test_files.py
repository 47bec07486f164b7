"""A whole file or none: under a full disk, under a kill, beside others that write the same, and through no link."""

import os
import resource
import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from img2img_hub.files import cache_folder, replacing, write_bytes, write_tensors, write_text
from img2img_hub.images.raster import Raster
from img2img_hub.training.run.record import remove_made, strangers

ROOT = Path(__file__).parent.parent
TENSORS = {"a.weight": torch.arange(50_000.0).reshape(100, 500), "a.count": torch.tensor(3), "b": torch.zeros(0)}

WRITERS = {
    "text": lambda path, size: write_text(path, "n" * size),
    "bytes": lambda path, size: write_bytes(path, b"n" * size),
    "tensors": lambda path, size: write_tensors(path, {"n": torch.ones(size, dtype=torch.uint8)}),
    "raster": lambda path, size: Raster(array=torch.ones(size, 1, dtype=torch.uint8).numpy()).save(path),
}
every_writer = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@contextmanager
def no_file_above(size):
    """The system refuses to let a file grow further, in the same place as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@every_writer
def test_a_disk_that_fills_up_leaves_the_old_file_and_no_litter(write, tmp_path):
    path = tmp_path / "file.npy"
    path.write_text("old")
    with no_file_above(10_000), pytest.raises((OSError, ValueError), match=r"cannot be written|File too large"):
        write(path, 100_000)
    assert {found.name: found.read_text() for found in tmp_path.iterdir()} == {"file.npy": "old"}
    write(path, 100_000)
    assert [found.name for found in tmp_path.iterdir()] == ["file.npy"]
    assert path.stat().st_size >= 100_000


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_whatever_is_raised_midway_leaves_the_old_file_and_no_litter(error, tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as part:
            part.write_text("half")
            assert path.read_text() == "old"
            raise error

    with pytest.raises(error):
        write()
    assert {found.name: found.read_text() for found in tmp_path.iterdir()} == {"file.txt": "old"}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder for each writer, in which the system killed it amid its writing of file.npy, where "old" stood."""
    root = tmp_path_factory.mktemp("killed")
    code = """
        import os, resource, signal, sys
        from pathlib import Path
        from tests.test_files import WRITERS

        for name, write in WRITERS.items():
            path = Path(sys.argv[1], name, "file.npy")
            path.parent.mkdir()
            path.write_text("old")
            if not (child := os.fork()):
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
                write(path, 100_000)
                os._exit(0)
            assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGXFSZ, name
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), root], check=True, timeout=120, cwd=ROOT)
    return root


@pytest.mark.parametrize("name", WRITERS)
def test_a_kill_leaves_the_old_file_and_is_no_hindrance_to_the_next_write(killed, name):
    path = killed / name / "file.npy"
    assert path.read_text() == "old"
    assert len(list(path.parent.iterdir())) == 2, "it was killed amid the writing"
    WRITERS[name](path, 50_000)
    assert path.stat().st_size >= 50_000


@every_writer
def test_a_link_is_replaced_and_what_it_leads_to_stays(write, tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    path = tmp_path / "file.npy"
    for lead in (path, path.with_name(".file.npy.new")):  # the second is where a text is written first
        lead.symlink_to(tmp_path / "theirs")
    write(path, 10)
    assert not path.is_symlink()
    assert path.stat().st_size >= 10
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_any_number_may_write_one_file_at_once(tmp_path):
    path, contents = tmp_path / "file", [bytes([letter]) * 300_000 for letter in b"abcd"]
    read = set()
    threads = [threading.Thread(target=lambda c=c: [write_bytes(path, c) for _ in range(30)]) for c in contents]
    write_bytes(path, contents[0])
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        read.add(path.read_bytes())
    assert read <= set(contents)
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_name_as_long_as_the_disk_takes_is_no_hindrance(tmp_path):
    path = tmp_path / ("n" * 255)
    write_bytes(path, b"content")
    assert path.read_bytes() == b"content"


def test_folders_are_made_for_bytes_and_lines_end_alike_everywhere(tmp_path):
    write_bytes(tmp_path / "a/b/file", memoryview(b"content"))
    assert (tmp_path / "a/b/file").read_bytes() == b"content"
    write_text(tmp_path / "text", "é\n2\n")
    assert (tmp_path / "text").read_bytes() == "é\n2\n".encode()


# --- tensors ----------------------------------------------------------------------------------------------------------


def test_tensors_come_back_as_they_were_however_they_lie_in_memory(tmp_path):
    images = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    tensors = {**TENSORS, "images": images, "turned": torch.rand(3, 4).T, "half": torch.rand(5).bfloat16()}
    path = tmp_path / "state.safetensors"
    write_tensors(path, tensors, metadata={"format": "pt"})
    loaded = load_file(path)
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=0, check_stride=False)
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    write_tensors(path, {})
    assert load_file(path) == {}


@pytest.mark.skipif(os.name == "nt", reason="no such modes")
def test_others_can_read_tensors_as_umask_says(tmp_path):
    for mask, mode in ((0o022, 0o644), (0o027, 0o640), (0o077, 0o600)):
        before = os.umask(mask)
        try:
            write_tensors(tmp_path / "state.safetensors", TENSORS)
            assert os.umask(mask) == mask, "it is as it was"
        finally:
            os.umask(before)
        assert (tmp_path / "state.safetensors").stat().st_mode & 0o777 == mode


def test_what_a_kill_leaves_of_tensors_is_known_for_a_runs(killed, tmp_path):
    """Whatever the library's version calls it."""
    (left,) = (path for path in (killed / "tensors").iterdir() if path.name != "file.npy")
    for place in (
        "checkpoints/.step-2.incomplete",
        "checkpoints/.best.incomplete",
        "checkpoints/.best.incomplete/training/discriminator",
        ".",
        "source2target/training/discriminator",
        ".push/step-2",
    ):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / left.name).write_text("torn")
    assert strangers(tmp_path) == []
    (tmp_path / "checkpoints" / left.name).write_text("somebody's")
    assert strangers(tmp_path) == [f"checkpoints/{left.name}"]
    remove_made(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()] == strangers(tmp_path)


# --- where they are kept ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "expected"),
    [("/somewhere", "/somewhere/img2img_hub"), (None, "~/.cache/img2img_hub"), ("", "~/.cache/img2img_hub")],
)
def test_the_cache_folder_follows_the_convention(base, expected, monkeypatch):
    if base is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", base)
    assert cache_folder() == Path(expected).expanduser()
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be left aside, as the convention has it
    assert cache_folder() == Path("~/.cache/img2img_hub").expanduser()
