"""The benchmark of one image's latency compares what gives the same images, and notices when it does not."""

import json

import pytest
import torch

from benchmarks import enlarge, fill_hole, spade, translate_labels, translate_latency
from benchmarks.translate_large import synthetic
from benchmarks.translate_latency import Targets, latency, multiplications, pictures
from img2img_hub import CompactGenerator, SpadeGenerator, Translator
from img2img_hub.runtimes.backends import knows_bfloat16
from img2img_hub.translation.settings import TranslationSettings
from tests.originals import original_unet


def test_both_sides_have_the_same_weights_and_a_difference_stops_it(tmp_path, monkeypatch):
    images = pictures(None)
    assert {image.shape for image in images} == {(1, 3, 256, 256)}

    def original():  # drawn anew by a seed; a forward in training mode changes its running averages
        return original_unet(6, 4, 3, 3, "batch", dropout=False)

    targets = Targets(float32=0.5, bfloat16=0.5, int8=0.5)
    cases = latency("tiny", original(), images, targets, folder=tmp_path, turns=2)
    precisions = ["float32", "float32", *["bfloat16"] * knows_bfloat16(), "int8"]
    assert [case.case.split()[:2] for case in cases] == [["tiny", precision] for precision in precisions]
    assert "plain ONNX file" in cases[1].case
    assert all(case.at_most and case.ratio > 0 for case in cases)

    for write in ("write_onnx", "export_plainly"):
        monkeypatch.setattr(translate_latency, write, lambda *_, **__: None)  # the files of before
    before = (tmp_path / "tiny_int8.onnx").read_bytes()
    monkeypatch.setattr(translate_latency, "quantise", lambda *_: before)
    targets = Targets(float32=None, bfloat16=0.5, int8=0.5)
    case = latency("tiny", original(), images, targets, folder=tmp_path, turns=2)[0]
    assert "share of the machine's measured peak" in case.case
    assert not case.at_most
    assert 0 < case.ratio < 1, "a tiny network is far from it"

    monkeypatch.setattr(translate_latency, "TOLERANCE", -1.0)
    with pytest.raises(AssertionError, match="differs by"), torch.no_grad():
        latency("tiny", original(), images, targets, folder=tmp_path, turns=2)


def test_multiplications_are_those_of_the_convolutions():
    """Of an image of H × W, so many places times the kernel: of the input for a transposed one."""
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, padding=1), torch.nn.ConvTranspose2d(5, 2, 4, 2, 1))
    assert multiplications(layers, torch.zeros(1, 3, 6, 8)) == 6 * 8 * (3 * 5 * 9 + 5 * 2 * 16)


def test_label_maps_go_through_both_and_a_difference_stops_it(tmp_path, monkeypatch):
    generator = spade.enliven(SpadeGenerator(in_channels=spade.CLASSES, width=2, hidden=4))
    cases = translate_labels.latency("tiny", generator, "running", folder=tmp_path, turns=2)
    assert [case.case.split(", against ")[1] for case in cases] == [
        "PyTorch",
        "its layers written down plainly in PyTorch",
    ]
    assert all(case.at_most and case.ratio > 0 for case in cases)
    monkeypatch.setattr(translate_labels, "write_onnx", lambda *_, **__: None)  # the file of before
    monkeypatch.setattr(translate_labels, "TOLERANCE", -1.0)
    with pytest.raises(AssertionError, match="differs by"):
        translate_labels.latency("tiny", generator, "running", folder=tmp_path, turns=2)


def test_the_plain_generator_of_label_maps_has_the_same_weights_and_a_difference_stops_it(monkeypatch):
    spade.check({"width": 2, "hidden": 4})
    monkeypatch.setattr(spade, "TOLERANCE", -1.0)
    with pytest.raises(AssertionError, match="differs by"):
        spade.check({"width": 2, "hidden": 4})


def test_what_a_hole_and_an_enlargement_cost_is_measured_of_the_same_images(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        "sys.argv", ["fill_hole", "--width", "400", "--height", "300", "--hole", "20", "--turns", "2", "--threads", "1"]
    )
    assert fill_hole.main() in (0, 1)
    (case,) = json.loads(capsys.readouterr().out)["cases"]
    assert 0 < case["ratio"] < 1
    assert case["target"] == 0.25
    small = CompactGenerator(scale=4, blocks=1, width=4)
    picture = synthetic().resize((64, 48))
    eager = Translator(small, TranslationSettings(family="srgan", working_size=64, crop="native"), device="cpu")
    cases = enlarge.latency(eager, picture, folder=tmp_path, turns=2)
    assert ["compact x4 of 64²" in each.case for each in cases] == [True] * (1 + knows_bfloat16())
    monkeypatch.setitem(enlarge.LEVELS, "float32", -1)
    with pytest.raises(AssertionError, match="differs by"):
        enlarge.latency(eager, picture, folder=tmp_path, turns=2)
