"""What the page refuses or leaves out before it costs the server anything: headers, narrow pictures, deep networks.

python -m pytest tests/test_demo_limits.py
"""

from __future__ import annotations

import struct
import threading
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub import Translator, UNetGenerator
from img2img_hub.demo import guests
from img2img_hub.demo.app import build_demo
from img2img_hub.demo.batch_tab import translate_batch
from img2img_hub.demo.forecast import default_resize, foretell
from img2img_hub.demo.models import Model, find_models
from img2img_hub.demo.requests import check_request, native_pixels, read_picture
from img2img_hub.demo.translate_tab import choose_model
from img2img_hub.demo.uploads import nth_example, open_examples, size_of
from img2img_hub.images.read import read_image
from img2img_hub.networks import Generator
from img2img_hub.translation.settings import TranslationSettings
from tests.browser.serving import as_upload, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_model(tmp_path_factory.mktemp("models") / "stripes2dots")
    (folder / "examples" / "0-torn.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return folder


@pytest.mark.parametrize("kind", ["P3", "P6", "P6 of 12 bits", "qoi", "png"])
def test_pictures_that_are_decoded_in_python_count_as_larger(tmp_path, kind):
    """Such a file of 36 MB took half a minute, in which nobody else was served."""
    file = tmp_path / "x.png"
    if kind == "qoi":
        file.write_bytes(b"qoif" + struct.pack(">IIBB", 60, 40, 3, 0) + bytes(2400 + 7) + b"\1")
    elif kind == "png":
        Image.new("RGB", (60, 40)).save(file)
    else:
        head = {"P3": "P3 60 40 255", "P6": "P6 60 40 255", "P6 of 12 bits": "P6 60 40 4095"}[kind]
        file.write_bytes(f"{head}\n".encode() + b"0 " * 7200)
    assert size_of(str(file)) == (60, 40 if kind in ("P6", "png") else 320)
    assert read_image(file).size == (60, 40)


def test_an_example_that_cannot_be_read_is_left_out_and_the_page_stays(model, caplog):
    models = find_models(str(model))
    examples = models.models[model.name].examples
    whole = [path for path in examples if path.name != "0-torn.png"]
    assert whole
    assert len(whole) == len(examples) - 1
    opened = list(open_examples(examples))
    assert len(opened) == len(whole)
    assert [Image.open(path).size for path, _ in opened] == [Image.open(path).size for path in whole]
    assert "0-torn.png" in caplog.text
    assert [nth_example(examples, index) for index in range(len(whole) + 1)] == [path for path, _ in opened] + [None]
    gallery = choose_model(models, model.name)[3]
    assert gallery.visible
    assert len(gallery.value) == len(whole)
    build_demo(models)


def test_a_numpy_file_is_weighed_by_its_header(tmp_path):
    np.save(tmp_path / "small.npy", np.zeros((30, 40, 3), np.uint8))
    assert size_of(str(tmp_path / "small.npy")) == (40, 30)
    np.save(tmp_path / "deep.npy", np.zeros((30, 40, 8), np.float32))
    assert size_of(str(tmp_path / "deep.npy")) == (40, 240)  # 32 bytes a pixel
    np.lib.format.open_memmap(tmp_path / "large.npy", mode="w+", dtype=np.uint8, shape=(20_000, 20_000)).flush()
    with pytest.raises(gr.Error, match=r"large\.npy.*20000 × 20000 pixels"):
        read_picture(as_upload(tmp_path / "large.npy"), "fit", None)
    for header in ("((((", "{[]:1}", "{'descr': '|u1', 'fortran_order': False, 'shape': (True, 2)}"):
        text = header.ljust(117).encode() + b"\n"
        (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
        assert size_of(str(tmp_path / "bad.npy")) == (0, 0)
        with pytest.raises(gr.Error, match=r"bad\.npy"):
            read_picture(as_upload(tmp_path / "bad.npy"), "fit", None)
    np.save(tmp_path / "row.npy", np.zeros(5, np.uint8))
    assert size_of(str(tmp_path / "row.npy")) == (0, 0)


def test_a_narrow_picture_counts_as_what_the_network_pads_it_to(model, tmp_path):
    Image.new("RGB", (20_000, 2)).save(tmp_path / "line.png")
    upload = as_upload(tmp_path / "line.png")
    write_model(tmp_path / "deep", card=None, network=UNetGenerator(levels=8, width=1))
    models = find_models(f"{model}, {tmp_path / 'deep'}")
    with pytest.raises(gr.Error, match=r"20000 × 2 pixels, which this model pads to 20224 × 256 .*5\.2 megapixels"):
        check_request(models, "deep", upload, "native", None)
    assert "pads to 20224 × 256" in foretell(models, "deep", upload)
    assert default_resize(models, "deep", upload) == "fit"
    # A shallow network pads it to little, and takes it.
    translator, picture, resize = check_request(models, model.name, upload, "native", None)
    assert (picture.decoded.size, resize) == ((20_000, 2), "native")
    assert translator.engine.padded_size(2, 20_000)[0] < 256
    assert "pads" not in foretell(models, model.name, upload)
    # What a larger picture may, a smaller one may, too.
    deep = models.translator("deep")
    sides = [native_pixels(deep, side, side) for side in range(1, 2100, 7)]
    assert sides == sorted(sides)
    assert native_pixels(deep, 2000, 2000) == 4_000_000


class _Enlarging(Generator):
    """Four times the size."""

    in_channels = out_channels = 3
    scale = 4

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 3 * 16, 1)

    def forward(self, x):
        return torch.nn.functional.pixel_shuffle(self.layer(x), 4).tanh()


def test_what_a_model_enlarges_is_limited_by_what_comes_out(model, tmp_path):
    models = find_models(str(model))
    models._translators[model.name] = Translator(_Enlarging(), TranslationSettings(working_size=64, resize="fit"))
    for name, size in (("a", (500, 500)), ("b", (500, 501)), ("c", (1600, 1563))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    a, b, c = (as_upload(tmp_path / f"{name}.png") for name in "abc")
    assert check_request(models, model.name, a, "native", None)
    assert check_request(models, model.name, b, "fit", None)
    with pytest.raises(gr.Error, match=r"500 × 501 pixels .*; native resolution takes up to 0\.25\. "):
        check_request(models, model.name, b, "native", None)
    with pytest.raises(gr.Error, match=r"1600 × 1563 pixels .*; this model, which enlarges, takes up to 2\.5\. "):
        check_request(models, model.name, c, "fit", None)
    assert "native resolution takes up to 0.25" in foretell(models, model.name, b)
    assert default_resize(models, model.name, b) == "fit"
    _, report, _ = translate_batch(models, model.name, [a, b], "native")
    assert "b.png: 500 × 501 pixels (0.3 megapixels); native resolution takes up to 0.25." in report
    _, report, _ = translate_batch(models, model.name, [a, c], "fit")
    assert "c.png: 1600 × 1563 pixels (2.5 megapixels); this model, which enlarges, takes up to 2.5." in report
    with pytest.raises(gr.Error, match=r"1\.5 megapixels in all; 1\.25 at a time is the most"):
        translate_batch(models, model.name, [a] * 6, "native")


def test_a_network_that_pads_everything_to_millions_of_pixels_is_no_guest(tmp_path):
    UNetGenerator(levels=12, width=1, dropout=0.0).save_pretrained(tmp_path / "deep")
    with pytest.raises(guests.GuestError) as caught:
        guests._load(tmp_path / "deep", shown="ann/deep")
    assert (caught.value.text, caught.value.values["size"]) == ("guest_heavy", 4096)


def test_reverses_that_come_at_the_same_time_are_all_offered(model):
    models = find_models(str(model))
    names = [f"ann/model-{number}" for number in range(50)]
    start = threading.Barrier(len(names))

    def offer(name: str) -> None:
        start.wait()
        models._offer(Model(key=name, location=name, name=name))

    threads = [threading.Thread(target=offer, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(names) <= set(models.models)
