"""The data that people have: each form as a local folder and on the Hub, and what is said of what is not clear."""

import csv
import io
import json
import os
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2img_hub.data.find.config import DataConfig, DataError
from img2img_hub.data.find.identity import folders_read
from img2img_hub.data.find.partners import Pattern, two_in_one
from img2img_hub.data.find.sources import open_data, open_train_and_validation
from img2img_hub.images import formats
from img2img_hub.images.formats import ImageError
from img2img_hub.images.slots import Slot
from tests.hub.client import ROOT, run_client
from tests.opening import message, opened, opened_unpaired, sides, values
from tests.pictures import plain
from tests.test_data_hub import parquet

PAIRS = [(1, 101), (2, 102), (3, 103)]


def put(path: Path, value: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    plain(value).save(path)
    return path


def both(root: Path, first: str, second: str) -> Path:
    """A file of each side for each pair, {} for its number."""
    for number, partner in PAIRS:
        put(root / first.format(number), number)
        put(root / second.format(number), partner)
    return root


def listed(root: Path, name: str, *, delimiter: str = ",") -> Path:
    both(root, "maps/m{}.png", "photos/p{}.png")
    rows = [{"target": f"photos/p{n}.png", "note": "x", "source": f"maps/m{n}.png", "split": "train"} for n, _ in PAIRS]
    with (root / name).open("w", encoding="utf-8", newline="") as file:
        if name.endswith(".jsonl"):
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    return root


def packed(root: Path, name: str, *, first: str = "train/A/{}.png", second: str = "train/B/{}.png") -> Path:
    inside = both(root / "inside", first, second)
    files = sorted(path for path in inside.rglob("*") if path.is_file())
    if name.endswith(".zip"):
        with zipfile.ZipFile(root / name, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(inside).as_posix())
    else:
        with tarfile.open(root / name, "w:gz" if name.endswith("gz") else "w") as archive:
            for file in files:
                archive.add(file, file.relative_to(inside).as_posix())
    for file in files:
        file.unlink()
    for folder in sorted((path for path in inside.rglob("*")), reverse=True):
        folder.rmdir()
    inside.rmdir()
    return root


def case_and_unicode(root: Path) -> Path:
    names = ["Röm", "Ärger", "ÉTÉ"]
    for (number, partner), name in zip(PAIRS, sorted(names), strict=True):
        put(root / "train/A" / f"{unicodedata.normalize('NFC', name)}.png", number)
        put(root / "train/B" / f"{unicodedata.normalize('NFD', name).upper()}.PNG", partner)
    return root


FORMS: dict[str, tuple[Callable[[Path], object], dict[str, object]]] = {
    "two folders": (lambda root: both(root, "train/A/{}.png", "train/B/{}.bmp"), {}),
    "a word before, in two folders": (lambda root: both(root, "train/A/label_00{}.png", "train/B/photo_00{}.png"), {}),
    "a word behind, in two folders": (lambda root: both(root, "train/A/00{}_A.png", "train/B/00{}_B.png"), {}),
    "in folders of folders": (lambda root: both(root, "train/A/x/l{}.png", "train/B/x/p{}.png"), {}),
    "a word behind, in one folder": (lambda root: both(root, "train/00{}_A.png", "train/00{}_B.png"), {}),
    "a letter behind, in one folder": (lambda root: both(root, "{}A.png", "{}B.png"), {}),
    "a word before, in one folder": (lambda root: both(root, "train/input_{}.png", "train/target_{}.png"), {}),
    "by endings": (lambda root: both(root, "train/{}.png", "train/{}.bmp"), {"pair_pattern": ("*.png", "*.bmp")}),
    "by a pattern": (lambda root: both(root, "q{}z.png", "photo-{}.png"), {"pair_pattern": ("q*z", "photo-*")}),
    "case and Unicode": (case_and_unicode, {}),
    "clips": (lambda root: both(root, "train/clip_{}/A/0.png", "train/clip_{}/B/0.png"), {}),
    "CSV": (lambda root: listed(root, "pairs.csv"), {}),
    "CSV with semicolons": (lambda root: listed(root, "pairs.csv", delimiter=";"), {}),
    "TSV": (lambda root: listed(root, "pairs.tsv", delimiter="\t"), {}),
    "JSONL": (lambda root: listed(root, "pairs.jsonl"), {}),
    "zip": (lambda root: packed(root, "pairs.zip"), {}),
    "zip with a folder around it": (lambda root: packed(root, "p.zip", first="p/A/{}.png", second="p/B/{}.png"), {}),
    "a zip for the split": (lambda root: packed(root, "train.zip", first="A/{}.png", second="B/{}.png"), {}),
    "tar": (lambda root: packed(root, "pairs.tar"), {}),
    "tar.gz": (lambda root: packed(root, "pairs.tar.gz"), {}),
    "WebDataset": (
        lambda root: packed(root, "pairs-train-000.tar", first="{}.source.png", second="{}.target.png"),
        {},
    ),
    ".gif": (lambda root: both(root, "train/A/{}.gif", "train/B/{}.gif"), {}),
    ".jp2": (lambda root: both(root, "train/A/{}.jp2", "train/B/{}.jp2"), {}),
    ".avif": (lambda root: both(root, "train/A/{}.avif", "train/B/{}.avif"), {}),
    ".tga and .pgm": (lambda root: both(root, "train/A/{}.tga", "train/B/{}.ppm"), {}),
}
each_form = pytest.mark.parametrize("form", FORMS)


def near(found: list[tuple[int, int]]) -> bool:
    """Of what lossy formats keep."""
    return len(found) == 3 and all(
        abs(a - b) <= 2 for got, asked in zip(found, PAIRS, strict=True) for a, b in zip(got, asked, strict=True)
    )


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@each_form
def test_pairs_are_found_in_a_folder(form: str, tmp_path: Path) -> None:
    build, flags = FORMS[form]
    build(tmp_path)
    assert near(values(opened(tmp_path, **flags)))
    turned = values(opened(tmp_path, **flags, direction="BtoA")) if not flags else [pair[::-1] for pair in PAIRS]
    assert near([pair[::-1] for pair in turned])


OPEN_ALL = """
import json, sys
from img2img_hub.data.find.sources import DataConfig, open_data
from tests.opening import values
for repo, flags in json.loads(sys.argv[1]).items():
    try:
        data = open_data(DataConfig(dataset=repo, **flags), paired=True, split="train")
        print(json.dumps([repo, values(data), data.hub_ids, data.id]))
    except ValueError as error:
        print(json.dumps([repo, str(error)]))
"""

UPLOAD = """
import sys
from huggingface_hub import HfApi
for repo, folder in zip(sys.argv[1::2], sys.argv[2::2]):
    HfApi().create_repo(repo, repo_type="dataset", private=True)
    HfApi().upload_folder(repo_id=repo, folder_path=folder, repo_type="dataset")
"""


def test_pairs_are_found_in_the_same_folder_on_the_hub(alice: dict[str, str], tmp_path: Path) -> None:
    """Uploaded as it is, and private."""
    wanted, words = {}, []
    for number, (build, flags) in enumerate(FORMS.values()):
        folder = tmp_path / f"form-{number}"
        folder.mkdir()
        build(folder)
        wanted[f"alice/form-{number}"] = flags
        words += [f"alice/form-{number}", str(folder)]
    run_client(["-c", UPLOAD, *words], alice, cwd=tmp_path)
    done = run_client(["-c", OPEN_ALL, json.dumps(wanted)], alice, cwd=tmp_path)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(lines) == len(FORMS)
    for form, (repo, *found) in zip(FORMS, lines, strict=True):
        assert len(found) == 3, (form, found)
        assert near(found[0]), (form, found)
        assert found[1:] == [[repo], repo], form


SCRIPT_AND_MISTAKES = """
import time
from img2img_hub.data.find.sources import DataConfig, open_data
wanted = {"alice/script": {}, "alice/nothing": {}, "facadess": {}, "alice/form": {"dataset_revision": "v9"}}
for name, flags in wanted.items():
    began = time.monotonic()
    try:
        open_data(DataConfig(dataset=name, **flags), paired=True, split="train")
        print("opened")
    except ValueError as error:
        print(f"{time.monotonic() - began < 8} {error}")
"""


def test_what_the_hub_does_not_have_is_answered_at_once(alice, hub_server, tmp_path: Path) -> None:
    (tmp_path / "script").mkdir()
    (tmp_path / "script/script.py").write_text("import datasets\n")
    both(tmp_path / "form", "A/{}.png", "B/{}.png")
    words = ["alice/script", str(tmp_path / "script"), "alice/form", str(tmp_path / "form")]
    run_client(["-c", UPLOAD, *words], alice, cwd=tmp_path)
    said = run_client(["-c", SCRIPT_AND_MISTAKES], alice, cwd=tmp_path).stdout.splitlines()
    expected = [
        "True alice/script is loaded by a script of its own, and none is run here: type --dataset_revision refs/",
        "True there is no data set alice/nothing on the Hub that you may see: check the spelling (user/name)",
        "True there is no data set facadess on the Hub that you may see nor a folder facadess here: check the spelling",
        "True the Hub's data set alice/form has no revision v9: type --dataset_revision with another",
    ]
    assert [line[: len(start)] for line, start in zip(said, expected, strict=True)] == expected
    hub_server.stop()
    dead = run_client(["-c", SCRIPT_AND_MISTAKES], alice, cwd=tmp_path).stdout.splitlines()
    assert all(line.startswith("True the Hub does not answer (") for line in dead)
    assert all("check the connection, or type a folder that is here" in line for line in dead)


def test_how_partners_were_found_is_said(tmp_path: Path) -> None:
    both(tmp_path, "train/A/label_00{}.png", "train/B/photo_00{}.png")
    data = opened(tmp_path)
    assert data.description.endswith("; partners found by label_* and photo_*")
    assert data.name(0) == "label_001"


# --- what is not clear, and what is not there -------------------------------------------------------------------------


def test_what_is_not_clear_is_asked(tmp_path: Path) -> None:
    both(tmp_path / "endings", "train/{}.png", "train/{}.bmp")
    told = message(lambda: opened(tmp_path / "endings"))
    assert "holds pairs by *.bmp and *.png, and which are the sources is not clear: type --pair_pattern" in told
    assert "'*.bmp' '*.png'" in told
    both(tmp_path / "words", "train/{}_day.png", "train/{}_night.png")
    assert "'*_day' '*_night'" in message(lambda: opened(tmp_path / "words"))
    assert values(opened(tmp_path / "words", pair_pattern=("*_day", "*_night"))) == PAIRS
    put(tmp_path / "one/train/1.png", 1)
    assert "--pair_pattern with two names if they lie beside each other" in message(lambda: opened(tmp_path / "one"))


def test_names_that_are_no_words_are_never_taken_for_pairs(tmp_path: Path) -> None:
    assert two_in_one(["1.png", "2.png"]) is None
    assert two_in_one(["cat.png", "dog.png"]) is None
    assert two_in_one(["1_A.png", "1_B.png", "2_A.png"]) is None
    assert two_in_one(["1_A.png", "1_B.png", "1_C.png"]) is None
    assert two_in_one(["1_A.png", "1_B.png", "2_A.png", "2_B.png"]) == (("*_A", "*_B"), True)
    assert two_in_one(["b_1.png", "a_1.png"]) == (("a_*", "b_*"), True)
    for number in range(4):
        put(tmp_path / f"train/A/{number}.png", number)
        put(tmp_path / f"train/B/{number + 10}.png", number)
    assert "these look unpaired: train cyclegan" in message(lambda: opened(tmp_path))
    assert sides(opened_unpaired(tmp_path)) == ([0, 1, 2, 3], [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("patterns", "answer"),
    [
        (("*_A",), "type two, the sources' first"),
        (("*_A", "B"), "--pair_pattern B: a pattern is a file name with one * for what partners share"),
        (("*_A*", "*_B"), "a pattern is a file name with one *"),
        (("x/*", "*_B"), "a pattern is a file name with one *"),
        (("*_X", "*_B"), "images without a partner"),
    ],
)
def test_a_pattern_that_says_nothing_is_refused(patterns: tuple[str, ...], answer: str, tmp_path: Path) -> None:
    both(tmp_path, "train/A/{}_A.png", "train/B/{}_B.png")
    assert answer in message(lambda: opened(tmp_path, pair_pattern=patterns))


def test_patterns() -> None:
    assert Pattern("label_*").key("a/label_1.png") == "a/1"
    assert Pattern("*.png").key("1.png") == "1"
    assert Pattern("*.png").key("1.jpg") is None
    assert Pattern("*_A.png").key("x_A.png") == "x"
    assert Pattern("a*a").key("a.png") is None
    assert Pattern("*").key("1.2.png") == "1.2"


def test_what_has_no_partner_is_left_out_on_request(tmp_path: Path) -> None:
    both(tmp_path, "train/A/l_{}.png", "train/B/p_{}.png")
    put(tmp_path / "train/A/l_9.png", 9)
    put(tmp_path / "train/B/p_8.png", 8)
    told = message(lambda: opened(tmp_path))
    assert "1 in" in told
    assert "or leave them out by --drop_unmatched" in told
    data = opened(tmp_path, drop_unmatched=True)
    assert values(data) == PAIRS
    assert "; 2 images without a partner left out (l_9.png, p_8.png)" in data.description
    both(tmp_path / "one", "{}_A.png", "{}_B.png")
    put(tmp_path / "one/7_A.png", 7)
    assert "7_A.png" in message(lambda: opened(tmp_path / "one", pair_pattern=("*_A", "*_B")))
    left = opened(tmp_path / "one", pair_pattern=("*_A", "*_B"), drop_unmatched=True)
    assert values(left) == PAIRS
    assert "1 image without a partner left out (7_A.png)" in left.description
    put(tmp_path / "none/train/A/1.png", 1)
    put(tmp_path / "none/train/B/x.png", 1)
    assert "without a partner" in message(lambda: opened(tmp_path / "none", drop_unmatched=True))


def test_a_list_says_which_line_is_wrong(tmp_path: Path) -> None:
    listed(tmp_path, "pairs.csv")
    text = (tmp_path / "pairs.csv").read_text()
    (tmp_path / "pairs.csv").write_text(text + "photos/gone.png,x,maps/m1.png,train\n,x,maps/m2.png,train\n")
    told = message(lambda: opened(tmp_path / "pairs.csv"))
    assert "line 5 names photos/gone.png, which is not there, line 6 names nothing in column target" in told
    data = opened(tmp_path / "pairs.csv", drop_unmatched=True)
    assert values(data) == PAIRS
    assert "2 rows without an image left out (line 5, line 6)" in data.description
    assert "no column foto" in message(lambda: opened(tmp_path / "pairs.csv", source_column="foto", target_column="x"))
    assert "has no rows of the split 'val': found train" in message(lambda: opened(tmp_path / "pairs.csv", split="val"))


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("", "has no rows"),
        ("source,target\n", "has no rows"),
        ("a,b\n1,2\n", "none names images"),
        ("\xff\xfe", "cannot be read"),
        ('{"a": 1}\n[', "cannot be read"),
        ("[1]\n", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_list_that_is_none_is_refused(content: str, answer: str, tmp_path: Path) -> None:
    name = "pairs.jsonl" if content[:1] in ("{", "[") else "pairs.csv"
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    assert answer in message(lambda: opened(tmp_path / name))


def test_a_list_from_elsewhere_names_nothing_outside_its_folder(tmp_path: Path) -> None:
    from img2img_hub.data.find.lists import ListSet

    put(tmp_path / "secret.png", 5)
    put(tmp_path / "data/1.png", 1)
    (tmp_path / "data/pairs.csv").write_text(f"source,target\n../secret.png,1.png\n{tmp_path / 'secret.png'},1.png\n")
    assert values(opened(tmp_path / "data/pairs.csv")) == [(5, 1), (5, 1)]
    foreign = ListSet({tmp_path / "data/pairs.csv": ""}, train_split="train", inside=True)
    with pytest.raises(DataError, match="2 rows without an image"):
        foreign.two("train", config=DataConfig(dataset="x"), paired=True)


def test_a_list_in_an_archive_names_nothing_outside_of_it(tmp_path: Path) -> None:
    secret = put(tmp_path / "secret.png", 5)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.png", picture_bytes())
        archive.writestr("pairs.csv", f"source,target\n{secret},1.png\n../../../../../..{secret},1.png\n")
    assert "2 rows without an image" in message(lambda: opened(tmp_path / "a.zip"))


def test_lists_of_splits_are_told_apart_and_others_never_mixed(tmp_path: Path) -> None:
    for split, value in (("train", 1), ("test", 50), ("val", 90)):
        put(tmp_path / f"{split}_a.png", value)
        put(tmp_path / f"{split}_b.png", value + 1)
        (tmp_path / f"{split}.csv").write_text(f"source,target\n{split}_a.png,{split}_b.png\n")
    assert values(opened(tmp_path)) == [(1, 2)]
    assert values(opened(tmp_path, split="test")) == [(50, 51)]
    train, validation = open_train_and_validation(DataConfig(dataset=str(tmp_path)), paired=True, seed=1)
    assert validation is not None
    assert (len(train), validation.split) == (1, "val")
    (tmp_path / "pairs_old.csv").write_text("source,target\ntrain_a.png,test_b.png\n")
    told = message(lambda: opened(tmp_path))
    assert "has several lists of images (pairs_old.csv, test.csv, train.csv, val.csv): type --dataset" in told
    assert values(opened(tmp_path / "pairs_old.csv")) == [(1, 51)]


def test_no_row_of_a_list_is_left_out_in_silence(tmp_path: Path) -> None:
    put(tmp_path / "1.png", 1)
    (tmp_path / "one.csv").write_text("image\n1.png\n2.png\n\n3.png\n")
    for flags in ({"corrupt": ("box",)}, {"side_by_side": True}):
        told = message(lambda flags=flags: opened(tmp_path / "one.csv", **flags))  # type: ignore[misc]
        assert "2 rows without an image (line 3 names 2.png, which is not there, line 5 names 3.png" in told
    left = opened(tmp_path / "one.csv", corrupt=("box",), drop_unmatched=True)
    assert "2 rows without an image left out (line 3, line 5)" in left.description
    (tmp_path / "two.csv").write_text("A,B\n1.png,\n,1.png\ngone.png,1.png\n")
    assert "1 row without an image (line 4 names gone.png" in message(lambda: opened_unpaired(tmp_path / "two.csv"))
    (tmp_path / "three.csv").write_text("1.png,1.png\n1.png,1.png\n")
    assert "begins with an image, 1.png: write the names of the columns" in message(
        lambda: opened(tmp_path / "three.csv")
    )
    put(tmp_path / "~x.png", 2)
    (tmp_path / "four.csv").write_text(f"source,target\n~x.png,{tmp_path / '1.png'}\n")
    assert values(opened(tmp_path / "four.csv")) == [(2, 1)]


def test_a_run_may_lie_beside_the_images_that_a_list_names(tmp_path: Path) -> None:
    put(tmp_path / "1.png", 1)
    (tmp_path / "pairs.csv").write_text("source,target\n1.png,1.png\n")
    config = DataConfig(dataset=str(tmp_path / "pairs.csv"))
    assert folders_read(config, opened(tmp_path / "pairs.csv")) == []


# --- what is read beside the pairs ------------------------------------------------------------------------------------

WEIGHED = (Slot(name="source"), Slot(name="target"), Slot(name="weights", kind="mask", bands=1, training_only=True))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("form", ["folders", "list", "table"])
def test_what_is_read_beside_the_pairs_follows_those_that_are_left(form: str, several: bool, tmp_path: Path) -> None:
    sources = ("rgb", "depth") if several else ("source",)
    columns: dict[str, list[Image.Image | None]] = {
        **{name: [plain(number) for number in range(4)] for name in sources},
        "target": [None if number == 1 else plain(100 + number) for number in range(4)],
        "weights": [plain(255 * (number % 2)) for number in range(4)],
    }
    where = tmp_path / "data"
    if form == "table":
        parquet(where, **columns)
    else:
        for name, images in columns.items():
            for number, image in enumerate(images):
                path = where / f"{name}/{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                if image is not None:
                    image.save(path)
    if form == "list":
        rows = [",".join(f"data/{name}/{number}.png" for name in columns) for number in range(4)]
        where = tmp_path / "pairs.csv"
        where.write_text("\n".join([",".join(columns), *rows]))
    config = DataConfig(dataset=str(where), drop_unmatched=True, source_column=sources, target_column="target")
    data = open_data(config, paired=True, split="train", slots=WEIGHED)
    side = data.sides["weights"]
    read = [side.images.read(int(row), channels=1, kind=side.kind) for row in side.rows]
    assert [int(np.asarray(image.array if hasattr(image, "array") else image).max() > 0) for image in read] == [0, 0, 1]
    assert len(data) == 3


# --- clips and other layouts ------------------------------------------------------------------------------------------


def test_no_clip_is_left_out_in_silence(tmp_path: Path) -> None:
    both(tmp_path, "train/clip_{}/A/0.png", "train/clip_{}/B/0.png")
    put(tmp_path / "train/clip_9/A/0.png", 9)
    assert "has clips with A and B in them, and clip_9 without" in message(lambda: opened(tmp_path))
    left = opened(tmp_path, drop_unmatched=True)
    assert values(left) == PAIRS
    assert "1 folder without A and B left out (clip_9)" in left.description


def test_two_clips_called_a_and_b_are_no_sources_and_targets(tmp_path: Path) -> None:
    for clip in "AB":
        put(tmp_path / f"train/{clip}/source/1.png", 1)
        put(tmp_path / f"train/{clip}/target/1.png", 2)
    assert "may be sources and targets, or two clips with source and target in each" in message(
        lambda: opened(tmp_path)
    )
    assert values(opened(tmp_path, source_column="source", target_column="target")) == [(1, 2), (1, 2)]
    assert len(values(opened(tmp_path, source_column="A", target_column="B"))) == 2


def test_another_splits_folder_is_no_part_of_the_one_around_it(tmp_path: Path) -> None:
    both(tmp_path, "{}_A.png", "{}_B.png")
    put(tmp_path / "val/9_A.png", 9)
    put(tmp_path / "val/9_B.png", 109)
    assert values(opened(tmp_path)) == PAIRS
    assert values(opened(tmp_path, split="val")) == [(9, 109)]


def test_patterns_know_no_case(tmp_path: Path) -> None:
    for number, partner in PAIRS:
        put(tmp_path / f"{number}.PNG", number)
        put(tmp_path / f"{number}.bmp", partner)
    told = message(lambda: opened(tmp_path))
    assert "--pair_pattern '*.bmp' '*.png'" in told
    assert values(opened(tmp_path, pair_pattern=("*.png", "*.bmp"))) == PAIRS
    assert "drop --direction and exchange" in message(
        lambda: opened(tmp_path, pair_pattern=("*.png", "*.bmp"), direction="BtoA")
    )
    assert "is for pairs" in message(lambda: opened_unpaired(tmp_path, pair_pattern=("*.png", "*.bmp")))
    assert Pattern("*g").key("1p.png") is None


# --- archives of ill will ---------------------------------------------------------------------------------------------


def picture_bytes(value: int = 1) -> bytes:
    buffer = io.BytesIO()
    plain(value).save(buffer, "PNG")
    return buffer.getvalue()


def test_what_is_in_an_archive_stays_in_its_folder(tmp_path: Path) -> None:
    for name, value in (("../../out.png", 1), ("/abs/A/1.png", 2), ("..\\back.png", 3), ("C:\\x\\c.png", 4)):
        with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
            archive.writestr(name, picture_bytes(value))
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        for name, kind in (
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("../../../tar.png")
        info.size = len(picture_bytes())
        archive.addfile(info, io.BytesIO(picture_bytes()))
    before = set(tmp_path.rglob("*"))
    from img2img_hub.data.find.archives import unpacked

    found = [unpacked([tmp_path / name], root=tmp_path) for name in ("a.zip", "b.tar")]
    assert set(tmp_path.rglob("*")) == before
    files = [sorted(path.name for path in folder.rglob("*.png")) for folder in found]
    assert files == [["1.png", "back.png", "c.png", "out.png"], ["tar.png"]]
    assert not any(path.is_symlink() for folder in found for path in folder.rglob("*"))


def test_an_archive_that_cannot_be_used_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 nothing")
    (tmp_path / "b.tar.gz").write_bytes(b"\x1f\x8b nothing")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("notes.txt", "none")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("x/1.png", picture_bytes())
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x/1.png", picture_bytes(2))
    torn = packed(tmp_path / "torn", "e.tar") / "e.tar"
    torn.write_bytes(torn.read_bytes()[:1500])
    answers = {
        "a.zip": "cannot be read",
        "b.tar.gz": "cannot be read",
        "c.zip": "holds no images",
        "d.zip": "is there twice",
    }
    for name, answer in answers.items():
        told = message(lambda name=name: opened(tmp_path / name))  # type: ignore[misc]
        assert answer in told
        assert name in told
        assert "Traceback" not in told
    assert "e.tar" in message(lambda: opened(torn))


def test_a_damaged_byte_in_an_archive_is_told_in_one_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.png", picture_bytes() + bytes(range(256)) * 40)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for place in range(60, 120):
        content[place] = 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    assert "a.zip cannot be read" in message(lambda: opened(tmp_path / "a.zip"))


def test_names_and_places_in_archives_are_kept(tmp_path: Path) -> None:
    for number, partner in PAIRS:
        for side, value in (("A", number), ("B", partner)):
            with zipfile.ZipFile(tmp_path / f"train{side}.zip", "a") as archive:
                archive.writestr(f"12:30/{number}.png", picture_bytes(value))
    data = opened(tmp_path)
    assert values(data) == PAIRS
    assert data.name(0) == "12:30/1"
    assert sides(opened_unpaired(tmp_path)) == ([1, 2, 3], [101, 102, 103])


def test_shards_of_every_word_for_a_split_are_of_that_split(tmp_path: Path) -> None:
    for word, value in (("train", 1), ("dev", 7)):
        for side, more in (("source", 0), ("target", 100)):
            with tarfile.open(tmp_path / f"pairs-{word}-{more}.tar", "w") as archive:
                info = tarfile.TarInfo(f"1.{side}.png")
                info.size = len(picture_bytes(value + more))
                archive.addfile(info, io.BytesIO(picture_bytes(value + more)))
    assert values(opened(tmp_path)) == [(1, 101)]
    assert values(opened(tmp_path, split="dev")) == [(7, 107)]


def test_processes_that_unpack_the_same_do_not_disturb_each_other(tmp_path: Path) -> None:
    packed(tmp_path, "pairs.zip")
    code = (
        "from img2img_hub.data.find.sources import DataConfig, open_data; from tests.opening import values; "
        "print(values(open_data(DataConfig(dataset='pairs.zip'), paired=True, split='train')))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=120)[0].strip() for process in started] == [str(PAIRS)] * 3
    (cache,) = Path(os.environ["XDG_CACHE_HOME"]).rglob("unpacked")
    assert not list(cache.glob("*.part"))


def test_what_is_unpacked_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from img2img_hub.data.find import archives

    root = packed(tmp_path, "pairs.zip")
    assert values(opened(root / "pairs.zip")) == PAIRS
    monkeypatch.setattr(archives, "_unpack", lambda *_: pytest.fail("unpacked again"))
    assert values(opened(root / "pairs.zip")) == PAIRS
    assert values(opened(root)) == PAIRS
    monkeypatch.undo()


def test_a_bomb_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    root = packed(tmp_path, "pairs.zip")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2**30 + 10))
    assert "make room, or set XDG_CACHE_HOME" in message(lambda: opened(root / "pairs.zip"))


def test_a_picture_larger_than_pillows_limit_is_read_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # of which it refuses twice as many
    put(tmp_path / "train/A/1.png", 1)
    put(tmp_path / "train/B/1.png", 2)
    with pytest.raises(ImageError, match=r"png has more than 0 million pixels, .* make it smaller first$"):
        opened(tmp_path)  # as on a page, whose visitors have no flags
    monkeypatch.setattr(formats, "_USUAL_PIXELS", 40)
    with pytest.raises(ImageError, match="or type --max_megapixels with a higher limit if you trust it"):
        opened(tmp_path)
    assert values(opened(tmp_path, max_megapixels=1)) == [(1, 2)]
    with pytest.raises(ValueError, match="--max_megapixels is 0"):
        opened(tmp_path, max_megapixels=0)
