"""The whole path against the project's own Hub: data pushed, trained on by id, model pushed, pulled by id, shown.

    python -m pytest tests/test_whole_loop.py

Every client is a process of its own with the real huggingface_hub and datasets. One Hub and one run of each family
serve all tests of this file; what goes wrong on the way is in test_whole_loop_mistakes.py.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from PIL import Image
from safetensors.torch import load_file

from img2img_hub import Translator
from tests.browser.serving import ROOT, serve
from tests.hub import HubServer, client_environment, run_client
from tests.hub.cards import check_card, front_matter
from tests.hub.fixtures import ALICE, BOB
from tests.hub.server import stopped

SMALL = ["--image_size", "16", "--width", "4", "--discriminator_layers", "1", "--max_steps", "3"]
SMALL += ["--cpu", "--cpu_threads", "1", "--num_workers", "0"]
CYCLE = ["cyclegan", *SMALL, "--blocks", "1"]
GENERATOR = {".gitattributes", "README.md", "config.json", "model.safetensors", "sample_sheet.png"}
GENERATOR |= {"training_config.json", "translation.json"}

PUSH_DATA = """
    import numpy as np
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Image
    from PIL import Image as Pictures

    def pictures(seed, count):
        noise = np.random.default_rng(seed).integers(0, 256, (count, 20, 24, 3), dtype=np.uint8)
        return [Pictures.fromarray(each) for each in noise]

    def data(**columns):
        kinds = {name: Image() for name in columns} | ({"season": ClassLabel(names=["s", "w"])})
        return Dataset.from_dict(columns, features=Features({name: kinds[name] for name in columns}))

    splits = {"train": data(source=pictures(0, 5), target=pictures(1, 5))}
    DatasetDict(splits | {"test": data(source=pictures(2, 3), target=pictures(3, 3))}).push_to_hub("alice/pairs")
    splits = {name: data(image=pictures(seed, 3)) for seed, name in enumerate(["trainA", "trainB", "testA", "testB"])}
    DatasetDict(splits).push_to_hub("alice/domains", private=True)
    data(image=pictures(9, 8), season=["s", "w"] * 4).push_to_hub("alice/seasons")
"""

# Prints {name: a fingerprint of its outputs, as an image and as floats} as JSON.
FINGERPRINTS = """
import hashlib, json, sys
import torch
from img2img_hub import Translator

torch.set_num_threads(1)
batch = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1

def fingerprint(name):
    translator = Translator.from_pretrained(name)
    floats = translator.translate_tensor(batch)
    assert floats.std() > 1e-4  # a constant would equal too much
    return hashlib.sha256(translator(sys.argv[1]).tobytes() + floats.numpy().tobytes()).hexdigest()

print(json.dumps({name: fingerprint(name) for name in sys.argv[2:]}))
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_user("alice", ALICE)
        server.add_user("bob", BOB)
        yield server


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where alice works: her runs and a picture."""
    folder = tmp_path_factory.mktemp("alice")
    noise = np.random.default_rng(5).integers(0, 256, (45, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "picture.png")
    return folder


@pytest.fixture(scope="module")
def alice(hub: HubServer, place: Path) -> dict[str, str]:
    env = client_environment(hub, ALICE, place / "home") | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    run_client(PUSH_DATA, env)
    return env


def train(*arguments: str, place: Path, env: dict[str, str], check: bool = True) -> subprocess.CompletedProcess[str]:
    return run_client([ROOT / "train_accelerate.py", *arguments], env, cwd=place, check=check)


def fingerprints(*names: str, place: Path, env: dict[str, str]) -> dict[str, str]:
    """Of translators by Hub id, or by folder under `place`, as a new process sees them."""
    done = run_client(["-c", FINGERPRINTS, place / "picture.png", *names], env, cwd=place)
    return json.loads(done.stdout.splitlines()[-1])


TINY = ["pix2pix", *SMALL, "--dataset", "alice/pairs", "--output_dir", "runs/tiny"]
TINY += ["--push_to_hub", "--hub_model_id", "alice/tiny", "--license", "mit"]


@pytest.fixture(scope="module")
def tiny(alice: dict[str, str], place: Path) -> Path:
    """The output folder of a Pix2Pix run on alice/pairs, pushed as alice/tiny."""
    done = train(*TINY, place=place, env=alice)
    assert "Pushed to" in done.stderr
    assert ALICE not in done.stdout + done.stderr
    return place / "runs/tiny"


@pytest.fixture(scope="module")
def cycle(alice: dict[str, str], place: Path) -> Path:
    """The output folder of a CycleGAN run on the splits of alice/domains, pushed as alice/x-…"""
    data = ["--dataset", "alice/domains", "--output_dir", "runs/x"]
    train(*CYCLE, *data, "--push_to_hub", "--hub_model_id", "alice/x", place=place, env=alice)
    return place / "runs/x"


def pushed(hub: HubServer, repo_id: str) -> dict[str, bytes]:
    files = hub.repo(repo_id).resolve("main").files
    return {name: hub.read(repo_id, name) for name in files}


def final_numbers(run: Path) -> dict[str, float]:
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 3
    return {name.removeprefix("final/"): value for name, value in last.items() if name.startswith("final/")}


# --- pix2pix ----------------------------------------------------------------------------------------------------------


def test_a_pulled_model_translates_bit_for_bit_as_the_local_one_even_with_the_hub_gone(
    hub: HubServer, alice: dict[str, str], tiny: Path, place: Path, tmp_path: Path
) -> None:
    elsewhere = alice | {"HF_HOME": str(tmp_path)}  # nothing in the cache yet
    both = fingerprints("alice/tiny", "runs/tiny", place=place, env=elsewhere)
    assert both["alice/tiny"] == both["runs/tiny"]
    assert any(re.search(r"/alice/tiny/resolve/\w+/model\.safetensors", request) for request in hub.requests)
    with stopped(hub):
        for env in (elsewhere, elsewhere | {"HF_HUB_OFFLINE": "1"}):
            assert fingerprints("alice/tiny", place=place, env=env) == {"alice/tiny": both["runs/tiny"]}


def test_exactly_the_models_files_are_pushed_and_no_token_is_among_them(hub: HubServer, tiny: Path) -> None:
    files = pushed(hub, "alice/tiny")
    judge = {"training/discriminator/config.json", "training/discriminator/model.safetensors"}
    assert set(files) == GENERATOR | judge
    for name in set(files) - {".gitattributes", "README.md"}:
        assert files[name] == (tiny / name).read_bytes(), name
    assert files["README.md"].decode() == (tiny / "README.md").read_text()
    everything = [*files.values(), *(path.read_bytes() for path in tiny.rglob("*") if path.is_file())]
    assert not any(ALICE.encode() in content for content in everything)


def test_the_card_on_the_hub_tells_the_truth(hub: HubServer, tiny: Path) -> None:
    readme = hub.read("alice/tiny", "README.md")
    assert check_card(readme.decode(), "model") == ([], [])
    card = front_matter(readme)
    assert card["datasets"] == ["alice/pairs"]
    assert (card["library_name"], card["pipeline_tag"], card["license"]) == ("img2img_hub", "image-to-image", "mit")
    assert "pix2pix" in card["tags"]
    (results,) = [model["results"] for model in card["model-index"]]
    told = {metric["type"]: metric["value"] for result in results for metric in result["metrics"]}
    assert told == {name: pytest.approx(value, abs=1e-6) for name, value in final_numbers(tiny).items()}
    assert set(told) == {"l1", "psnr", "ssim", "ms_ssim", "swd_target"}
    assert {(result["dataset"]["name"], result["dataset"]["split"]) for result in results} == {("alice/pairs", "test")}
    assert f"\n{shlex.join(['python', 'train_accelerate.py', *TINY])}\n" in readme.decode()
    assert 'Translator.from_pretrained("alice/tiny")' in readme.decode()


def test_evaluating_the_pulled_model_gives_the_cards_numbers_again(
    alice: dict[str, str], tiny: Path, place: Path
) -> None:
    command = ["-m", "img2img_hub", "evaluate", "--model", "alice/tiny", "--dataset", "alice/pairs", "--split", "test"]
    report = json.loads(run_client(command, alice, cwd=place).stdout.splitlines()[-1])
    numbers = final_numbers(tiny)
    assert {name: report[name] for name in numbers} == pytest.approx(numbers, rel=1e-6)
    assert (report["num_images"], report["dataset"], report["image_size"]) == (3, "alice/pairs", 16)


def test_a_private_run_starts_from_the_hubs_weights_and_can_be_pushed_later(
    hub: HubServer, alice: dict[str, str], tiny: Path, place: Path
) -> None:
    folder = "runs/fine tuned"
    arguments = [*TINY[: TINY.index("--output_dir")], "--output_dir", folder, "--init_from", "alice/tiny"]
    arguments += ["--learning_rate", "1e-20", "--seed", "7"]
    arguments += ["--push_to_hub", "--hub_private", "True", "--hub_model_id", "alice/tuned"]
    hub.fail_next("POST /api/models/alice/tuned/commit", 403)
    done = train(*arguments, place=place, env=alice, check=False)
    assert done.returncode == 2
    assert "generator starts from alice/tiny" in done.stderr
    assert "discriminator starts from" in done.stderr
    for name in ("", "training/discriminator"):  # a step of 1e-20 changes no weight
        assert same_weights(place / folder / name, tiny / name)
    # The push failed: the run is there, and one line says how to push it.
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("train_accelerate.py: error:")]
    assert f"the run is finished and saved in {folder}, but pushing to alice/tuned failed (" in line
    assert "Planned fault 403" in line
    command = line.split("Push it later: ")[1]
    assert command == f"python -m img2img_hub push-model '{folder}' --repo_id alice/tuned --private"
    assert "alice/tuned" in run_client(shlex.split(command)[1:], alice, cwd=place).stdout
    assert hub.repo("alice/tuned").private
    assert hub.read("alice/tuned", "model.safetensors") == (place / folder / "model.safetensors").read_bytes()


def same_weights(first: Path, second: Path) -> bool:
    """Whether what is learnt is the same; the running averages of batch norm move in any case."""
    files = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    assert files[0].keys() == files[1].keys()
    learnt = [name for name in files[0] if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    assert len(learnt) >= 3
    return all(torch.allclose(files[0][name], files[1][name], atol=1e-9) for name in learnt)


# --- cyclegan ---------------------------------------------------------------------------------------------------------


def test_both_directions_are_pushed_and_find_each_other(
    hub: HubServer, alice: dict[str, str], cycle: Path, place: Path, tmp_path: Path
) -> None:
    ids = {"source2target": "alice/x-source2target", "target2source": "alice/x-target2source"}
    told = {}
    for (folder, repo_id), other in zip(ids.items(), reversed(ids.values()), strict=True):
        files = pushed(hub, repo_id)
        judge = f"training/discriminator_{folder.split('2')[1]}"
        assert set(files) == GENERATOR | {f"{judge}/config.json", f"{judge}/model.safetensors"}
        assert files["model.safetensors"] == (cycle / folder / "model.safetensors").read_bytes()
        assert json.loads(files["translation.json"])["reverse"] == other
        card = files["README.md"].decode()
        assert check_card(card, "model") == ([], [])
        assert f'The opposite direction: `Translator.from_pretrained("{other}")`' in card
        assert front_matter(files["README.md"])["datasets"] == ["alice/domains"]
        results = front_matter(files["README.md"])["model-index"][0]["results"]
        told[repo_id] = {metric["type"]: metric["value"] for result in results for metric in result["metrics"]}
    numbers = final_numbers(cycle)
    assert told[ids["source2target"]] == {name: pytest.approx(value, abs=1e-6) for name, value in numbers.items()}
    elsewhere = alice | {"HF_HOME": str(tmp_path)}
    names = [f"runs/x/{folder}" for folder in ids]
    found = fingerprints(*ids.values(), *names, place=place, env=elsewhere)
    assert [found[repo_id] for repo_id in ids.values()] == [found[name] for name in names]
    assert len(set(found.values())) == 2
    # The evaluation follows the name of the reverse, and prints what either card says, each seen from its own side.
    for folder, direction in (("source2target", "AtoB"), ("target2source", "BtoA")):
        command = ["-m", "img2img_hub", "evaluate", "--model", ids[folder], "--dataset", "alice/domains"]
        done = run_client([*command, "--split", "test", "--direction", direction], elsewhere, cwd=place)
        other = next(repo_id for name, repo_id in ids.items() if name != folder)
        assert f"\nmodel{' ' * 13}{other}: cyclegan ResNetGenerator" in done.stdout
        assert "warning" not in done.stderr
        report = json.loads(done.stdout.splitlines()[-1])
        assert {name: report[name] for name in told[ids[folder]]} == pytest.approx(told[ids[folder]], abs=1e-6)


def test_both_directions_and_discriminators_start_from_the_hub_on_data_told_apart_by_labels(
    alice: dict[str, str], cycle: Path, place: Path
) -> None:
    labels = ["--label_column", "season", "--source_label", "w", "--target_label", "s"]
    arguments = [*CYCLE, "--dataset", "alice/seasons", *labels, "--output_dir", "runs/y", "--init_from", "alice/x"]
    done = train(*arguments, "--learning_rate", "1e-20", "--seed", "7", place=place, env=alice)
    assert done.stderr.count("starts from ") == 4
    for folder, judge in (("source2target", "discriminator_target"), ("target2source", "discriminator_source")):
        assert f"{folder} starts from alice/x-{folder}" in done.stderr.replace("generator_", "")
        assert same_weights(place / "runs/y" / folder, cycle / folder)
        assert same_weights(place / "runs/y" / folder / "training" / judge, cycle / folder / "training" / judge)


# --- the web page -----------------------------------------------------------------------------------------------------


def test_the_page_offers_a_model_from_the_hub(
    hub: HubServer, tiny: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in client_environment(hub, None, tmp_path).items():
        if name.startswith("HF_"):
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with serve("alice/tiny", folder=tmp_path) as address:
        client = Client(address, verbose=False, download_files=str(tmp_path / "got"), analytics_enabled=False)
        _, download, line = client.predict(
            "alice/tiny", handle_file(str(place / "picture.png")), "fit", api_name="/translate"
        )
    expected = Translator.from_pretrained(tiny)(place / "picture.png", resize="fit")
    assert np.allclose(np.asarray(Image.open(download)), np.asarray(expected), atol=1)
    assert "30 × 45 px" in line
