"""Files that are not what their names say: nothing outside this process is started, nothing is waited for.

python -m pytest tests/test_strange_files.py
"""

from __future__ import annotations

import ast
import io
import os
import struct
from pathlib import Path

import pytest
from PIL import Image

from img2img_hub.images.formats import FORMATS, ImageError, open_bytes, open_file
from img2img_hub.images.headers import kind_of
from img2img_hub.images.read import read_image, read_raster
from img2img_hub.translation.folders import translate_folder
from img2img_hub.translation.translator import Translator
from tests.browser.serving import ROOT, write_model
from tests.warm import run_python

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
OPENERS = {"read_image": read_image, "read_raster": read_raster, "kind_of": kind_of, "open_file": open_file}

# Each opener meets each file by path and as bytes in a process whose PATH begins with a Ghostscript that leaves a mark.
TRY = """
import sys
from pathlib import Path
from PIL import Image
from tests.test_strange_files import OPENERS
marked, *files = map(Path, sys.argv[1:])
for path in files:
    for opener in OPENERS.values():
        for content in (path, path.read_bytes()):
            try:
                opener(content)
            except Exception as error:
                print("refused", path.name)
    assert not marked.exists(), path
for path in files:  # Pillow by itself starts it, so that the test would see it
    try:
        Image.open(path).load()
    except Exception:
        marked.unlink()
        print("marked", path.name)
"""


def test_postscript_starts_no_program(tmp_path: Path) -> None:
    names = ["x.png", "x.jpg", "x.tif", "x.eps", "x"]
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/gs"
    program.write_text(f"#!/bin/sh\necho started >> {tmp_path / 'marked'}\nexit 1\n")
    program.chmod(0o755)
    for name in names:
        (tmp_path / name).write_bytes(POSTSCRIPT)
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    files = [str(tmp_path / name) for name in ("marked", *names)]
    done = run_python(["-c", TRY, *files], env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    for name in names:
        assert said.count(f"refused {name}") == 2 * len(OPENERS), name
        assert said.count(f"marked {name}") == 1, name


def test_formats_that_start_programs_or_need_handlers_are_not_listed() -> None:
    assert not set(FORMATS) & {"EPS", "WMF", "FITS", "GRIB", "HDF5", "BUFR", "FPX", "MIC", "PDF", "MPEG"}
    Image.init()
    assert set(FORMATS) <= set(Image.OPEN), "a name that Pillow does not know reads nothing"


def test_pillow_opens_files_in_one_place() -> None:
    """A second `Image.open` somewhere would have its own idea of what is a picture; `formats=` says that it has one."""
    elsewhere = []
    for path in sorted((ROOT / "img2img_hub").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) in ("Image.open", "PIL.Image.open", "ImageFile.Parser")
                and "formats" not in [keyword.arg for keyword in node.keywords]
            ):
                elsewhere.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert elsewhere == []


@pytest.mark.parametrize("format", sorted(set(FORMATS) & {"PNG", "JPEG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "TGA"}))
def test_the_pictures_that_people_have_are_read(tmp_path: Path, format: str) -> None:
    Image.new("RGB", (9, 7), (200, 30, 40)).save(tmp_path / "x", format=format)
    assert read_image(tmp_path / "x").size == (9, 7)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "/dev/zero", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """Opening a pipe waits for somebody to write, and /dev/zero never ends."""
    path = tmp_path / "x.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a pipe":
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    elif kind == "/dev/zero":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    for opener in (*OPENERS.values(), open_bytes):
        with pytest.raises(ImageError):
            opener(path)


@pytest.mark.timeout(60)
def test_a_pipe_in_a_folder_keeps_no_translation_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    Image.new("RGB", (16, 16)).save(tmp_path / "good.png")
    translator = Translator.from_pretrained(write_model(tmp_path / "model", examples=0))
    sources = [tmp_path / "pipe.png", tmp_path / "good.png"]
    done = translate_folder(translator, sources, output=tmp_path / "out")
    assert [source.name for source, _ in done.written] == ["good.png"]
    assert [source.name for source, _ in done.failures] == ["pipe.png"]


@pytest.mark.parametrize("length", range(65_600, 70_000, 400))
def test_an_icon_is_no_tga(tmp_path: Path, length: int) -> None:
    """TGA has no mark at its beginning; the length of an icon's picture stands where TGA has a depth of 1 bit."""
    file = io.BytesIO()
    Image.new("RGBA", (16, 16), (200, 30, 40, 255)).save(file, "PNG")
    inside = file.getvalue().ljust(length, b"\0")
    icon = struct.pack("<HHHBBHHHII", 0, 1, 1, 16, 16, 0, 1, 32, length, 22) + inside
    assert read_image(icon).getpixel((3, 3)) == (200, 30, 40)
