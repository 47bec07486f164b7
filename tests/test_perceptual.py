"""LPIPS, FID and KID: what can be checked without their weights, and what is said where they are missing."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from img2img_hub import DataConfig, ResNetGenerator, Translator
from img2img_hub.data.find.sources import open_data
from img2img_hub.evaluation import perceptual
from img2img_hub.evaluation.measure import evaluate_paired, evaluate_unpaired
from img2img_hub.evaluation.metrics import frechet_distance, kernel_distance, metric_names
from img2img_hub.evaluation.perceptual import Perceptual
from img2img_hub.images.picture import to_tensor

SIZE = 32


class Small(nn.Module):
    """In the place of Inception: of 8-bit images it takes the means of the four corners' bands."""

    def forward(self, images: Tensor) -> tuple[Tensor]:
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        return (nn.functional.avg_pool2d(images.double(), SIZE // 2).flatten(1).float(),)


class Difference(nn.Module):
    """In the place of LPIPS."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        self.seen = torch.stack([first, second])
        return (first - second).abs().max()

    def reset(self) -> None:
        pass


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Perceptual:
    monkeypatch.setattr(perceptual, "_load_lpips", lambda size: Difference())
    monkeypatch.setattr(perceptual, "_load_inception", lambda: Small())
    return Perceptual(["lpips", "fid", "kid"], image_size=SIZE)


def features(count: int, *, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)) + shift


def test_fid_is_the_published_formula():
    made, real = features(40, seed=0, shift=0.3), features(25, seed=1) * 2
    a, b = made.double().numpy(), real.double().numpy()
    first, second = np.cov(a.T), np.cov(b.T)
    root = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum()  # the trace of the matrix root
    by_hand = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * root
    assert frechet_distance(made, real) == pytest.approx(by_hand, rel=1e-5)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-5)


def test_kid_is_the_published_formula_and_moves_no_random_numbers():
    made, real = features(30, seed=0, shift=0.3), features(30, seed=1)
    a, b = made.double().numpy(), real.double().numpy()

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / 6 + 1) ** 3

    off = 1 - np.eye(30)
    by_hand = ((kernel(a, a) + kernel(b, b)) * off).sum() / (30 * 29) - 2 * kernel(a, b).mean()
    before = torch.get_rng_state()
    assert kernel_distance(made, real) == pytest.approx(by_hand, rel=1e-4)
    assert kernel_distance(made, features(50, seed=1)) == kernel_distance(made, features(50, seed=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_networks_see_what_their_papers_say(loaded):
    levels = torch.arange(256, dtype=torch.float64).repeat(4).reshape(1, 1, SIZE, SIZE) / 255
    corners = [levels[0, 0, i : i + 16, j : j + 16].mean().item() * 255 for i in (0, 16) for j in (0, 16)]
    for image in (levels, (levels - 0.4 / 255).clamp(min=0)):  # rounded, not cut off
        assert loaded.features(image)["inception"].tolist() == pytest.approx(corners * 3, abs=1e-4)
    assert loaded.compare(levels, 1 - levels)["lpips"] == pytest.approx(2)
    seen = loaded._networks["lpips"].seen
    assert (seen.min().item(), seen.max().item(), tuple(seen.shape)) == (-1, 1, (2, 1, 3, SIZE, SIZE))


def test_an_evaluation_brings_them_beside_the_others(loaded, paired_folder, unpaired_folder):
    torch.manual_seed(0)
    forth, back = (Translator(ResNetGenerator(width=4, blocks=1)) for _ in range(2))
    data = open_data(DataConfig(dataset=str(paired_folder), side_by_side=True), paired=True, split="test")
    numbers = evaluate_paired(forth, data, image_size=SIZE, perceptual=loaded)
    assert tuple(numbers) == metric_names(paired=True, extra=loaded.names)

    def seen(images: list) -> Tensor:
        return torch.stack(
            [loaded.features((to_tensor(image)[None].double() + 1) / 2)["inception"] for image in images]
        )

    places = range(len(data))
    made, real = seen([forth(data.source(i)) for i in places]), seen([data.target(i) for i in places])
    assert numbers["fid_target"] == pytest.approx(frechet_distance(made, real), rel=1e-4)
    assert numbers["kid_target"] == pytest.approx(kernel_distance(made, real), rel=1e-4)
    sides = open_data(DataConfig(dataset=str(unpaired_folder)), paired=False, split="test")
    loaded.keep(["fid", "kid"])
    assert "another process" in loaded.problems[0]
    numbers = evaluate_unpaired(forth, back, sides, image_size=SIZE, perceptual=loaded)
    assert tuple(numbers) == metric_names(paired=False, extra=loaded.names)
    targets = seen([back(sides.target(i)) for i in range(2)]), seen([sides.source(i) for i in range(2)])
    assert numbers["fid_source"] == pytest.approx(frechet_distance(*targets), rel=1e-4)


def test_few_images_are_warned_of_and_one_is_refused(loaded):
    (note,) = loaded.notes(106)
    assert note.startswith("FID of 106 images is biased upwards (it wants 2048 or more)")
    assert loaded.notes(2048) == []
    with pytest.raises(ValueError, match="two images or more a side, got 1"):
        loaded.notes(1)
    assert Perceptual().notes(1) == []


def test_weights_that_cannot_be_downloaded_are_said_and_the_rest_still_comes(monkeypatch):

    def unreachable(size: int) -> nn.Module:
        raise perceptual._explained(OSError("<urlopen error Name or service not known>"))

    monkeypatch.setattr(perceptual, "_load_lpips", unreachable)
    monkeypatch.setattr(perceptual, "_load_inception", lambda: Small())
    extra = Perceptual(["lpips", "kid"])
    assert extra.names == ("kid",)
    (problem,) = extra.problems
    assert problem.startswith("lpips is not measured: its weights cannot be downloaded (<urlopen error")
    assert "checkpoints" in problem
    assert extra.compare(torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1, 3, SIZE, SIZE)) == {}


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
def test_missing_packages_are_named_with_the_command_that_installs_them():
    before = torch.get_rng_state()
    extra = Perceptual(["lpips", "fid", "kid"])
    assert extra.names == ()
    assert len(extra.problems) == 3
    for name, problem in zip(["lpips", "fid", "kid"], extra.problems, strict=True):
        assert problem.startswith(f"{name} is not measured: ")
        assert "torchvision not installed" in problem
        assert "pip install torchmetrics torch-fidelity torchvision" in problem
    assert torch.equal(torch.get_rng_state(), before)


def test_what_a_broken_package_raises_is_said_in_one_line():
    error = perceptual._explained(RuntimeError("operator torchvision::nms\ndoes not exist"))
    command = "pip install --upgrade torchmetrics torch-fidelity torchvision"
    assert str(error).startswith(f"RuntimeError: operator torchvision::nms does not exist: {command} (")
