"""Data sets with columns, opened by the real `datasets` library from local Parquet, saved and metadata folders."""

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from PIL import Image

from img2img_hub.data.find.sources import (
    DataConfig,
    PairedData,
    UnpairedData,
    open_train_and_validation,
    problems,
)
from img2img_hub.data.samples.transforms import EpochStream, TrainingDataset
from img2img_hub.data.stream.streaming import reading
from img2img_hub.images.formats import ImageError
from tests.opening import message, opened, opened_unpaired, sides, values
from tests.pictures import plain, side_by_side, write


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    datasets.disable_progress_bars()


def parquet(root: Path, split: str = "train", *, config: str = "data", **columns: Sequence[Any]) -> Path:
    """ROOT/data/SPLIT.parquet: lists of PIL images or bytes become image columns, ("a", "b") tuples of str labels."""
    features: dict[str, Any] = {}
    for name, column in columns.items():
        if isinstance(column, tuple):
            features[name] = ClassLabel(names=list(dict.fromkeys(column)))
        else:
            first = next(cell for cell in column if cell is not None)
            features[name] = datasets.Image() if isinstance(first, Image.Image | dict) else Value("string")
    (root / config).mkdir(parents=True, exist_ok=True)
    rows = Dataset.from_dict({name: list(cells) for name, cells in columns.items()}, features=Features(features))
    rows.to_parquet(root / config / f"{split}.parquet")
    return root


def plains(*greys: int) -> list[Image.Image]:
    return [plain(grey) for grey in greys]


COLUMN_PAIRS = [
    ("source", "target"),
    ("imageA", "imageB"),
    ("image_a", "image_b"),
    ("A", "B"),
    ("x", "y"),
    ("input", "target"),
    ("input_image", "output_image"),
    ("input_image", "edited_image"),
    ("original_image", "edited_image"),
    ("conditioning_image", "image"),
    ("image", "label"),
    ("image", "mask"),
]


@pytest.mark.parametrize("names", COLUMN_PAIRS, ids="+".join)
def test_two_columns_are_recognised_in_any_order(tmp_path: Path, names: tuple[str, str]) -> None:
    columns: dict[str, Any] = {names[1]: plains(11, 12), "prompt": ["one", "two"], names[0]: plains(1, 2)}
    parquet(tmp_path, **columns)
    assert values(opened(tmp_path)) == [(1, 11), (2, 12)]
    assert values(opened(tmp_path, direction="BtoA")) == [(11, 1), (12, 2)]
    assert sides(opened_unpaired(tmp_path)) == ([1, 2], [11, 12])


def test_what_pairs_are_called(tmp_path: Path) -> None:
    data = opened(parquet(tmp_path, source=plains(1, 2), target=plains(3, 4)))
    name = tmp_path.name
    expected = f"2 pairs: {name}, split train, column source (source) and {name}, split train, column target (target)"
    assert (data.description, data.id, data.hub_ids, data.name(1)) == (expected, name, (), "1")


def test_columns_of_other_names_must_be_named(tmp_path: Path) -> None:
    parquet(tmp_path, sketch=plains(1), photo=plains(2), text=["t"])
    told = message(lambda: opened(tmp_path))
    assert "has the columns sketch (image), photo (image), text (string)" in told
    assert "type --source_column sketch --target_column photo" in told
    assert values(opened(tmp_path, source_column="photo", target_column="sketch")) == [(2, 1)]
    assert sides(opened_unpaired(tmp_path, source_column="sketch", target_column="photo")) == ([1], [2])
    assert "type both" in message(lambda: opened(tmp_path, source_column="photo"))
    told = message(lambda: opened(tmp_path, source_column="photo", target_column="text"))
    assert "column 'text' is no image column" in told
    assert "found sketch (image), photo (image), text (string)" in told
    assert "column 'foto' does not exist" in message(
        lambda: opened(tmp_path, source_column="foto", target_column="text")
    )


def test_more_than_one_pair_of_columns_is_not_guessed_between(tmp_path: Path) -> None:
    parquet(tmp_path, image=plains(1), label=plains(2), mask=plains(3))
    told = message(lambda: opened(tmp_path))
    assert "image + label, image + mask" in told
    assert "type --source_column image --target_column label" in told


def test_side_by_side_in_a_column(tmp_path: Path) -> None:
    parquet(tmp_path, image=[side_by_side(1, 2), side_by_side(3, 4)], text=["a", "b"])
    assert values(opened(tmp_path, side_by_side=True)) == [(1, 2), (3, 4)]
    assert values(opened(tmp_path, side_by_side=True, direction="BtoA")) == [(2, 1), (4, 3)]
    told = message(lambda: opened(tmp_path))
    assert "image (image), text (string), but pairs need two image columns: type --side_by_side" in told
    parquet(tmp_path, image=[side_by_side(1, 2)], other=[side_by_side(5, 6)])
    assert "2 image columns" in message(lambda: opened(tmp_path, side_by_side=True))
    assert values(opened(tmp_path, side_by_side=True, source_column="other")) == [(5, 6)]
    parquet(tmp_path, image=[plain(1, size=(7, 6))])
    odd = opened(tmp_path, side_by_side=True)
    assert f"row 0 of {tmp_path.name}, split train, column image is 7 pixels wide" in message(lambda: odd.pair(0))


def test_a_data_set_without_images_is_refused(tmp_path: Path) -> None:
    assert "none of them holds images" in message(lambda: opened(parquet(tmp_path, text=["a"])))


def test_bytes_that_nobody_typed_as_images_are_images_too(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    plain(5).save(buffer, "PNG")
    (tmp_path / "data").mkdir()
    Dataset.from_dict({"source": [buffer.getvalue()], "target": [buffer.getvalue()]}).to_parquet(
        tmp_path / "data/train.parquet"
    )
    assert values(opened(tmp_path)) == [(5, 5)]


# Unpaired


def test_unpaired_columns_of_two_lengths(tmp_path: Path) -> None:
    parquet(tmp_path, imageA=[*plains(1, 2), None, None], imageB=[None, *plains(11, 12, 13)])
    data = opened_unpaired(tmp_path)
    assert sides(data) == ([1, 2], [11, 12, 13])
    assert "row 2 of" in data._target.where(1)


def test_two_splits(tmp_path: Path) -> None:
    splits = {
        split: Dataset.from_dict({"image": plains(grey)}, features=Features({"image": datasets.Image()}))
        for split, grey in (("trainA", 1), ("trainB", 2), ("testA", 3), ("testB", 4))
    }
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    assert sides(opened_unpaired(tmp_path / "saved")) == ([1], [2])
    assert sides(opened_unpaired(tmp_path / "saved", direction="BtoA")) == ([2], [1])
    two = opened_unpaired(tmp_path / "saved", source_split="trainB", target_split="trainA")
    assert (sides(two), two.split) == (([2], [1]), "trainB and trainA")
    told = message(lambda: opened_unpaired(tmp_path / "saved", source_split="trainB", target_split="trainC"))
    assert "no split 'trainC': found trainA, trainB, testA, testB" in told
    train, held_out = open_train_and_validation(DataConfig(dataset=str(tmp_path / "saved")), paired=False, seed=0)
    assert isinstance(held_out, UnpairedData)
    assert (len(train), sides(held_out), held_out.split) == (1, ([3], [4]), "test")


def test_two_labels(tmp_path: Path) -> None:
    parquet(tmp_path, image=plains(1, 2, 3, 4), animal=("horse", "zebra", "horse", "mule"), text=["a", "b", "a", "c"])
    data = opened_unpaired(tmp_path, source_label="horse", target_label="zebra")
    assert sides(data) == ([1, 3], [2])
    assert data._source.where(1) == f"row 2 of {tmp_path.name}, split train, column image, animal horse"
    by_text = {"label_column": "text", "source_label": "c", "target_label": "a"}
    assert sides(opened_unpaired(tmp_path, **by_text)) == ([4], [1, 3])
    told = message(lambda: opened_unpaired(tmp_path))
    assert "--source_label and --target_label with two of animal's labels (horse, zebra, mule)" in told
    assert "--target_dataset" in told
    told = message(lambda: opened_unpaired(tmp_path, source_label="horse", target_label="cow"))
    assert "no row" in told
    assert "label 'cow' in column 'animal': found horse, mule, zebra" in told
    told = message(lambda: opened_unpaired(tmp_path, label_column="kind", source_label="a", target_label="b"))
    assert "no column 'kind': found image, animal, text" in told


def test_labels_in_a_data_set_without_a_label_column(tmp_path: Path) -> None:
    parquet(tmp_path, image=plains(1), text=["a"])
    told = message(lambda: opened_unpaired(tmp_path, source_label="a", target_label="b"))
    assert "found image (image), text (string). Type --label_column NAME" in told


def test_folders_that_became_labels_of_one_split(tmp_path: Path) -> None:
    labels = ("trainA", "trainB", "trainA", "testA", "testB")
    parquet(tmp_path, image=plains(1, 2, 3, 4, 5), label=labels)
    assert sides(opened_unpaired(tmp_path)) == ([1, 3], [2])
    assert sides(opened_unpaired(tmp_path, split="test")) == ([4], [5])
    train, held_out = open_train_and_validation(DataConfig(dataset=str(tmp_path)), paired=False, seed=0)
    assert isinstance(train, UnpairedData)
    assert isinstance(held_out, UnpairedData)
    assert (sides(train), sides(held_out), held_out.split) == (([1, 3], [2]), ([4], [5]), "test")


def test_two_data_sets_and_a_folder_beside_a_table(tmp_path: Path) -> None:
    photos = parquet(tmp_path / "photos", image=plains(1, 2))
    paintings = parquet(tmp_path / "paintings", picture=plains(11))
    drawings = write(tmp_path / "drawings", "train", [21])
    assert sides(opened_unpaired(photos, target_dataset=str(paintings))) == ([1, 2], [11])
    assert sides(opened_unpaired(photos, target_dataset=str(drawings))) == ([1, 2], [21])
    assert sides(opened_unpaired(drawings, target_dataset=str(photos))) == ([21], [1, 2])
    both = parquet(tmp_path / "both", left=plains(5), right=plains(6))
    told = message(lambda: opened_unpaired(photos, target_dataset=str(both)))
    assert "2 image columns (left (image), right (image)): type --target_column" in told
    assert sides(opened_unpaired(photos, target_dataset=str(both), target_column="right")) == ([1, 2], [6])


# Folders that `datasets` opens


@pytest.mark.parametrize("where", [".", "train"])
def test_a_folder_with_metadata_csv(tmp_path: Path, where: str) -> None:
    root = write(write(tmp_path, f"{where}/in", [1, 2]), f"{where}/out", [11, 12])
    rows = "input_file_name,target_file_name\nin/1.png,out/1.png\nin/2.png,out/2.png\n"
    (root / where / "metadata.csv").write_text(rows)
    assert values(opened(root)) == [(1, 11), (2, 12)]
    assert values(opened(root, direction="BtoA")) == [(11, 1), (12, 2)]


def test_a_saved_data_set(tmp_path: Path) -> None:
    rows = Dataset.from_parquet(str(parquet(tmp_path, source=plains(1), target=plains(2)) / "data/train.parquet"))
    rows.save_to_disk(tmp_path / "saved")
    assert values(opened(tmp_path / "saved")) == [(1, 2)]


def test_configurations(tmp_path: Path) -> None:
    parquet(tmp_path, config="small", source=plains(1), target=plains(2))
    parquet(tmp_path, config="large", source=plains(3), target=plains(4))
    kinds = "".join(f"- config_name: {name}\n  data_dir: {name}\n" for name in ("small", "large"))
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{kinds}---\n")
    assert values(opened(tmp_path, dataset_config="large")) == [(3, 4)]
    told = message(lambda: opened(tmp_path))
    assert "small" in told
    assert "large" in told
    assert "--dataset_config" in told
    assert "medium" in message(lambda: opened(tmp_path, dataset_config="medium"))
    assert "leave out --dataset_revision" in message(lambda: opened(tmp_path, dataset_revision="main"))


def test_a_name_that_is_neither_folder_nor_data_set(tmp_path: Path) -> None:
    told = message(lambda: opened(Path("nobody/nothing-of-the-kind")))
    assert told.startswith("'nobody/nothing-of-the-kind' cannot be opened as a data set (")
    assert "type a folder that exists here or the id of a Hub data set (user/name)" in told


def test_signatures_in_addresses_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://cdn.example/lfs/0123" + "4" * 200
    text = f"Client error '403 Forbidden' for url '{address}?X-Amz-Signature=secret&X-Amz-Expires=60' (Request 7)"

    def refused(*_: object, **__: object) -> Any:
        raise OSError(text)

    monkeypatch.setattr(datasets, "load_dataset", refused)
    for call in (lambda: list(reading(map(refused, [0]), title="alice/pairs")), lambda: opened(Path("alice/pairs"))):
        told = message(call)
        assert f"(Client error '403 Forbidden' for url '{address}' (Request 7))" in told
        assert "X-Amz" not in told


# Splits


def test_splits_and_validation(tmp_path: Path) -> None:
    def open_both(**options: Any) -> tuple[PairedData, PairedData | None]:
        train, held_out = open_train_and_validation(
            DataConfig(dataset=str(tmp_path), **options), paired=True, seed=0, in_channels=1
        )
        assert isinstance(train, PairedData)
        assert held_out is None or isinstance(held_out, PairedData)
        return train, held_out

    parquet(tmp_path, source=plains(*range(10)), target=plains(*range(100, 110)))
    train, held_out = open_both(validation_fraction=0.2)
    assert held_out is not None
    assert (len(train), len(held_out), held_out.split) == (8, 2, "train (held-out part)")
    assert sorted(values(train) + values(held_out)) == [(value, 100 + value) for value in range(10)]
    assert train.source(0).mode == "L"
    assert values(open_both(validation_fraction=0.2)[1]) == values(held_out)  # type: ignore[arg-type]
    parquet(tmp_path, "test", source=plains(50), target=plains(60))
    train, held_out = open_both()
    assert held_out is not None
    assert (len(train), held_out.split, values(held_out)) == (10, "test", [(50, 60)])
    assert open_both(validation_split="none")[1] is None
    assert len(open_both(max_samples=3)[0]) == 3
    told = message(lambda: opened(tmp_path, split="dev"))
    assert "no split 'dev': found train, test" in told
    assert "no split 'dev'" in message(lambda: open_both(validation_split="dev"))


# What is broken in a row


def test_a_row_without_a_partner_is_named_at_once(tmp_path: Path) -> None:
    parquet(tmp_path, source=plains(1, 2, 3), target=[plain(1), None, plain(3)])
    told = message(lambda: opened(tmp_path))
    assert "column source has 1 rows (1) where" in told
    assert "column target is empty: fill or delete these rows" in told


def test_bad_rows_are_named_when_read(tmp_path: Path) -> None:
    broken = {"bytes": b"no image", "path": None}
    parquet(tmp_path, source=plains(1, 2, 3), target=[plain(1), plain(2, size=(9, 9)), broken])
    data = opened(tmp_path)
    assert data.pair(0)
    where = f"{tmp_path.name}, split train, column"
    assert f"row 1 of {where} source is 8x6, row 1 of {where} target is 9x9" in message(lambda: data.pair(1))
    with pytest.raises(ImageError, match=f"^row 2 of {where} target is not an image"):
        data.pair(2)
    assert len(list(problems(data))) == 2


def test_camera_images_come_out_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    buffer = io.BytesIO()
    plain(40, size=(6, 8)).save(buffer, "PNG", exif=exif)
    parquet(tmp_path, source=[{"bytes": buffer.getvalue(), "path": None}], target=plains(7))
    assert opened(tmp_path).pair(0)[0].size == (8, 6)


def test_training_from_a_table_in_worker_processes(tmp_path: Path) -> None:
    data = opened(parquet(tmp_path, source=plains(0, 51, 255), target=plains(255, 51, 0)))
    samples = pickle.loads(pickle.dumps(TrainingDataset(data, image_size=4, load_size=5, flip=True, seed=0)))
    order = EpochStream(3, batch_size=3, rank=0, world_size=1, seed=0, num_steps=2)
    for batch in torch.utils.data.DataLoader(samples, batch_sampler=order, num_workers=1):
        assert batch["source"].shape == (3, 3, 4, 4)
        assert sorted(batch["source"].mean((1, 2, 3)).tolist()) == pytest.approx([-1, -0.6, 1])
