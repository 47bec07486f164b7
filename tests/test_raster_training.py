"""Training on rasters and what comes of it: bands, units, places, pixels without data, from the folder to the user."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from img2img_hub.data.cache.resized import open_cache
from img2img_hub.data.find.sources import (
    DataConfig,
    DataError,
    PairedData,
    open_data,
    open_train_and_validation,
    problems,
)
from img2img_hub.data.samples.transforms import TrainingDataset
from img2img_hub.evaluation.measure import draw_samples, evaluate_paired, evaluate_unpaired
from img2img_hub.evaluation.measured_images import prepared
from img2img_hub.families import Outputs
from img2img_hub.families.cyclegan import CycleGAN
from img2img_hub.families.options import Architecture
from img2img_hub.families.pix2pix import Pix2Pix
from img2img_hub.images.formats import ImageError
from img2img_hub.images.raster import Raster
from img2img_hub.images.read import read_raster
from img2img_hub.images.values import BandValues
from img2img_hub.networks import ResNetGenerator, UNetGenerator
from img2img_hub.translation.settings import TranslationSettings
from img2img_hub.translation.translator import Translator
from tests.hub import run_client
from tests.runs import ROOT
from tests.scenes import NO_DATA, PLACE, scene, tags_of, write_pairs, write_tiff

SMALL = ["--image_size", "16", "--width", "4", "--discriminator_layers", "1", "--max_steps", "4"]
SMALL += ["--cpu", "--cpu_threads", "1", "--num_workers", "0"]


def test_five_bands_of_16_bits_to_two_of_floats_trained_pushed_pulled_and_applied(
    tmp_path: Path, alice: dict[str, str], bob: dict[str, str]
) -> None:
    write_pairs(write_pairs(tmp_path / "scenes", 4), 2, split="val", first=10)
    words = ["pix2pix", "--dataset", "scenes", "--output_dir", "run", *SMALL]
    words += ["--push_to_hub", "--hub_model_id", "alice/heights", "--license", "mit"]
    said = run_client([ROOT / "train_accelerate.py", *words], alice, cwd=tmp_path).stderr
    assert "5 bands of uint16 to 2 bands of float32" in said

    source = scene(99, size=(37, 29))[0]
    write_tiff(tmp_path / "new.tif", source, no_data="0")
    run_client(
        """
        from img2img_hub import Translator
        translator = Translator.from_pretrained("alice/heights")
        translator("new.tif", resize="native").save("pulled.tif")
        """,
        bob,
        cwd=tmp_path,
    )
    made, tags = tifffile.imread(tmp_path / "pulled.tif"), tags_of(tmp_path / "pulled.tif")
    assert made.shape == (29, 37, 2)
    assert made.dtype == np.float32
    missing = (source == 0).all(axis=2)
    assert np.array_equal(np.isnan(made), np.stack([missing, missing], axis=2))
    low, high = np.nanmin(made, axis=(0, 1)), np.nanmax(made, axis=(0, 1))
    assert 300 <= low[0] < high[0] <= 900  # metres
    assert -1 <= low[1] < high[1] <= 1
    assert high[0] - low[0] > 30
    assert {code: tags[code] for code in PLACE} == PLACE
    assert tags[NO_DATA] == "nan"

    local = Translator.from_pretrained(tmp_path / "run")(tmp_path / "new.tif", resize="native")
    assert isinstance(local, Raster)
    assert np.array_equal(local.array, made, equal_nan=True)
    settings = json.loads((tmp_path / "run/translation.json").read_text())
    assert settings["source_values"]["dtype"] == "uint16"
    assert min(settings["source_values"]["low"]) >= 500  # what is missing is 0, and no value
    assert settings["target_values"]["low"][0] == pytest.approx(300, abs=5)
    with Image.open(tmp_path / "run/sample_sheet.png") as sheet:
        assert len(np.unique(np.asarray(sheet))) > 20


# --- the data ---------------------------------------------------------------------------------------------------------


def opened(root: Path, **options: object) -> PairedData:
    data, _ = open_train_and_validation(
        DataConfig(dataset=str(root), validation_split="none", **options),  # type: ignore[arg-type]
        paired=True,
        seed=0,
    )
    assert isinstance(data, PairedData)
    return data


def test_samples_hold_values_and_where_there_is_data_and_a_cache_changes_nothing(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "scenes", 3)
    data = opened(root)
    jitter = {"image_size": 16, "load_size": 16, "flip": True, "seed": 0}
    fresh = TrainingDataset(data, **jitter)  # type: ignore[arg-type]
    kept = TrainingDataset(data, **jitter, cache=open_cache(data, load_size=16, folder=tmp_path))  # type: ignore[arg-type]
    for index in (0, 1, 0):
        sample, again = fresh[(0, index)], kept[(0, index)]
        assert {name: tuple(value.shape) for name, value in sample.items()} == {
            "source": (5, 16, 16),
            "source_valid": (1, 16, 16),
            "target": (2, 16, 16),
            "target_valid": (1, 16, 16),
        }
        for name, value in sample.items():
            assert torch.equal(value, again[name]), name
            assert value.dtype == torch.float32
        for side in ("source", "target"):
            valid = sample[f"{side}_valid"][0] == 1
            assert 0 < valid.double().mean() < 1
            assert (sample[side][:, ~valid] == 0).all()
            assert -1 <= sample[side].min() < -0.5 < 0.5 < sample[side].max() <= 1


def test_both_halves_of_a_pair_are_cut_and_turned_alike(tmp_path: Path) -> None:
    source = np.random.default_rng(0).integers(0, 60000, (20, 20, 2)).astype(np.uint16)
    write_tiff(tmp_path / "train/source/1.tif", source)
    write_tiff(tmp_path / "train/target/1.tif", source.astype(np.float32) / 7)
    samples = TrainingDataset(opened(tmp_path), image_size=12, load_size=20, flip=True, seed=0)
    drawn = set()
    for epoch in range(4):
        sample = samples[(epoch, 0)]
        torch.testing.assert_close(sample["source"], sample["target"], atol=1e-4, rtol=0)
        drawn.add(tuple(sample["source"].flatten().tolist()))
    assert len(drawn) > 1
    assert "source_valid" not in sample  # whole numbers, of which no file says that one is missing
    assert (sample["target_valid"] == 1).all()


def test_what_a_folder_holds_is_found_and_flags_win(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "scenes", 2)
    data = opened(root)
    assert (data.in_channels, data.out_channels) == (5, 2)
    grey = np.random.default_rng(0).integers(0, 60000, (20, 24)).astype(np.uint16)
    (tmp_path / "deep/train/source").mkdir(parents=True)
    (tmp_path / "deep/train/target").mkdir(parents=True)
    Image.fromarray(grey).save(tmp_path / "deep/train/source/1.png")
    Image.fromarray((grey // 256).astype(np.uint8)).save(tmp_path / "deep/train/target/1.png")
    data = opened(tmp_path / "deep")
    assert (data.in_channels, data.out_channels) == (1, 3)  # 16 bits are kept; 8-bit grey is RGB as ever
    assert isinstance(data.source(0), Raster)
    assert data.values[1] is None
    data = opened(tmp_path / "deep", in_channels=3, out_channels=1)  # asked for as pictures
    assert [image.mode for image in data.pair(0)] == ["RGB", "L"]  # type: ignore[union-attr]
    data = opened(root, source_range=(0, 20000), no_data=-1)
    assert data.values[0] is not None
    assert set(data.values[0].low) == {0.0}
    assert set(data.values[0].high) == {20000.0}
    with pytest.raises(DataError, match="5 bands of uint16, and 4 are asked for"):
        opened(root, in_channels=4)
    with pytest.raises(DataError, match="8-bit pictures, of 1 or 3 bands, and 2 are asked for"):
        opened(tmp_path / "deep", out_channels=2)


def test_files_that_are_not_alike_are_named(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "scenes", 2)
    write_tiff(root / "train/source/1.tif", scene(1)[0][:, :, :4], no_data="0")
    with pytest.raises(DataError, match=r"0\.tif has 5 bands of uint16, .*1\.tif has 4 bands of uint16"):
        opened(root)
    write_tiff(root / "train/source/1.tif", np.zeros((24, 20, 5), np.uint16), no_data="0")
    data = opened(root)
    assert [*problems(data)] == [
        f"{root}/train/source/1.tif holds no data, every pixel is NaN or marked as missing: leave it out"
    ]


def test_the_command_that_checks_data_looks_at_rasters_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from img2img_hub.cli import main

    root = write_pairs(tmp_path / "scenes", 2)
    assert main(["check-data", "--dataset", str(root), "--split", "train", "--sheet", str(tmp_path / "s.png")]) == 0
    assert "5 bands of uint16 to 2 bands of float32" in capsys.readouterr().out
    with Image.open(tmp_path / "s.png") as sheet:
        assert len(np.unique(np.asarray(sheet))) > 20


def test_a_table_of_tiffs_is_read_as_rasters_downloaded_or_as_a_stream(tmp_path: Path) -> None:
    from datasets import Dataset, Features
    from datasets import Image as ImageFeature

    root = write_pairs(tmp_path / "scenes", 3)
    columns = {
        side: [{"bytes": (root / f"train/{side}/{n}.tif").read_bytes(), "path": None} for n in range(3)]
        for side in ("source", "target")
    }
    (tmp_path / "table/data").mkdir(parents=True)
    table = Dataset.from_dict(columns, features=Features({name: ImageFeature() for name in columns}))
    table.to_parquet(tmp_path / "table/data/train-00000-of-00001.parquet")
    expected = opened(root)
    for streaming in (False, True):
        config = DataConfig(dataset=str(tmp_path / "table"), streaming=streaming, validation_split="none")
        data, _ = open_train_and_validation(config, paired=True, seed=0)
        assert (data.in_channels, data.out_channels) == (5, 2)
        assert data.values == expected.values
        if isinstance(data, PairedData):
            assert np.array_equal(data.source(1).array, scene(1)[0])  # type: ignore[union-attr]
        else:
            _, source, target = sample = next(data.samples(seed=0, rank=0, world_size=1, start=0))
            made = data.images(sample)
            assert [image.array.dtype.name for image in made] == ["uint16", "float32"]  # type: ignore[union-attr]
            assert source["source"].content in [cell["bytes"] for cell in columns["source"]]
            assert target["target"].content in [cell["bytes"] for cell in columns["target"]]


def test_a_damaged_file_among_those_looked_at_makes_no_pictures_of_the_others(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "scenes", 8)
    for name in ("0", "7"):  # first and last are always looked at
        (root / f"train/source/{name}.tif").write_bytes(b"II*\0")
    (root / "train/target/0.tif").write_bytes(b"")
    data = opened(root)
    assert (data.in_channels, data.out_channels) == (5, 2)
    lines = [*problems(data)]
    assert [line.partition(".tif")[0].rpartition("/")[2] for line in lines] == ["0", "7"]
    for file in (root / "train/source").iterdir():
        file.write_bytes(b"")
    assert opened(root).in_channels == 3, "nobody knows, and whoever reads them says what is wrong"


@pytest.mark.parametrize(("streaming", "wrong"), [(False, "damaged"), (True, "damaged"), (True, "empty")])
def test_a_row_of_a_table_that_cannot_be_read_neither(tmp_path: Path, streaming: bool, wrong: str) -> None:
    from datasets import Dataset, Features
    from datasets import Image as ImageFeature

    root = write_pairs(tmp_path / "scenes", 4)
    (tmp_path / "table/data").mkdir(parents=True)
    columns: dict[str, list[object]] = {
        side: [{"bytes": (root / f"train/{side}/{n}.tif").read_bytes(), "path": None} for n in range(4)]
        for side in ("source", "target")
    }
    if wrong == "damaged":
        columns["source"][0] = {"bytes": b"II*\0", "path": None}
    else:
        columns["target"][2] = None
    table = Dataset.from_dict(columns, features=Features({name: ImageFeature() for name in columns}))
    table.to_parquet(tmp_path / "table/data/train-00000-of-00001.parquet")
    config = DataConfig(dataset=str(tmp_path / "table"), streaming=streaming, validation_split="none")
    data, _ = open_train_and_validation(config, paired=True, seed=0)
    assert (data.in_channels, data.out_channels) == (5, 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "declared"])
def test_nan_is_never_data_and_no_value_of_missing_pixels(tmp_path: Path, value: float | str) -> None:
    if value == "declared":  # as every raster says that this package writes
        root = write_pairs(tmp_path / "scenes", 2)
        for file in (root / "train/target").iterdir():
            Raster(array=tifffile.imread(file), valid=np.ones((24, 20), bool)).save(file)
            assert tags_of(file)[NO_DATA] == "nan"
        data = opened(root)
        assert data.values[1] is not None
        assert data.values[1].no_data is None
        assert [*problems(data)] == []
    else:
        with pytest.raises(DataError, match="never data: leave --no_data out"):
            DataConfig(dataset="scenes", no_data=value)  # type: ignore[arg-type]


def test_a_half_without_data_is_named(tmp_path: Path) -> None:
    for name, holes in (("whole", slice(0)), ("bad", slice(8))):
        array = np.random.default_rng(0).random((8, 16)).astype(np.float32)
        array[:, holes] = np.nan
        write_tiff(tmp_path / f"train/{name}.tif", array)
    data = opened(tmp_path, side_by_side=True)
    assert [*problems(data)] == [f"{tmp_path}/train/bad.tif: its left half holds no data: leave it out"]
    with pytest.raises(ImageError, match=r"bad\.tif: its left half holds no data"):
        data.values  # noqa: B018


def grey_pictures(root: Path, values: np.ndarray) -> Path:
    for side in ("source", "target"):
        folder = root / "train" / side
        folder.mkdir(parents=True)
        for number in range(2):
            Image.fromarray(values).save(folder / f"{number}.png")
    return root


def test_options_of_rasters_are_not_dropped_in_silence(tmp_path: Path) -> None:
    root = grey_pictures(tmp_path / "grey", np.arange(144, dtype=np.uint8).reshape(12, 12))
    for options, message in (
        ({"no_data": 0, "out_channels": 3}, "--out_channels 3 reads that as pictures, and --no_data 0 is for rasters"),
        ({"no_data": 0, "in_channels": 3}, "--in_channels 3 reads that as pictures"),
        ({"source_range": (0, 10)}, r"--source_range is for rasters, .*: leave it out"),
        ({"target_range": (0, 10)}, r"--target_range is for rasters, .*: leave it out"),
    ):
        with pytest.raises(DataError, match=message):
            opened(root, **options)
    assert opened(root, no_data=0, source_range=(0, 10)).values[0] is not None
    for option in ({"no_data": 0}, {"target_range": (0, 10)}):
        with pytest.raises(DataError, match=r"--corrupt takes 8-bit pictures, and --\w+ is for rasters: leave one"):
            DataConfig(dataset="photos", corrupt=("box",), **option)  # type: ignore[arg-type]
    for bands, cure in ((1, ", or type --out_channels 3$"), (3, ": leave it out$")):
        write_tiff(tmp_path / f"{bands}/train/1.tif", np.full((8, 8, bands), 300, np.uint16))
        with pytest.raises(DataError, match=cure):
            opened(tmp_path / str(bands), corrupt=("box",))


# --- what is missing teaches nothing ----------------------------------------------------------------------------------


def losses(
    family: Pix2Pix | CycleGAN, batch: dict[str, torch.Tensor], *, seen: list[torch.Tensor] | None = None
) -> dict[str, float]:
    """Every term; `seen` gets what the discriminators see, the images last in the channels."""
    torch.manual_seed(0)
    networks = family.build(Architecture(width=4, discriminator_layers=1), in_channels=3, out_channels=3, image_size=16)
    for name, network in networks.items():
        if seen is not None and name.startswith("discriminator"):
            network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, -3:]))
    found = {}
    for phase in family.phases:
        outputs = Outputs(keep_graph=False, pools=family.make_pools(seed=0))
        for name, (value, _) in phase.loss(dict(networks), batch, outputs).items():
            found[f"{phase.name}/{name}"] = value.item()
    return found


@pytest.mark.parametrize("family", [Pix2Pix(generator="resnet"), CycleGAN(pool_size=0)], ids=["pix2pix", "cyclegan"])
def test_pixels_without_data_enter_no_loss(family: Pix2Pix | CycleGAN) -> None:
    """A target's missing pixels are 0 in a sample; whatever stood there instead changes nothing."""
    images = torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    valid = torch.ones(2, 1, 16, 16)
    valid[:, :, 4:9, 5:12] = 0
    batch = {"source": images[0], "target": images[1] * valid, "source_valid": torch.ones_like(valid)}
    masked = losses(family, batch | {"target_valid": valid})
    assert masked != losses(family, batch)
    if isinstance(family, Pix2Pix):
        spoilt = losses(family, batch | {"target": images[1] * valid + 5 * (1 - valid), "target_valid": valid})
        assert spoilt == masked
    everywhere = losses(family, batch | {"target_valid": torch.ones_like(valid)})
    assert everywhere == pytest.approx(losses(family, {name: batch[name] for name in ("source", "target")}), rel=1e-5)


@pytest.mark.parametrize("family", [Pix2Pix(generator="resnet"), CycleGAN(pool_size=0)], ids=["pix2pix", "cyclegan"])
def test_a_discriminator_sees_the_same_holes_in_real_and_made_images(family: Pix2Pix | CycleGAN) -> None:
    images = torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    valid = torch.ones(2, 1, 16, 16)
    valid[:, :, 4:9, 5:12] = 0
    seen: list[torch.Tensor] = []
    batch = {"source": images[0] * valid, "target": images[1] * valid, "source_valid": valid, "target_valid": valid}
    losses(family, batch, seen=seen)
    assert len(seen) >= 2
    for image in seen:
        assert (image[..., 4:9, 5:12] == 0).all()
        assert (image[..., :4, :] != 0).any()
    nothing = losses(family, {name: value * ("valid" not in name) for name, value in batch.items()})
    assert {name: value for name, value in nothing.items() if name.split("/")[1].startswith(("l1", "cycle", "id"))} == (
        {"generator/l1": 0}
        if isinstance(family, Pix2Pix)
        else {f"generator/{term}_{side}": 0 for term in ("cycle", "identity") for side in ("source", "target")}
    )


def test_the_l1_of_pix2pix_is_the_mean_over_pixels_with_data(tmp_path: Path) -> None:
    from img2img_hub.objectives.losses import l1

    output, target = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    valid = torch.zeros(1, 1, 4, 4)
    valid[..., :2] = 1
    target[..., 0] = 3
    assert l1(output, target, valid=valid).item() == pytest.approx(2)
    assert l1(output, target, valid=valid * 0).item() == 0


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_numbers_are_of_pixels_with_data_in_shares_of_the_range(tmp_path: Path) -> None:
    """A network that always says the middle: its error is known."""
    target = np.full((16, 16, 2), 75.0, np.float32)
    target[:4] = np.nan
    write_tiff(tmp_path / "train/source/1.tif", scene(0, size=(16, 16))[0] + np.uint16(1))
    write_tiff(tmp_path / "train/target/1.tif", target)
    network = UNetGenerator(in_channels=5, out_channels=2, levels=4, width=4, norm="none")
    for parameter in network.parameters():
        parameter.data.zero_()
    settings = TranslationSettings(
        source_channels=5,
        target_channels=2,
        source_values=BandValues(dtype="uint16", low=(0.0,) * 5, high=(20000.0,) * 5),
        target_values=BandValues(dtype="float32", low=(0.0, 50.0), high=(100.0, 100.0)),
    )
    data = open_data(DataConfig(dataset=str(tmp_path)), paired=True, split="train")
    numbers = evaluate_paired(Translator(network, settings), data, image_size=16)
    assert numbers["l1"] == pytest.approx((0.25 + 0.0) / 2, abs=1e-6)
    assert numbers["psnr"] == pytest.approx(-10 * np.log10(0.25**2 / 2), abs=1e-4)


def holes(side: BandValues | None, *, bands: int, to: BandValues | None = None, to_bands: int = 3) -> Translator:
    torch.manual_seed(0)
    network = ResNetGenerator(in_channels=bands, out_channels=to_bands, width=4, blocks=1)
    settings = TranslationSettings(
        source_channels=bands, target_channels=to_bands, source_values=side, target_values=to, working_size=16
    )
    return Translator(network, settings)


def test_the_source_s_missing_pixels_are_left_out_where_the_output_is_a_picture(tmp_path: Path) -> None:
    source = scene(0, size=(16, 16))[0]
    source[:8] = 0
    write_tiff(tmp_path / "train/source/1.tif", source, no_data="0")
    (tmp_path / "train/target").mkdir()
    numbers = []
    model = holes(BandValues(dtype="uint16", low=(0.0,) * 5, high=(20000.0,) * 5), bands=5)
    for value in (10, 250):  # of the target, where the source has nothing
        target = np.asarray(model(read_raster(source, no_data=0)).convert("RGB")).copy()  # type: ignore[union-attr]
        target[8:] ^= 16
        target[:8] = value
        Image.fromarray(target).save(tmp_path / "train/target/1.png")
        data = open_data(DataConfig(dataset=str(tmp_path)), paired=True, split="train")
        found = evaluate_paired(model, data, image_size=16)
        numbers.append((found["l1"], found["psnr"]))
    assert numbers[0] == pytest.approx(numbers[1])
    assert numbers[0] == pytest.approx((16 / 255, -20 * np.log10(16 / 255)), rel=0.01)


def test_a_model_s_own_value_for_missing_pixels_holds_in_an_evaluation(tmp_path: Path) -> None:
    values = BandValues(dtype="uint16", low=(1000.0,) * 5, high=(10000.0,) * 5, no_data=0)
    source = scene(0)[0]
    seen = [prepared(read_raster(source, no_data=each), holes(values, bands=5), "source", 16) for each in (None, 0)]
    for raster in seen:
        assert isinstance(raster, Raster)
        assert raster.valid is not None
    assert np.array_equal(seen[0].valid, seen[1].valid)  # type: ignore[union-attr]


def test_round_trips_of_8_bit_rasters_with_holes(tmp_path: Path) -> None:
    for name, seed in (("trainA", 0), ("trainB", 1)):
        for number in range(2):
            array = np.random.default_rng([seed, number]).integers(1, 255, (16, 16, 3)).astype(np.uint8)
            array[:5] = 0
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / name / f"{number}.png")
    data = open_data(DataConfig(dataset=str(tmp_path), no_data=0), paired=False, split="train")
    values = data.values[0]
    assert values is not None
    assert values.is_picture
    model = holes(values, bands=3, to=values)
    numbers = evaluate_unpaired(model, model, data, image_size=16)
    assert 0 < numbers["cycle_l1_source"] < 1
    sheet = draw_samples(model, data, image_size=16, reverse=model, count=2)
    assert sheet.mode == "RGB"


def test_a_reverse_model_of_other_images_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from img2img_hub.cli import main

    values = BandValues(dtype="uint16", low=(0.0,) * 3, high=(9.0,) * 3)
    for name, model in (("forth", holes(None, bands=3, to=values)), ("pictures", holes(None, bands=3))):
        model.network.save_pretrained(tmp_path / name)
        model.settings.save(tmp_path / name)
    words = ["evaluate", "--dataset", str(tmp_path), "--metrics", "unpaired", "--device", "cpu"]
    assert main([*words, "--model", str(tmp_path / "forth"), "--reverse", str(tmp_path / "pictures")]) == 2
    error = capsys.readouterr().err
    assert "pictures takes 3 bands of 8-bit pictures, where 3 bands of rasters are needed: name another" in error
    assert main([*words, "--model", str(tmp_path / "pictures"), "--reverse", str(tmp_path / "forth")]) == 2
    assert "forth makes 3 bands of rasters, where 3 bands of 8-bit pictures are needed" in capsys.readouterr().err


def test_a_model_of_other_bands_says_so(tmp_path: Path) -> None:
    translator = Translator(UNetGenerator(in_channels=5, out_channels=2, levels=4, width=4))
    four = write_tiff(tmp_path / "four.tif", scene(0)[0][:, :, :4])
    with pytest.raises(ImageError, match=r"four\.tif has 4 bands, the model takes 5: give it an image of these bands"):
        translator(four)
