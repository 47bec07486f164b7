"""The command line as a user types it: what it writes, what it says, how it ends."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub import ResNetGenerator, Translator, UNetGenerator
from img2img_hub.cli import main
from img2img_hub.data.find.search import MARK
from img2img_hub.evaluation import perceptual
from img2img_hub.translation.settings import TranslationSettings
from tests.conftest import picture
from tests.conftest import run_command as run
from tests.hub import HubServer, run_client


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with a model in model/ and three pictures in photos/."""
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "model", UNetGenerator(width=4, levels=6), family="pix2pix")
    save_pictures(tmp_path / "photos", ["b.jpg", "a.png", "C.PNG"])
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    (tmp_path / "photos" / "._a.png").write_text("what a Mac leaves behind")
    return tmp_path


def save_model(folder: Path, network: UNetGenerator | ResNetGenerator, **settings: object) -> None:
    network.save_pretrained(folder)
    TranslationSettings(**{"working_size": 64, **settings}).save(folder)  # type: ignore[arg-type]


def save_pictures(folder: Path, names: list[str], *, width: int = 50) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        array = np.random.default_rng(seed).integers(0, 256, (40, width, 3), dtype=np.uint8)
        Image.fromarray(array).save(folder / name)


def refused(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run what must be refused; the one line on stderr."""
    assert run(line) == 2
    message = capsys.readouterr().err
    assert message.startswith("img2img_hub: error: ")
    assert message.count("\n") == 1
    return message


def files(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir()) if Path(folder).exists() else []


# --- translate --------------------------------------------------------------------------------------------------------


def test_folders_and_files_become_pngs_of_their_stems(capsys):
    save_pictures(Path("."), ["more.webp"], width=33)
    assert run("translate photos more.webp photos/a.png --model model --output new/out") == 0
    assert files("new/out") == [MARK, "C.png", "a.png", "b.png", "more.png"]
    translator = Translator.from_pretrained("model")
    for name in ("photos/a.png", "photos/b.jpg", "photos/C.PNG", "more.webp"):
        with Image.open(Path("new/out", Path(name).stem + ".png")) as output:
            assert output.tobytes() == translator(name).tobytes()
    captured = capsys.readouterr()
    assert "4 of 4 images translated into new/out" in captured.out
    assert "pix2pix UNetGenerator" in captured.out
    assert "translating: 100%" in captured.err


@pytest.mark.parametrize(("option", "file_format"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")])
def test_format_and_alpha_and_profile(option, file_format):
    source = Image.open("photos/a.png")
    source.putalpha(Image.linear_gradient("L").resize(source.size))
    source.save("photo.png", icc_profile=b"profile" * 30)
    assert run(f"translate photo.png --model model --output out --format {option}") == 0
    with Image.open(f"out/photo.{option}") as output:
        assert output.format == file_format
        assert output.size == source.size
        assert output.info["icc_profile"] == b"profile" * 30
        assert output.mode == ("RGB" if option == "jpg" else "RGBA")


def test_seed_and_resize_reach_the_translator():
    translator = Translator.from_pretrained("model")
    for flags, options in [("--seed 1", {"seed": 1}), ("--seed 2", {"seed": 2}), ("--resize fit", {"resize": "fit"})]:
        assert run(f"translate photos/a.png --model model --output out --overwrite {flags}") == 0
        with Image.open("out/a.png") as output:
            assert output.tobytes() == translator("photos/a.png", **options).tobytes()
            assert output.tobytes() != translator("photos/a.png").tobytes()


def test_one_bad_file_does_not_stop_the_others(capsys):
    Path("photos/aa.png").write_bytes(b"broken")
    assert run("translate photos --model model --output out") == 1
    captured = capsys.readouterr()
    assert files("out") == ["C.png", "a.png", "b.png"]
    assert "3 of 4 images translated" in captured.out
    assert "1 failed:\nphotos/aa.png" in captured.err
    assert "Traceback" not in captured.err


def test_where_no_image_can_be_translated_the_status_is_2(capsys):
    Path("letter.png").write_text("Dear reader")
    assert run("translate letter.png --model model --output out") == 2
    assert "1 failed:\nletter.png is not an image" in capsys.readouterr().err


def test_two_links_to_one_file_are_two_images_and_a_link_to_nothing_is_named(capsys):
    Path("links").mkdir()
    for name, target in (("a.png", "photos/a.png"), ("b.png", "photos/a.png"), ("c.png", "nosuch"), ("d.png", "d.png")):
        Path("links", name).symlink_to(Path(target).absolute() if "/" in target else target)
    assert run("translate links --model model --output out") == 1
    assert files("out") == ["a.png", "b.png"]
    error = capsys.readouterr().err
    assert "2 failed:\nlinks/c.png is a link to what is not there" in error
    assert "\nlinks/d.png is a link to what is not there" in error
    assert "would be overwritten" in refused("translate links/a.png --model model --output photos --overwrite", capsys)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("translate --model model --output out", "no input: name image files or folders of images"),
        ("translate no.png --model model --output out", "no.png does not exist"),
        ("translate empty --model model --output out", "empty has no images"),
        ("translate photos --model model --output full", "full/a.png is there already: add --overwrite"),
        ("translate photos --model model --output photos/b.jpg", "--output photos/b.jpg is a file"),
        ("translate photos other --model model --output out", "a.png and other/A.jpg would both become out/A.png"),
        ("translate photos --model model --output photos --overwrite", "a.png is an input and would be overwritten"),
        ("translate photos --model nosuch --output out", "there is no folder 'nosuch'"),
        ("translate photos --model runs/x/y --output out", "there is no folder 'runs/x/y'"),
        ("translate photos --model model --output out --device gpu", "device 'gpu' cannot be used"),
        ("translate photos --model model --output out --seed -1", "--seed is -1: type a whole number from 0 on"),
        (
            "translate photos --model model --output photos/b.jpg/x",
            "the folder photos/b.jpg/x cannot be made (Not a dir",
        ),
    ],
)
def test_what_cannot_be_translated_is_refused_before_any_work(capsys, line, message):
    Path("empty").mkdir()
    save_pictures(Path("full"), ["a.png"])
    save_pictures(Path("other"), ["A.jpg"])
    before = {path: path.read_bytes() for path in Path(".").rglob("*") if path.is_file()}
    assert message in refused(line, capsys)
    assert {path: path.read_bytes() for path in Path(".").rglob("*") if path.is_file()} == before


def test_overwrite_replaces_what_is_there():
    save_pictures(Path("out"), ["a.png"])
    before = Path("out/a.png").read_bytes()
    assert run("translate photos/a.png --model model --output out --overwrite") == 0
    assert Path("out/a.png").read_bytes() != before
    assert files("out") == ["a.png"]


def test_an_output_that_cannot_be_written_leaves_the_old_one_and_no_half_of_a_new_one(capsys):
    save_pictures(Path("out"), ["wide.jpg"])
    before = Path("out/wide.jpg").read_bytes()
    Image.new("RGB", (65_536, 1)).save("wide.png")  # one more than a JPEG can have
    assert run("translate wide.png --model model --output out --format jpg --resize fit --overwrite") == 2
    assert "1 failed:\nwide.png: " in capsys.readouterr().err
    assert files("out") == [MARK, "wide.jpg"]
    assert Path("out/wide.jpg").read_bytes() == before


def test_a_model_without_settings_warns_in_one_line(capsys):
    Path("model/translation.json").unlink()
    assert run("translate photos/a.png --model model --output out") == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("img2img_hub: warning: model has no translation.json")


# --- evaluate ---------------------------------------------------------------------------------------------------------


def test_evaluate_prints_a_table_and_json_and_writes_both_files(capsys):
    save_pictures(Path("data/test"), ["1.png", "2.png"], width=80)
    line = "evaluate --model model --dataset data --side_by_side --output new/numbers.json --sheet new/sheet.png"
    assert run(line) == 0
    lines = capsys.readouterr().out.splitlines()
    report = json.loads(lines[-1])
    assert report == json.loads(Path("new/numbers.json").read_text())
    assert {key: report[key] for key in ("model", "split", "image_size", "num_images", "norm_statistics")} == {
        "model": "model",
        "split": "test",
        "image_size": 64,
        "num_images": 2,
        "norm_statistics": "image",
    }
    assert set(report) >= {"dataset", "l1", "psnr", "ssim", "ms_ssim", "swd_target"}
    assert f"PSNR              {report['psnr']:.2f}  (dB, higher is better)" in lines
    with Image.open("new/sheet.png") as sheet:
        assert sheet.width == 3 * 64 + 2 * 4 + 2 * 8
    assert run(line + " --limit 1 --image_size 128 --overwrite") == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["num_images"], report["image_size"]) == (1, 128)


@pytest.mark.parametrize(
    ("how", "near"), [("--backend onnx", 0.01), ("--backend openvino", 0.01), ("--dtype bfloat16", 1)]
)
def test_evaluate_measures_what_the_backend_and_the_precision_make(how, near, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path("cache").absolute()))
    save_pictures(Path("data/test"), ["1.png", "2.png"], width=80)
    reports = []
    for more in ("", how):
        assert run(f"evaluate --model model --dataset data --side_by_side --sheet sheet.png --overwrite {more}") == 0
        said = capsys.readouterr().out
        reports.append(json.loads(said.splitlines()[-1]))
    name = how.split()[1]
    assert f"by {name}" in said or f"in {name}" in said
    assert [{report["backend"], report["dtype"]} for report in reports] == [
        {"torch", "float32"},
        {"torch", "float32", name} - {"torch" if "backend" in how else "float32"},
    ]
    assert reports[0]["psnr"] == pytest.approx(reports[1]["psnr"], abs=near)
    assert "dtype" not in how or reports[0]["psnr"] != reports[1]["psnr"]


def test_evaluate_says_which_file_its_numbers_are_of(capsys):
    save_pictures(Path("data/test"), ["1.png", "2.png"], width=80)
    assert run("export --model model --output small.onnx --int8 --dynamic --calibration data/test") == 0
    line = "evaluate --model model --dataset data --side_by_side --backend onnx --onnx_file small.onnx"
    assert run(line) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["onnx_file"] == "small.onnx"


def test_evaluate_refuses_what_a_backend_cannot(capsys):
    save_pictures(Path("data/test"), ["1.png"], width=80)
    line = "evaluate --model model --dataset data --side_by_side --device cpu"
    assert "for the backends onnx and openvino" in refused(f"{line} --onnx_file m.onnx", capsys)
    assert "no file 'm.onnx'" in refused(f"{line} --onnx_file m.onnx --backend onnx", capsys)
    assert "dtype 'float16'" in refused(f"{line} --dtype float16 --backend openvino", capsys)


@pytest.fixture
def cyclegan(here: Path) -> None:
    """A CycleGAN run's folder and unpaired data."""
    for seed, (name, other) in enumerate([("source2target", "target2source"), ("target2source", "source2target")]):
        torch.manual_seed(seed)
        save_model(here / "run" / name, ResNetGenerator(width=4, blocks=1), family="cyclegan", reverse=other)
    save_pictures(here / "data" / "testA", ["1.png", "2.png"])
    save_pictures(here / "data" / "testB", ["1.png"])


@pytest.mark.usefixtures("cyclegan")
def test_a_cyclegan_is_measured_with_the_reverse_that_it_names(capsys):
    assert run("evaluate --model run/source2target --dataset data --sheet sheet.png --image_size 32") == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"cycle_l1_source", "cycle_l1_target", "swd_source", "swd_target"} < set(found)
    with Image.open("sheet.png") as sheet:
        assert sheet.width == 3 * 32 + 2 * 4 + 2 * 8
    line = "evaluate --model run/source2target --dataset data --image_size 32 --dtype bfloat16"
    assert run(line) == 0
    assert capsys.readouterr().out.count("in bfloat16") == 2, "both networks"
    line = "evaluate --model run/source2target --dataset data --image_size 32 --reverse run/source2target"
    assert run(line) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["cycle_l1_source"] != found["cycle_l1_source"]
    assert run("evaluate --model run/source2target --dataset data --image_size 32 --reverse none") == 0
    alone = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "cycle_l1_source" not in alone
    assert alone["swd_target"] == found["swd_target"]


def trained_with(model: str, **data: object) -> None:
    settings = {"family": "any", "data": {"direction": "AtoB", "side_by_side": False, **data}}
    Path(model, "training_config.json").write_text(json.dumps(settings))


def warnings(line: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert run(line) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    return [line.removeprefix("img2img_hub: warning: ") for line in lines]


@pytest.mark.parametrize(
    ("trained", "flags", "difference"),
    [
        ({"side_by_side": True}, "--side_by_side", None),
        ({"side_by_side": True, "direction": "BtoA"}, "--side_by_side --direction BtoA", None),
        ({"side_by_side": True, "direction": "BtoA"}, "--side_by_side", "with --direction BtoA (here AtoB)"),
        ({"side_by_side": True}, "--side_by_side --direction BtoA", "with --direction AtoB (here BtoA)"),
        ({}, "--side_by_side", "without --side_by_side (here with)"),
        (
            {"direction": "BtoA"},
            "--side_by_side",
            "with --direction BtoA (here AtoB) and without --side_by_side (here with)",
        ),
    ],
)
def test_a_model_measured_the_other_way_round_warns_in_one_line(capsys, trained, flags, difference):
    save_pictures(Path("data/test"), ["1.png"], width=80)
    trained_with("model", **trained)
    expected = f"model was trained {difference}: are sources and targets the right way round?"
    assert warnings(f"evaluate --model model --dataset data {flags}", capsys) == ([expected] if difference else [])


def test_a_model_that_does_not_say_how_it_was_trained_gives_no_warning(capsys):
    save_pictures(Path("data/test"), ["1.png"], width=80)
    for content in ("", "[]", '{"data": {}}', '{"data": null}'):
        Path("model/training_config.json").write_text(content)
        assert warnings("evaluate --model model --dataset data --side_by_side", capsys) == []


@pytest.mark.usefixtures("cyclegan")
def test_the_second_generator_of_a_cycle_is_measured_the_other_way_round(capsys):
    for folder in ("source2target", "target2source"):
        trained_with(f"run/{folder}")
    line = "evaluate --dataset data --image_size 32 --model run/"
    found = []
    for arguments, unlike in (
        ("source2target", False),
        ("target2source --direction BtoA", False),
        ("target2source", True),
        ("source2target --direction BtoA", True),
    ):
        assert run(line + arguments) == 0
        printed = capsys.readouterr()
        assert ("was trained with --direction" in printed.err) == unlike, arguments
        found.append(json.loads(printed.out.splitlines()[-1]))
    # What is source to the one is target to the other.
    forwards, backwards = found[:2]
    for kind in ("cycle_l1", "swd"):
        assert forwards[f"{kind}_source"] == backwards[f"{kind}_target"] != forwards[f"{kind}_target"]


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
def test_extra_metrics_that_are_not_installed_are_said_and_the_others_come(capsys):
    save_pictures(Path("data/test"), ["1.png", "2.png"], width=80)
    assert run("evaluate --model model --dataset data --side_by_side --extra_metrics lpips fid kid") == 0
    printed = capsys.readouterr()
    for name in ("lpips", "fid", "kid"):
        (line,) = [line for line in printed.err.splitlines() if f"warning: {name} is not measured" in line]
        assert "pip install torchmetrics torch-fidelity torchvision" in line
    report = json.loads(printed.out.splitlines()[-1])
    assert "ms_ssim" in report
    assert not {"lpips", "fid_target", "kid_target"} & set(report)


@pytest.mark.usefixtures("cyclegan")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("evaluate --model run --dataset data", "name one of its folders: run/source2target, run/target2source"),
        ("evaluate --model run/source2target --dataset data --reverse nosuch", "reverse model nosuch cannot be loaded"),
        ("evaluate --model run/source2target --dataset data --split dev", "dev"),
        ("evaluate --model run/source2target --dataset data --extra_metrics lpips", "lpips compares outputs with"),
        ("evaluate --model model --dataset nosuch", "nosuch"),
        ("evaluate --model model --dataset data --metrics unpaired --limit 0", "limit must be 1 or more"),
        ("evaluate --model model --dataset data --output old.json", "old.json is there already: add --overwrite"),
        ("evaluate --model model --dataset data --sheet data.png --overwrite", "data.png is there already"),
        ("evaluate --model model --dataset data --sheet sheet.pnk", "--sheet sheet.pnk is no image file by its name"),
        ("evaluate --model model --dataset data --image_size 0", "--image_size is 0: type 11"),
        ("evaluate --model model --dataset data --image_size 1000000", "--image_size is 1000000: type 11"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(capsys, line, message):
    Path("old.json").write_text("{}")
    Path("data.png").mkdir()
    assert message in refused(line, capsys)
    assert Path("old.json").read_text() == "{}"


@pytest.mark.usefixtures("cyclegan")
def test_a_side_too_small_for_fid_is_refused_before_any_image_is_translated(capsys, monkeypatch):
    monkeypatch.setattr(perceptual, "_load_inception", lambda: torch.nn.Identity())
    # One line: of the two images of the other side nothing is said.
    assert "sets of two images or more a side, got 1" in refused(
        "evaluate --model run/source2target --dataset data --image_size 32 --extra_metrics fid", capsys
    )


# --- check-data -------------------------------------------------------------------------------------------------------


def test_check_data_says_what_was_found_and_draws_it(capsys):
    save_pictures(Path("data/train"), ["1.png", "2.png"], width=80)
    save_pictures(Path("data/test"), ["1.png"], width=80)
    assert run("check-data --dataset data --side_by_side --sheet preview.png") == 0
    out = capsys.readouterr().out
    assert "train: 2 pairs" in out
    assert "validation: 1 pair" in out
    assert "data/test (target), split test" in out
    assert "every image can be read" in out
    with Image.open("preview.png") as sheet:
        assert sheet.width == 2 * 40 + 4 + 2 * 8
    assert run("check-data --dataset data --side_by_side --split test") == 0
    assert "train" not in capsys.readouterr().out


@pytest.mark.usefixtures("cyclegan")
def test_check_data_takes_unpaired_data(capsys):
    assert run("check-data --dataset data --unpaired --split test") == 0
    assert "2 sources" in capsys.readouterr().out


def test_check_data_names_every_image_that_cannot_be_used(capsys):
    save_pictures(Path("data/train"), ["1.png", "2.png"], width=80)
    Path("data/train/broken.png").write_bytes(b"no image")
    Path("data/train/empty.png").touch()
    assert run("check-data --dataset data --side_by_side --split train --sheet preview.png") == 1
    error = capsys.readouterr().err
    assert "broken.png" in error
    assert "empty.png" in error
    assert "2 images or pairs cannot be used" in error
    assert not Path("preview.png").exists()


def test_check_data_refuses_what_cannot_be_opened(capsys):
    assert "nosuch" in refused("check-data --dataset ./nosuch", capsys)


# --- push-model and the Hub -------------------------------------------------------------------------------------------


def test_push_model_refuses_a_folder_that_is_not_finished(capsys):
    Path("model/translation.json").unlink()
    assert "it lacks translation.json" in refused("push-model model --repo_id alice/model", capsys)
    assert "not a repo id" in refused("push-model model --repo_id a/b/c", capsys)


def test_a_hub_that_is_out_of_reach_is_said_with_the_models_name(alice: dict[str, str], here: Path):
    offline = {**alice, "HF_HUB_OFFLINE": "1"}
    command = ["-m", "img2img_hub", "translate", "photos", "--model", "alice/model", "--output", "out"]
    done = run_client(command, offline, cwd=here, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("img2img_hub: error: model alice/model is not in the cache, and the Hub cannot be")


def test_a_hub_that_does_not_answer_is_asked_once_for_a_model_that_nobody_has(alice, hub_server, here: Path):
    hub_server.stop()
    command = ["-m", "img2img_hub", "translate", "photos", "--model", "runs/mistyped", "--output", "out"]
    done = run_client(command, alice, cwd=here, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("img2img_hub: error: model runs/mistyped is not in the cache, and the Hub cannot be")


def test_a_pushed_direction_finds_its_way_back_by_id(alice: dict[str, str], here: Path, cyclegan: None):
    cli = ["-m", "img2img_hub"]
    for name in ("source2target", "target2source"):
        (here / "run" / name / "README.md").write_text("# A model\n")
        run_client([*cli, "push-model", f"run/{name}", "--repo_id", f"alice/maps-{name}"], alice, cwd=here)
    command = [*cli, "evaluate", "--model", "alice/maps-target2source", "--dataset", "data", "--direction", "BtoA"]
    done = run_client([*command, "--image_size", "32"], alice, cwd=here)
    assert "alice/maps-source2target: cyclegan" in done.stdout
    assert "cycle_l1_source" in json.loads(done.stdout.splitlines()[-1])


def test_a_pushed_model_translates_by_its_id(alice: dict[str, str], hub_server: HubServer, here: Path):
    (here / "model" / "README.md").write_text("---\nlibrary_name: img2img_hub\n---\n\n# A model\n")
    cli = ["-m", "img2img_hub"]
    pushed = run_client([*cli, "push-model", "model", "--repo_id", "alice/model", "--private"], alice, cwd=here)
    assert f"pushed to {hub_server.url}/alice/model" in pushed.stdout
    assert hub_server.repo("alice/model").private
    command = [*cli, "translate", "photos/a.png", "--model", "alice/model", "--output", "out"]
    run_client(command, alice, cwd=here)
    with Image.open("out/a.png") as output:
        assert output.tobytes() == Translator.from_pretrained("model")("photos/a.png").tobytes()
    stranger = {**alice, "HF_TOKEN": "", "HF_HOME": str(here / "stranger")}
    done = run_client([*command, "--overwrite"], stranger, cwd=here, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("img2img_hub: error: there is no such repo on the Hub, or you may not see it")
    assert done.stderr.count("\n") == 1


# --- the command itself -----------------------------------------------------------------------------------------------


def test_help_is_quick_because_nothing_heavy_is_imported():
    code = """if True:
        import sys
        from img2img_hub.cli import main
        try:
            main(["evaluate", "--help"])
        except SystemExit:
            pass
        heavy = {"torch", "numpy", "PIL", "datasets", "gradio", "accelerate"} & set(sys.modules)
        assert not heavy, heavy
    """
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--side_by_side" in done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "img2img_hub", "--help"], env=environment, capture_output=True, text=True, check=True
    )
    for command in ("translate", "evaluate", "check-data", "push-model"):
        assert command in done.stdout


def test_unknown_flags_end_with_status_2(capsys):
    assert run("translate photos --model model --output out --no_such_flag") == 2
    assert capsys.readouterr().err.startswith("img2img_hub: error: --no_such_flag is no flag of translate; ")
    assert run("translate photos --model model --output out --batch-sise 2") == 2
    assert capsys.readouterr().err == (
        "img2img_hub: error: --batch-sise is no flag of translate: did you mean --batch_size?\n"
    )
    assert run("transalte photos") == 2
    assert "there is no transalte: did you mean translate?" in capsys.readouterr().err


def test_a_mistake_of_ours_is_not_hidden(monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(Translator, "from_pretrained", broken)
    with pytest.raises(TypeError, match="a bug"):
        run("translate photos --model model --output out")


def test_check_data_looks_as_a_method_reads(tmp_path, capsys):
    (tmp_path / "photos/train").mkdir(parents=True)
    for number in range(3):
        picture(seed=number, size=(64, 48)).save(tmp_path / f"photos/train/{number}.png")
    words = ["check-data", "--dataset", str(tmp_path / "photos"), "--split", "train"]
    assert main([*words, "--method", "inpaint", "--sheet", str(tmp_path / "holes.png")]) == 0
    said = capsys.readouterr().out
    assert "3 pictures" in said
    assert "to be filled in" in said
    assert Image.open(tmp_path / "holes.png").width > 2 * Image.open(tmp_path / "holes.png").height / 3
    assert main([*words, "--method", "srgan", "--scale", "2", "--sheet", str(tmp_path / "small.png")]) == 0
    assert "2 times smaller" in capsys.readouterr().out
    for more, says in (
        (["--method", "pixpix"], "there is no method pixpix: type one of ccgan, cut,"),
        (["--scale", "2"], "--scale 2 is of a method that enlarges: name it, as in --method srgan"),
        (["--method", "inpaint", "--scale", "2"], "and inpaint does not: leave it out"),
        (["--method", "cyclegan", "--unpaired"], "leave --unpaired out"),
    ):
        assert main([*words, *more]) == 2
        assert says in capsys.readouterr().err
