"""A run touches in its folder what it made itself, and nothing else: python -m pytest tests/test_run_folder.py"""

import json
import os
import shutil
from pathlib import Path

import pytest

from img2img_hub import CycleGAN, DataConfig, Pix2Pix, TrainConfig
from img2img_hub.training.results.results import Results
from img2img_hub.training.run.lock import FolderLock
from img2img_hub.training.run.record import RECORD, Record, remove_made, strangers
from tests.runs import checkpoints, files, interrupt_at, lines

pytest_plugins = ["tests.starting"]
NOT_MADE = "which no run made and none may replace or delete: name another folder, or move that elsewhere"


def put(folder, *names):
    """Somebody's own files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"mine: {name}")


def theirs(folder):
    return {name: content for name, content in files(folder).items() if content.startswith(b"mine: ")}


# --- folders that no run made -----------------------------------------------------------------------------------------

FLAGS = pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}], ids=str)


@FLAGS
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("README.md", "README.md"),
        ("config.json", "config.json"),
        ("run.json", "run.json"),  # of another tool
        ("samples/a.png", "samples/"),
        ("best/notes.txt", "best/"),
        ("source2target/README.md", "source2target/"),
        (".push/x", ".push/"),
        (".git/HEAD", ".git/"),
        ("train/1.png", "train/"),
        ("finished.json/x", "finished.json/"),
    ],
)
def test_a_folder_of_somebody_elses_is_refused_and_stays(start, tmp_path, flags, name, says):
    put(tmp_path / "run", name, "notes.txt")
    before = files(tmp_path / "run")
    with pytest.raises(ValueError, match=rf"--output_dir .*/run holds .*{says}.*, {NOT_MADE}"):
        start(Pix2Pix(), "run", max_steps=1, **flags)
    assert files(tmp_path / "run") == before


@FLAGS
def test_the_data_sets_own_folder_and_one_in_it_are_refused(start, paired_folder, flags):
    before = files(paired_folder)
    for output in ("pairs", "pairs/train", "pairs/train/run", "pairs/test/run"):
        with pytest.raises(
            ValueError, match=r"holds .*(train/|0.png.*), which no run|lies in .*/pairs/(train|test), of which"
        ):
            start(Pix2Pix(), output, max_steps=1, **flags)
    assert files(paired_folder) == before
    assert not (paired_folder / "train/run").exists()


def test_a_folder_of_loose_pictures_or_of_a_table_takes_no_run(start, paired_folder, tmp_path):
    shutil.copytree(paired_folder / "train", tmp_path / "loose")
    data = DataConfig(dataset=str(tmp_path / "loose"), side_by_side=True)
    for output in ("loose", "loose/run"):
        with pytest.raises(ValueError, match=r"lies in .*/loose, of which every image is training data"):
            start(Pix2Pix(), output, data=data, max_steps=1)
    (tmp_path / "link").symlink_to(tmp_path / "loose")
    with pytest.raises(ValueError, match=r"lies in"):
        start(Pix2Pix(), "link/run", data=data, max_steps=1)
    (tmp_path / "loose/metadata.csv").write_text("file_name,note\n" + "".join(f"{n}.png,x\n" for n in range(5)))
    with pytest.raises(ValueError, match=r"lies in .*/loose, of which every image is training data"):
        start(Pix2Pix(), "loose/run", data=data, max_steps=1)


def test_a_run_goes_in_beside_loose_files_but_overwriting_wants_them_gone(start, tmp_path):
    put(tmp_path / "run", "train.log")
    for flags in ({}, {"resume": True}):
        folder = start(Pix2Pix(), "run", max_steps=1, **flags)
    before = files(folder)
    with pytest.raises(ValueError, match=rf"holds train\.log, {NOT_MADE}"):
        start(Pix2Pix(), "run", max_steps=1, overwrite=True)
    assert files(folder) == before


def test_the_current_folder_is_a_folder_like_others(start, tmp_path, monkeypatch):
    put(tmp_path / "checkout", "README.md", ".git/HEAD", "src/a.py")
    monkeypatch.chdir(tmp_path / "checkout")
    with pytest.raises(ValueError, match=rf"--output_dir \. holds \.git/, README\.md, src/, {NOT_MADE}"):
        Record(Path(TrainConfig(output_dir=".").output_dir)).refuse_occupied("overwrite", will_make=set())


# --- somebody's files in a run's folder -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "data/1.png",
        ".git/HEAD",
        "README.md",  # before the run made one
        "source2target/x.png",  # another family's
        "samples/mine.png",
        "samples/step-1.png.bak",
        "samples/sub/step-1.png",
        "checkpoints/step-7/mine.txt",
        "checkpoints/step-2/notes.txt",
        "checkpoints/step-2/my.safetensors",
        "checkpoints/backup/step-2/rank-0.pt",
        "best/mine.txt",
        "training/notes.txt",
        "run.json.bak",
        ".run.json.new/x",
    ],
)
def test_overwrite_refuses_by_name_what_somebody_put_into_a_run(start, monkeypatch, name):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        folder = start(Pix2Pix(), "run", eval_every=1, best_metric="l1", sample_steps=1)
    put(folder, name)
    before = files(folder)
    found = strangers(folder, names=Record(folder).names())
    assert len(found) == 1
    assert name.startswith(found[0])
    with pytest.raises(ValueError, match=rf"holds {found[0]}, {NOT_MADE}".replace(".", r"\.")):
        start(Pix2Pix(), "run", overwrite=True)
    assert files(folder) == before


def test_a_card_written_by_hand_stops_a_run_before_it_goes_on_or_at_its_end(start, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        folder = start(Pix2Pix(), "run")
    put(folder, "README.md")
    with pytest.raises(ValueError, match=rf"holds README\.md, {NOT_MADE}"):
        start(Pix2Pix(), "run", resume=True)
    (folder / "README.md").unlink()
    with monkeypatch.context() as patch:  # while it trains
        original = Results.finish
        patch.setattr(Results, "finish", lambda self, logs: (put(folder, "README.md"), original(self, logs)))
        with pytest.raises(ValueError, match=rf"holds README\.md, {NOT_MADE}"):
            start(Pix2Pix(), "run", resume=True)
    assert theirs(folder) == {"README.md": b"mine: README.md"}
    (folder / "README.md").unlink()
    start(Pix2Pix(), "run", resume=True)
    assert (folder / "finished.json").exists()
    assert "img2img_hub" in (folder / "README.md").read_text()


def test_what_a_training_deletes_on_its_way_is_its_own(start):
    folder = start(Pix2Pix(), "run", max_steps=2, eval_every=1, best_metric="l1")
    put(folder, "checkpoints/step-1/notes.txt", "checkpoints/step-9999/mine.txt", "checkpoints/.step-x/mine.txt")
    put(folder, "best/model.onnx", "best/tries/1.png", "samples/mine.png")
    before = theirs(folder)
    assert len(before) == 6
    record = json.loads((folder / "best/best.json").read_text())
    (folder / "best/best.json").write_text(json.dumps(record | {"value": 1e9}))  # the next one is better
    start(Pix2Pix(), "run", max_steps=6, eval_every=2, best_metric="l1", checkpoint_steps=1, resume=True)
    assert json.loads((folder / "best/best.json").read_text())["value"] < 1e9
    assert theirs(folder) == before
    assert [name for name in checkpoints(folder) if "." not in name] == [
        "step-1",
        "step-5",
        "step-6",
        "step-9999",
    ]


def test_overwrite_deletes_all_that_a_run_makes(start):
    folder = start(
        CycleGAN(), "run", max_steps=2, eval_every=1, best_metric="cycle_l1_source", report_to=("tensorboard",)
    )
    assert list(folder.rglob("events.out.tfevents.*"))
    assert strangers(folder, names=Record(folder).names()) == []
    Record(folder).remove()
    assert files(folder).keys() == {".lock", RECORD}
    start(Pix2Pix(), "run", max_steps=1, overwrite=True)
    assert not (folder / "source2target").exists()
    assert not (folder / "img2img_hub").exists()


# --- kills ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", ["kept", "of a former version"])
def test_a_kill_amid_overwriting_leaves_a_folder_that_is_overwritten(finished, tmp_path, monkeypatch, record):
    whole = finished(Pix2Pix(), "run", max_steps=1)
    if record != "kept":
        (whole / RECORD).unlink()
    count = len(files(whole))
    assert count > 20
    for kill in range(0, count - 2, 3):  # the lock and the record stay
        folder = tmp_path / f"killed at {kill}"
        shutil.copytree(whole, folder)
        with monkeypatch.context() as patch:
            left, unlink = [kill], Path.unlink

            def unlinking(path, *arguments, left=left, unlink=unlink, **options):
                if left[0] == 0:
                    raise SystemExit("killed")
                left[0] -= 1
                unlink(path, *arguments, **options)

            patch.setattr(Path, "unlink", unlinking)
            with pytest.raises(SystemExit):
                Record(folder).remove()
        assert not (folder / "finished.json").exists() or kill == 0, "what is no longer whole is not finished"
        assert Record(folder).refuse_occupied("overwrite", will_make=set())
        Record(folder).remove()
        assert files(folder).keys() <= {".lock", RECORD}


@pytest.mark.parametrize("made", [[], ["made.json"], ["made.json", ".run.json.new"], ["made.json", "run.json"]])
def test_a_kill_amid_the_start_leaves_a_folder_to_go_on_in(start, made, monkeypatch):
    for flags in ({"resume": True}, {"overwrite": True}):
        with monkeypatch.context() as patch:
            interrupt_at(patch, 1)
            folder = start(Pix2Pix(), "run", overwrite=True)
        for name, content in files(folder).items():
            if name not in [*made, ".lock"]:
                (folder / name).unlink()
            else:
                assert content
        if not made:
            (folder / "samples").rmdir()
            shutil.rmtree(folder / "checkpoints")
        if ".run.json.new" in made:
            (folder / ".run.json.new").write_text('{"family":')
        start(Pix2Pix(), "run", max_steps=1, **flags)
        assert lines(folder)[-1]["step"] == 1


# --- runs of former versions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [Pix2Pix(), CycleGAN()], ids=lambda family: family.name)
def test_a_run_of_a_former_version_goes_on_and_is_overwritten(start, finished, family):
    folder = finished(family, "run", max_steps=2)
    for flags in ({"resume": True}, {"overwrite": True}):
        for name in (RECORD, "data.json"):
            (folder / name).unlink(missing_ok=True)
        start(family, "run", max_steps=4, **flags)
        assert lines(folder)[-1]["step"] == 4
        assert set(json.loads((folder / RECORD).read_text())["made"]) > {"run.json", "samples", "checkpoints"}


def test_of_a_former_version_only_the_fixed_names_and_a_card_of_ours_count(start, finished):
    folder = finished(CycleGAN(), "run", max_steps=1)
    (folder / RECORD).unlink()
    for name in ("README.md", "wandb/log"):
        put(folder, name)
        with pytest.raises(ValueError, match=rf"holds {name.split('/')[0]}/?, {NOT_MADE}"):
            start(CycleGAN(), "run", max_steps=1, overwrite=True)
        shutil.rmtree(folder / "wandb") if "/" in name else (folder / name).unlink()


# --- records and links that lie ---------------------------------------------------------------------------------------


def test_a_record_from_elsewhere_reaches_nothing_outside(start, finished, tmp_path):
    folder = finished(Pix2Pix(), "run", max_steps=1)
    put(tmp_path, "mine/a.txt")
    names = ["../mine", "..", "/", str(tmp_path / "mine"), "mine", "link", "notes.txt", *Record(folder).names()]
    (folder / RECORD).write_text(json.dumps({"made": names}))
    (folder / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match=rf"holds link, {NOT_MADE}"):
        start(Pix2Pix(), "run", max_steps=1, overwrite=True)
    (folder / "link").unlink()
    shutil.rmtree(folder / "samples")
    (folder / "samples").symlink_to(tmp_path / "mine")
    (folder / "checkpoints/step-1/rank-0.pt").unlink()
    (folder / "checkpoints/step-1/rank-0.pt").symlink_to(tmp_path / "mine/a.txt")
    start(Pix2Pix(), "run", max_steps=1, overwrite=True)
    assert theirs(tmp_path / "mine") == {"a.txt": b"mine: mine/a.txt"}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"made": 3}', "\0\xff"])
def test_a_record_that_cannot_be_read_is_named(start, finished, content):
    folder = finished(Pix2Pix(), "run", max_steps=1)
    (folder / RECORD).write_text(content)
    before = files(folder)
    for flags in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(ValueError, match=r"made\.json, which says what in the folder is a run's, cannot be read"):
            start(Pix2Pix(), "run", max_steps=1, **flags)
    assert files(folder) == before


def test_the_kind_counts_too(start, finished):
    folder = finished(Pix2Pix(), "run", max_steps=1)
    (folder / "config.json").unlink()
    put(folder, "config.json/mine.txt")
    with pytest.raises(ValueError, match=rf"holds config\.json/, {NOT_MADE}"):
        start(Pix2Pix(), "run", max_steps=1, overwrite=True)
    shutil.rmtree(folder / "config.json")
    shutil.rmtree(folder / "samples")
    put(folder, "samples")
    os.mkfifo(folder / "best")
    with pytest.raises(ValueError, match=rf"holds best, samples, {NOT_MADE}"):
        start(Pix2Pix(), "run", max_steps=1, overwrite=True)
    assert theirs(folder) == {"samples": b"mine: samples"}


@pytest.mark.parametrize("kind", ["a link", "a file", "a pipe", "a folder"])
def test_a_lock_that_is_none_is_left_alone(tmp_path, kind):
    secrets, lock = tmp_path / "secrets.txt", tmp_path / ".lock"
    secrets.write_text("process 1 on a machine\n")  # no other file is taken for a lock by what it says
    if kind == "a link":
        lock.symlink_to(secrets)
    elif kind == "a pipe":
        os.mkfifo(lock)
    elif kind == "a folder":
        lock.mkdir()
    else:
        put(tmp_path, ".lock")
    before = theirs(tmp_path)
    with pytest.raises(ValueError, match=r"\.lock is not a run's lock: name another folder, or move that file"):
        FolderLock(tmp_path)
    assert theirs(tmp_path) == before
    assert secrets.read_text() == "process 1 on a machine\n"


def test_removing_keeps_the_folder_and_what_it_is_linked_to(tmp_path):
    put(tmp_path / "there", "samples/mine.png")
    (tmp_path / "there/samples/step-1.png").write_text("")
    (tmp_path / "run").symlink_to(tmp_path / "there")
    remove_made(tmp_path / "run")
    assert files(tmp_path / "there").keys() == {"samples/mine.png"}
    assert (tmp_path / "run").is_symlink()


@pytest.mark.parametrize("family", [Pix2Pix(), CycleGAN()], ids=lambda family: family.name)
def test_a_resumed_run_writes_through_no_link(start, tmp_path, family):
    folder = start(family, "run", max_steps=2, sample_steps=2)
    backup = tmp_path / "backup"
    shutil.copytree(folder, backup, copy_function=os.link)  # as `cp -al` makes one
    held = files(backup)
    put(tmp_path / "mine", "README.md", "config.json", "metrics.jsonl", "run.json", "folder/model.safetensors")
    results = folder / next(iter(family.published))
    for name in ("README.md", "config.json"):
        (results / name).unlink()
        (results / name).symlink_to(tmp_path / "mine" / name)
    shutil.rmtree(results / "training")
    (results / "training").symlink_to(tmp_path / "mine/folder")
    (folder / ".run.json.new").symlink_to(tmp_path / "mine/run.json")
    (folder / ".metrics.jsonl.new").symlink_to(tmp_path / "mine/metrics.jsonl")
    mine = files(tmp_path / "mine")
    start(family, "run", max_steps=4, sample_steps=2, resume=True)
    assert lines(folder)[-1]["step"] == 4
    assert files(tmp_path / "mine") == mine
    assert {name for name, content in files(backup).items() if content != held[name]} <= {".lock"}
    assert not (results / "training").is_symlink()
    assert (results / "README.md").read_text().startswith("---")
    assert json.loads((folder / "finished.json").read_text()) == {"step": 4}


@pytest.mark.parametrize("place", ["samples", "checkpoints", "checkpoints/step-4", "best"])
def test_a_resumed_run_refuses_folders_that_are_links(start, tmp_path, place):
    """In which another run's checkpoints would be deleted, or somebody's pictures replaced."""
    settings = {"checkpoint_steps": 2, "sample_steps": 2, "eval_every": 2, "best_metric": "l1"}
    folder = start(Pix2Pix(), "run", max_steps=4, **settings)
    (folder / place).rename(tmp_path / "elsewhere")
    (folder / place).symlink_to(tmp_path / "elsewhere")
    held = files(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=f"{place} is a link, to .*elsewhere, and a run replaces and deletes only"):
        start(Pix2Pix(), "run", max_steps=8, resume=True, **settings)
    assert files(tmp_path / "elsewhere") == held


def test_metrics_that_are_a_link_go_on_in_the_runs_own_file(start, finished, tmp_path):
    folder = finished(Pix2Pix(), "run", max_steps=2)
    (folder / "metrics.jsonl").rename(tmp_path / "elsewhere.jsonl")
    (folder / "metrics.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    before = (tmp_path / "elsewhere.jsonl").read_bytes()
    start(Pix2Pix(), "run", max_steps=4, resume=True)
    assert (tmp_path / "elsewhere.jsonl").read_bytes() == before
    assert lines(folder)[0]["step"] == 2
    assert lines(folder)[-1]["step"] == 4
