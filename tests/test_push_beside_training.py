"""A whole run that pushes on the way, from the first step to a stop, and the run that goes on from there.

python -m pytest tests/test_push_beside_training.py
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from img2img_hub import Translator, UNetGenerator
from img2img_hub.translation.settings import TranslationSettings
from tests.hub import HubServer, run_client
from tests.hub.cards import check_card
from tests.hub.client import ROOT
from tests.hub.fixtures import ALICE

SMALL = ["--image_size", "16", "--width", "4", "--discriminator_layers", "1", "--cpu", "--cpu_threads", "1"]
SMALL += ["--num_workers", "0", "--side_by_side", "--num_samples", "1", "--log_steps", "1", "--license", "mit"]
PUSH = ["--push_to_hub", "--hub_model_id", "alice/maps", "--push_every", "5"]


@contextmanager
def training(*arguments: str, env: dict[str, str], cwd: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A run, and what it has said so far, line by line."""
    command = [sys.executable, str(ROOT / "train_accelerate.py"), "pix2pix", *SMALL, *arguments]
    said: list[str] = []
    run = subprocess.Popen(command, env=env, cwd=cwd, stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    reader = threading.Thread(target=lambda: said.extend(line.rstrip() for line in run.stderr))  # type: ignore[union-attr]
    reader.start()
    try:
        yield run, said
    finally:
        run.kill()
        run.wait()
        reader.join()
        run.stderr.close()


def wait_until(condition: Callable[[], object], said: list[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "\n".join(said)
        time.sleep(0.02)


def step_of(run: Path) -> int:
    complete = (run / "metrics.jsonl").read_text().rpartition("\n")[0]
    return json.loads(complete.splitlines()[-1])["step"]


def titles(server: HubServer) -> list[str]:
    repo = server.repo("alice/maps")
    return [commit.title for commit in repo.history(repo.resolve("main"))]


def test_a_run_pushes_on_the_way_and_loses_no_step_to_a_hub_that_fails(
    alice: dict[str, str], hub_server: HubServer, paired_folder: Path, tmp_path: Path
) -> None:
    env = alice | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    folder = tmp_path / "run"
    arguments = ["--dataset", str(paired_folder), "--output_dir", str(folder), "--max_steps", "100000", *PUSH]
    with training(*arguments, env=env, cwd=tmp_path) as (run, said):
        # The generators as they stand, and a card that says so.
        wait_until(lambda: any("Pushed step" in line for line in said), said)
        commit = hub_server.repo("alice/maps").resolve("main")
        step = int(commit.title.removeprefix("Step ").removesuffix(" of 100000"))
        assert step % 5 == 0
        card = hub_server.read("alice/maps", "README.md", revision=commit.id).decode()
        assert check_card(card, "model") == ([], [])
        assert f"step {step:,} of 100,000" in card
        assert "model-index" not in card
        for name in commit.files:
            (tmp_path / "pulled" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "pulled" / name).write_bytes(hub_server.read("alice/maps", name, revision=commit.id))
        assert Translator.from_pretrained(tmp_path / "pulled").settings.working_size == 16
        # The token is revoked: a line, and the training goes on.
        hub_server.revoke(ALICE)
        wait_until(lambda: any("401 Unauthorized" in line for line in said), said)
        (line, *_) = [line for line in said if "401 Unauthorized" in line]
        assert "is not pushed to alice/maps (" in line
        assert line.endswith("The training goes on.")
        # It comes again and the Hub hangs: steps are made all the while, and a stop is not held.
        hub_server.add_user("alice", ALICE)
        hub_server.fail_next("POST .*/preupload/", "timeout", times=10_000)
        before = len(hub_server.requests)
        wait_until(lambda: any("/preupload/" in request for request in hub_server.requests[before:]), said)
        reached = step_of(folder)
        wait_until(lambda: step_of(folder) > reached + 20, said)
        pushing = [p for p in psutil.Process(run.pid).children() if "img2img_hub.hub.pushing.process" in p.cmdline()]
        run.send_signal(signal.SIGTERM)
        assert run.wait(timeout=60) == 128 + signal.SIGTERM
        wait_until(lambda: any("Stopped at step" in line for line in said), said)
    assert any("was broken off" in line for line in said)
    assert not (folder / ".push").exists()
    assert len(pushing) == 1
    assert not pushing[0].is_running()
    stopped_at = step_of(folder)
    assert (folder / f"checkpoints/step-{stopped_at}").is_dir()
    # It is resumed while the Hub is down, which comes back in time for the end.
    hub_server.faults.clear()
    hub_server.fail_next("POST /api/repos/create", 503, times=4)
    arguments[arguments.index("100000")] = str(stopped_at + 2)
    done = run_client([ROOT / "train_accelerate.py", "pix2pix", *SMALL, *arguments, "--resume"], env, cwd=tmp_path)
    assert "The Hub did not confirm that you may write there (the Hub answered 503" in done.stderr
    assert "Pushed to" in done.stderr
    assert titles(hub_server)[0] == "Upload the generator"
    assert "the training goes on" not in hub_server.read("alice/maps", "README.md").decode()
    assert hub_server.read("alice/maps", "model.safetensors") == (folder / "model.safetensors").read_bytes()


def test_a_push_while_a_model_is_loaded_gives_no_mixture(
    alice: dict[str, str], hub_server: HubServer, tmp_path: Path
) -> None:
    """The config of one commit with the weights or the settings of the next would be refused, or worse, fit."""
    storage = hub_server.hub.storage

    def commit(repo_id: str, width: int) -> None:
        folder = tmp_path / f"{repo_id} {width}"
        UNetGenerator(levels=4, width=width).save_pretrained(folder)
        TranslationSettings(working_size=4 * width).save(folder)
        repo = hub_server.repo(repo_id)
        files = {path.name: storage.add_bytes(path.read_bytes()) for path in folder.iterdir()}
        head = repo.resolve("main").id
        repo.add_commit("refs/heads/main", files=files, title="new", message="", author="alice", parent=head)

    for name in ("alice/network", "alice/translator"):
        storage.create("models", name, author="alice", private=False)
        commit(name, 4)
    hub_server.before_next("HEAD /alice/network/.*/model.safetensors", lambda: commit("alice/network", 8))
    hub_server.before_next("HEAD /alice/translator/.*/translation.json", lambda: commit("alice/translator", 8))
    load = """
    from img2img_hub import Network, Translator
    for options in ({}, {"local_files_only": True}):
        network, translator = (
            cls.from_pretrained(f"alice/{cls.__name__.lower()}", **options) for cls in (Network, Translator)
        )
        assert network.config["width"] == 4
        assert (translator.network.config["width"], translator.settings.working_size) == (4, 16)
    assert Translator.from_pretrained("alice/translator").settings.working_size == 32
    """
    run_client(load, alice)
    assert not hub_server.faults.left()
