"""A page of models becomes a Space on the Hub, and what is pulled from there serves: pytest tests/test_push_space.py"""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file
from PIL import Image

from img2img_hub import Translator, cli
from img2img_hub.hub.space import FASTER, NEEDS, make_space
from img2img_hub.networks import StyleEncoder
from tests.browser.serving import picture, serve, write_model
from tests.hub import HubServer, run_client
from tests.hub.cards import front_matter

ROOT = Path(__file__).parent.parent


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two models in one folder, and a folder that is none."""
    (tmp_path / "models").mkdir()
    write_model(tmp_path / "models/stripes", examples=1)
    write_model(tmp_path / "models/dots", examples=0)
    (tmp_path / "models/notes").mkdir()
    (tmp_path / "models/stripes/training").mkdir()
    (tmp_path / "models/stripes/training/secret.bin").write_bytes(b"a discriminator has no place on a page")
    StyleEncoder(width=2, latent=6).save_weights(tmp_path / "models/stripes/training/style_encoder")
    (tmp_path / "models/stripes/family secret.png").write_bytes(b"a picture that somebody keeps there is none of it")
    return tmp_path / "models"


def head_of(space: Any) -> dict[str, Any]:
    return front_matter(space.files["README.md"])


def test_a_space_says_how_it_starts_and_what_it_shows(models: Path) -> None:
    space = make_space([models, "bob/maps", "bob/maps"], title="Mine", hardware="t4-small")
    head = head_of(space)
    assert (head["sdk"], head["app_file"], head["title"]) == ("gradio", "app.py", "Mine")
    assert head["sdk_version"] == version("gradio")
    assert head["models"] == ["bob/maps"]
    assert head["suggested_hardware"] == "t4-small"
    assert len(head["short_description"]) <= 60
    assert "| stripes | mit |" in space.files["README.md"].decode()
    names = set(space.files)
    assert {"img2img_hub/demo/app.py", "img2img_hub/demo/assets/page.css", "model_cards/dots/config.json"} <= names
    assert "model_cards/stripes/examples/1-stripes-1.png" in names
    assert {
        f"model_cards/stripes/training/style_encoder/{name}" for name in ("config.json", "model.safetensors")
    } <= names
    assert not any("__pycache__" in name or "secret" in name or name.startswith("model_cards/notes") for name in names)


def test_its_requirements_are_the_packages_own_and_the_versions_of_here(models: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["demo"]]
    assert set(NEEDS) == {re.split(r"[<>=]", line)[0] for line in wanted}
    lines = make_space([models], title="Mine").files["requirements.txt"].decode().splitlines()
    assert f"torch=={version('torch').partition('+')[0]}" in lines
    assert f"pillow=={version('pillow')}" in lines
    faster = [f"{name}=={version(name)}" for name in FASTER]
    assert lines[-len(faster) :] == faster
    basic = make_space([models], title="Mine", hardware="cpu-basic").files["requirements.txt"].decode().splitlines()
    assert basic == lines
    zero = make_space([models], title="Mine", hardware="zero-a10g").files["requirements.txt"].decode().splitlines()
    assert [line for line in zero if line not in lines] == ["torch>=2.8,<2.12"]
    assert not set(zero) & set(faster), "a GPU needs no help"


@pytest.mark.parametrize(
    ("named", "options", "says"),
    [
        ([], {}, "no model is named: type --models"),
        (["nowhere/to/be"], {}, "there is no folder nowhere/to/be, and it is no Hub id such as user/model"),
        (["../model"], {}, "there is no folder"),
        (["has space/x"], {}, "is not a repo id"),
        (["models/notes"], {}, "models/notes holds no model: name a folder with README.md, config.json"),
        (["models", "other/dots"], {}, r"would both be model_cards/dots: rename one"),
        (["other/it's"], {}, "cannot go along under its name: rename it"),
        (["models"], {"hardware": "abacus"}, "hardware 'abacus' is none that the Hub has: choose from .*zero-a10g"),
        (["models"], {"short_description": "x" * 61}, "has 61 characters: the Hub takes 60"),
    ],
)
def test_what_cannot_be_a_space_is_refused(
    models: Path, monkeypatch: pytest.MonkeyPatch, named: list[str], options: dict[str, str], says: str
) -> None:
    monkeypatch.chdir(models.parent)
    for name in ("dots", "it's"):
        write_model(Path("other") / name, examples=0)
    with pytest.raises(ValueError, match=says):
        make_space(named, title="Mine", **options)  # type: ignore[arg-type]


def test_a_dry_run_prints_the_files_and_sends_nothing(
    models: Path, as_alice: None, hub_server: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["push-space", "alice/show", "--models", str(models), "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^ +[\d,]+ model_cards/stripes/model\.safetensors$", out, re.MULTILINE)
    assert "--- app.py ---" in out
    assert "sdk: gradio" in out
    assert not hub_server.requests


def test_what_is_pulled_from_the_space_serves_its_models(
    models: Path, alice: dict[str, str], bob: dict[str, str], hub_server: HubServer, tmp_path: Path
) -> None:
    """One model goes along, the other one is fetched from the Hub; a second push removes what it no longer has."""
    run_client(["-m", "img2img_hub", "push-model", models / "dots", "--repo_id", "alice/dots"], alice)
    push = ["-m", "img2img_hub", "push-space", "alice/show", "--title", "Show"]
    run_client([*push, "--models", models], alice)
    notes = "from huggingface_hub import HfApi; HfApi().upload_file(path_or_fileobj=b'mine', path_in_repo='notes.txt', "
    run_client(notes + "repo_id='alice/show', repo_type='space')", alice)
    done = run_client([*push, "--models", models / "stripes", "alice/dots"], alice)
    assert done.stdout.strip() == f"pushed to {hub_server.url}/spaces/alice/show"
    files = hub_server.repo("alice/show", "spaces").resolve("main").files
    assert "notes.txt" in files
    assert not any(name.startswith("model_cards/dots") for name in files)

    pull = "from huggingface_hub import snapshot_download; print(snapshot_download('alice/show', repo_type='space', "
    run_client(f"{pull}local_dir={str(tmp_path / 'pulled')!r}))", bob)
    check = "import img2img_hub, sys; print(img2img_hub.__file__)"
    env = {key: value for key, value in bob.items() if key not in ("PYTHONPATH", "IMG2IMG_MODELS")}
    there = subprocess.run(
        [sys.executable, "-c", check], cwd=tmp_path / "pulled", env=env, capture_output=True, text=True, check=True
    )
    assert there.stdout.startswith(str(tmp_path / "pulled")), "the pulled package serves, not this checkout"
    picture((64, 48)).save(tmp_path / "in.png")
    hub = {key: value for key, value in env.items() if key.startswith("HF_")} | {"HF_HUB_OFFLINE": "0"}
    with serve(None, folder=tmp_path, app=tmp_path / "pulled/app.py", env=hub) as url:
        client = Client(url, verbose=False)
        for key, local in (("stripes", models / "stripes"), ("alice/dots", models / "dots")):
            _, png, _ = client.predict(key, handle_file(tmp_path / "in.png"), "fit", api_name="/translate")
            wanted = Translator.from_pretrained(local)(tmp_path / "in.png", resize="fit")
            assert Image.open(png).tobytes() == wanted.tobytes()
