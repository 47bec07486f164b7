"""The benchmark of one image's latency compares what gives the same images, and notices when it does not."""

import pytest
import torch

from benchmarks import translate_latency
from benchmarks.translate_latency import latency, pictures
from tests.originals import original_unet


def test_both_sides_have_the_same_weights_and_a_difference_stops_it(tmp_path, monkeypatch):
    images = pictures(None)
    assert {image.shape for image in images} == {(1, 3, 256, 256)}

    def original():  # drawn anew by a seed; a forward in training mode changes its running averages
        return original_unet(6, 4, 3, 3, "batch", dropout=False)

    cases = latency("tiny", original(), images, folder=tmp_path, turns=2)
    assert [case.case.split(" by ")[0] for case in cases] == ["tiny float32", "tiny int8"]
    assert all(case.at_most and case.ratio > 0 for case in cases)

    monkeypatch.setattr(translate_latency, "write_onnx", lambda *_, **__: None)  # the files of before
    monkeypatch.setattr(translate_latency, "quantise", lambda *_: None)
    monkeypatch.setattr(translate_latency, "TOLERANCE", -1.0)
    with pytest.raises(AssertionError, match="differs by"), torch.no_grad():
        latency("tiny", original(), images, folder=tmp_path, turns=2)
