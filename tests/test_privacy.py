"""Private in, private out; and no place on this machine is published: python -m pytest tests/test_privacy.py

The data sets and models lie on the tests' own Hub; every push is the real client's.
"""

import json
import shlex
from pathlib import Path

import pytest

from img2img_hub.hub.card import CardFacts, render_model_card, with_short_paths
from img2img_hub.hub.local_paths import shortened, shortened_everywhere
from img2img_hub.hub.privacy import origin_of
from img2img_hub.hub.space import make_space
from tests.hub import HubServer, client_environment, run_client
from tests.hub.client import ROOT
from tests.hub.fixtures import ALICE, BOB
from tests.pushing import generator
from tests.runs import files

SMALL = ["--image_size", "16", "--width", "4", "--discriminator_layers", "1", "--max_steps", "1"]
SMALL += ["--cpu", "--cpu_threads", "1", "--num_workers", "0", "--license", "mit"]

PUSH_DATA = """
    import numpy as np
    from datasets import Dataset, DatasetDict, Features, Image
    from PIL import Image as Pictures

    def data(**seeds):
        noise = {k: np.random.default_rng(s).integers(0, 256, (3, 20, 24, 3), dtype=np.uint8) for k, s in seeds.items()}
        columns = {name: [Pictures.fromarray(each) for each in pictures] for name, pictures in noise.items()}
        return Dataset.from_dict(columns, features=Features({name: Image() for name in columns}))

    for name, private in (("open", False), ("secret", True), ("gated", False)):
        data(source=1, target=2).push_to_hub(f"alice/{name}", private=private)
        data(image=3).push_to_hub(f"alice/{name}-pictures", private=private)
"""


@pytest.fixture(scope="module")
def hub():
    with HubServer() as server:
        server.add_user("alice", ALICE)
        server.add_user("bob", BOB)
        yield server


@pytest.fixture(scope="module")
def alice(hub, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    env = client_environment(hub, ALICE, home) | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    run_client(PUSH_DATA, env)
    for name in ("gated", "gated-pictures"):
        hub.repo(f"alice/{name}", "datasets").gated = "auto"
    return env


def train(*words, env, cwd, family="pix2pix", check=True):
    return run_client([ROOT / "train_accelerate.py", family, *SMALL, *words], env, cwd=cwd, check=check)


def pushed_as(name):
    return ["--output_dir", f"runs/{name}", "--push_to_hub", "--hub_model_id", f"alice/{name}"]


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "typed", "private", "says"),
    [
        (
            "m1",
            "open",
            [],
            False,
            "public if it is new, with pictures of the data on its sample sheet. --hub_private True",
        ),
        (
            "m2",
            "gated",
            ["--push_every", "1", "--max_steps", "2"],
            True,
            "private, for the data set alice/gated is gated.",
        ),
        ("m3", "secret", ["--hub_private", "False"], False, "public if it is new, as --hub_private says."),
    ],
)
def test_a_model_is_as_private_as_its_data(hub, alice, tmp_path, name, data, typed, private, says):
    done = train("--dataset", f"alice/{data}", *pushed_as(name), *typed, env=alice, cwd=tmp_path)
    assert hub.repo(f"alice/{name}").private is private
    assert says in done.stderr
    config = json.loads(hub.read(f"alice/{name}", "training_config.json"))
    assert config["from_the_hub"] == {"datasets": [f"alice/{data}"], "models": []}
    settings = json.loads((tmp_path / f"runs/{name}/run.json").read_text())
    assert settings["training"]["hub_private"] is (False if "--hub_private" in typed else None)


def test_targets_from_a_private_set_count_too(hub, alice, tmp_path):
    sets = ["--dataset", "alice/open-pictures", "--target_dataset", "alice/secret-pictures", "--blocks", "1"]
    sets += ["--validation_split", "none"]
    train(*sets, *pushed_as("two-sets"), env=alice, cwd=tmp_path, family="cyclegan")
    assert hub.repo("alice/two-sets-source2target").private
    assert hub.repo("alice/two-sets-target2source").private


def test_a_model_of_a_private_model_is_private_over_any_number_of_runs(hub, alice, paired_folder, tmp_path):
    local = ["--dataset", paired_folder, "--side_by_side"]
    done = train("--dataset", "alice/secret", *pushed_as("grandmother"), env=alice, cwd=tmp_path)
    assert "private, for the data set alice/secret is private. --hub_private False would" in done.stderr
    start = ["--init_from", "alice/grandmother"]
    done = train(*local, *start, *pushed_as("mother"), env=alice, cwd=tmp_path)
    assert "private, for the model alice/grandmother is private" in done.stderr
    assert hub.repo("alice/mother").private
    # Over a local folder and a checkpoint, of runs that were never pushed; and resumed when those are gone.
    train(*local, "--init_from", "runs/grandmother", "--output_dir", "runs/b", env=alice, cwd=tmp_path)
    chain = [*local, "--init_from", "runs/b/checkpoints/step-1", *pushed_as("daughter")]
    hub.fail_next("POST /api/models/alice/daughter/commit", 403)
    done = train(*chain, env=alice, cwd=tmp_path, check=False)
    assert "private, for the data set alice/secret is private" in done.stderr
    (tmp_path / "runs/b").rename(tmp_path / "gone")
    done = train(*chain, "--resume", env=alice, cwd=tmp_path)
    assert "private, for the data set alice/secret is private" in done.stderr
    assert hub.repo("alice/daughter").private


def test_a_repo_that_is_public_already_is_refused_before_anything_is_trained(hub, alice, tmp_path):
    hub.hub.storage.create("models", "alice/known", author="alice", private=False)
    before = hub.repo("alice/known").resolve("main").id
    done = train("--dataset", "alice/secret", *pushed_as("known"), env=alice, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "alice/known is there already and public, but the data set alice/secret is private" in done.stderr
    assert not (tmp_path / "runs/known").exists()
    asked = "from img2img_hub.hub.pushing.account import create_repos as c; c(['alice/known'], datasets=[], models=[], "
    said = run_client(f"{asked}private=True)", alice, check=False).stderr
    assert "alice/known is there already and public, but it was to be private" in said
    run_client(f"{asked}private=False)", alice)
    assert hub.repo("alice/known").resolve("main").id == before


def test_data_that_the_hub_does_not_show_any_more_count_as_private(hub, alice, tmp_path):
    code = "from img2img_hub.hub.privacy import why_private; print(why_private(datasets=['alice/secret', 'x/none']))"
    bob = client_environment(hub, BOB, tmp_path / "bob")
    nobody = client_environment(hub, None, tmp_path / "nobody")
    for env in (bob, nobody):
        said = run_client(code, env).stdout
        assert "does not show the data set alice/secret any more, which may be private" in said
        assert "x/none" in said
    assert "alice/secret is private" in run_client(code, alice).stdout


# --- finished folders -------------------------------------------------------------------------------------------------


def made_of(folder, **origin):
    generator(folder)
    origin = {"datasets": [], "models": []} | origin
    (folder / "training_config.json").write_text(json.dumps({"from_the_hub": origin}))
    return folder


def test_a_finished_folder_is_pushed_as_private_as_its_data(hub, alice, tmp_path):
    push = ["-m", "img2img_hub", "push-model"]
    cases = {
        "p-secret": (["alice/secret"], [], True),
        "p-open": (["alice/open"], [], False),
        "p-said": (["alice/secret"], ["--public"], False),
        "p-asked": (["alice/open"], ["--private"], True),
    }
    for name, (datasets, flags, private) in cases.items():
        folder = made_of(tmp_path / name, datasets=datasets)
        done = run_client([*push, folder, "--repo_id", f"alice/{name}", *flags], alice)
        said = " (private, for the data set alice/secret is private)" if name == "p-secret" else ""
        assert done.stdout.strip() == f"pushed to {hub.url}/alice/{name}{said}"
        assert hub.repo(f"alice/{name}").private is private, name
    # Made public since by its owner: a new picture of the data does not follow without a word.
    hub.repo("alice/p-secret").private = False
    done = run_client([*push, tmp_path / "p-secret", "--repo_id", "alice/p-secret"], alice, check=False)
    assert done.returncode == 2
    assert "alice/p-secret is there already and public, but the data set alice/secret is private" in done.stderr
    both = run_client([*push, tmp_path / "p-open", "--repo_id", "alice/x", "--private", "--public"], alice, check=False)
    assert "--private and --public exclude each other" in both.stderr


def test_of_a_former_version_the_card_tells_the_data(hub, alice, tmp_path):
    folder = generator(tmp_path / "old")
    card = render_model_card(CardFacts(model_name="old", license="mit", datasets=("alice/secret",)))
    (folder / "README.md").write_text(card)
    for content in (None, "{", '{"data": {"dataset": "/home/alice/facades"}}', '{"from_the_hub": 3}'):
        if content is not None:
            (folder / "training_config.json").write_text(content)
        assert origin_of(folder) == {"datasets": ["alice/secret"], "models": []}
    (folder / "training_config.json").unlink()
    run_client(["-m", "img2img_hub", "push-model", folder, "--repo_id", "alice/old"], alice)
    assert hub.repo("alice/old").private
    for written in ("---\ntitle: a---\ndatasets: alice/secret\n---\n", "\ufeff---\r\ndatasets: [alice/secret]\r\n---"):
        (folder / "README.md").write_text(written, encoding="utf-8")
        assert origin_of(folder)["datasets"] == ["alice/secret"]
    (folder / "README.md").write_text("# No front matter\n\n---\n")
    assert origin_of(folder) == {"datasets": [], "models": []}


def test_a_space_is_as_private_as_its_models(hub, alice, tmp_path):
    secret, public = made_of(tmp_path / "s", datasets=["alice/secret"]), made_of(tmp_path / "o")
    hub.hub.storage.create("models", "alice/hidden", author="alice", private=True)
    push = ["-m", "img2img_hub", "push-space"]
    cases = {"s1": ([secret], True), "s2": ([public], False), "s3": ([public, "alice/hidden"], True)}
    for name, (models, private) in cases.items():
        done = run_client([*push, f"alice/{name}", "--models", *models], alice)
        assert ("(private, for the " in done.stdout) is private
        assert hub.repo(f"alice/{name}", "spaces").private is private, name
    done = run_client([*push, "alice/s2", "--models", secret], alice, check=False)
    assert "alice/s2 is there already and public, but the data set alice/secret is private" in done.stderr
    run_client([*push, "alice/s2", "--models", secret, "--public"], alice)


# --- local paths ------------------------------------------------------------------------------------------------------

PATHS = {
    "/home/alice/data/facades": "facades",
    "/home/alice/data/facades/": "facades",
    "/home/alice/two words/of a path": "of a path",
    "~/data/facades": "facades",
    "~alice/facades": "facades",
    "file:///home/alice/facades%20two": "facades two",
    "C:\\Users\\alice\\facades": "facades",
    "D:/alice/facades": "facades",
    "\\\\server\\alice\\facades": "facades",
    "--dataset=/home/alice/facades": "--dataset=facades",
    "a=/home/alice/x,b=/home/alice/y": "a=x,b=y",
    '{"data": "/home/alice/x", "n": 3}': '{"data": "x", "n": 3}',
    "@/home/alice/args.txt": "@args.txt",
    "host:/home/alice/x": "host:x",
    "../../secret-client/facades": "facades",
    "./../secret-client/facades": "facades",
    "..\\secret-client\\facades": "facades",
    "--cache_dir=../secret-client": "--cache_dir=secret-client",
    "a=../secret/x,b=y": "a=x,b=y",
    "/": ".",
}


@pytest.mark.parametrize("path", PATHS)
def test_of_local_paths_the_last_part_is_left(path):
    assert shortened(path) == PATHS[path]
    assert shortened(PATHS[path]) == PATHS[path], "once is enough"
    assert shortened_everywhere({"a": [path, 1, None, True]}) == {"a": [PATHS[path], 1, None, True]}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "alice/facades",
            "runs/facades",
            "./runs",
            "a..b/c",
            "2..3",
            "...",
            "https://example.com/a/b?c=/d",
            "hf://datasets/a/b",
            "and/or",
        ),
        *("--lambda_l1", "0.5", "", "-", "1 / 2", "http://127.0.0.1:8000/x", "s3://bucket/a", "label map", "~"),
    ],
)
def test_what_is_no_local_path_stays(text):
    assert shortened(text) == text


def test_nothing_that_is_published_names_a_place_on_this_machine(alice, hub, unpaired_folder, tmp_path):
    place = tmp_path / "home/alice secret"
    place.mkdir(parents=True)
    words = ["--dataset", unpaired_folder, "--blocks", "1", f"--cache_dir={place / 'cache'}"]
    words += ["--eval_every", "1", "--best_metric", "swd_target"]
    train(*words, "--output_dir", place / "first", env=alice, cwd=tmp_path, family="cyclegan")
    again = [*words, "--init_from", place / "first", "--output_dir", place / "run", "--push_every", "1"]
    again += ["--push_to_hub", "--hub_model_id", "alice/no-place", "--max_steps", "2"]
    train(*again, env=alice, cwd=tmp_path, family="cyclegan")
    published = [
        (f"{folder}/{name}", content)
        for folder in ("source2target", "target2source", "best")
        for name, content in files(place / "run" / folder).items()
    ]
    assert sum(name.endswith(("README.md", "training_config.json")) for name, _ in published) == 8
    on_the_hub = [
        (name, hub.read(repo.id, name, revision=commit))
        for repo in hub.hub.storage.repos("models")
        if repo.id.startswith("alice/no-place")
        for commit in repo.commits
        for name in repo.commits[commit].files
    ]
    assert len(on_the_hub) >= 16
    for name, content in [*published, *on_the_hub]:
        assert str(tmp_path).encode() not in content, name
        assert b"alice secret" not in content, name
    assert str(place) in (place / "run/run.json").read_text(), "which stays here"
    config = json.loads((place / "run/source2target/training_config.json").read_text())
    assert (config["training"]["output_dir"], config["training"]["init_from"]) == ("run", "first")
    assert (config["training"]["cache_dir"], config["data"]["dataset"]) == ("cache", "domains")


def test_folders_of_former_versions_are_pushed_without_their_paths(hub, alice, tmp_path):
    folder = generator(tmp_path / "old")
    words = ["accelerate", "launch", "train_accelerate.py", "--dataset", "/home/alice/my data", "--output_dir=/srv/run"]
    facts = CardFacts(model_name="old", license="mit", training_command=shlex.join(words))
    (folder / "README.md").write_text(render_model_card(facts) + "\nSee /srv/www, says Alice.\n")
    settings = {"data": {"dataset": "/home/alice/my data"}, "training": {"output_dir": "/srv/run", "cache_dir": None}}
    (folder / "training_config.json").write_text(json.dumps(settings))
    before = files(folder)
    run_client(["-m", "img2img_hub", "push-model", folder, "--repo_id", "alice/no-paths"], alice)
    card = hub.read("alice/no-paths", "README.md").decode()
    assert "\naccelerate launch train_accelerate.py --dataset 'my data' --output_dir=run\n" in card
    assert card.endswith("\nSee /srv/www, says Alice.\n"), "what people wrote is theirs"
    config = json.loads(hub.read("alice/no-paths", "training_config.json"))
    assert config == {
        "data": {"dataset": "my data"},
        "training": {"output_dir": "run", "cache_dir": None},
    }
    assert files(folder) == before
    assert with_short_paths(card) == card


def test_of_a_runs_folder_a_space_gets_the_model_alone(tmp_path: Path):
    folder = made_of(tmp_path / "run")
    for name in ("run.json", "data.json", "made.json", "finished.json", "my-notes.json"):
        (folder / name).write_text(json.dumps({"output_dir": "/home/alice/run"}))
    (folder / "training_config.json").write_text(json.dumps({"training": {"output_dir": "/home/alice/run"}}))
    (folder / "paint.json").write_text("{}")
    command = "python train_accelerate.py --output_dir /home/alice/run"
    card = render_model_card(CardFacts(model_name="run", license="mit", training_command=command))
    (folder / "README.md").write_text(card)
    space = make_space([folder], title="Mine")
    there = {name.removeprefix("model_cards/run/") for name in space.files if name.startswith("model_cards/run/")}
    known = {"README.md", "config.json", "model.safetensors", "translation.json"}
    assert there == known | {"training_config.json", "paint.json"}
    for name in sorted(there):
        content = space.files[f"model_cards/run/{name}"]
        assert b"/home/alice" not in (content if isinstance(content, bytes) else content.read_bytes()), name
