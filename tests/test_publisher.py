"""Pushing beside a training, and what is asked before it: python -m pytest tests/test_publisher.py"""

import json
import os
import re
import shlex
import signal
import threading
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
from accelerate import Accelerator

from img2img_hub import CycleGAN, Pix2Pix, TrainConfig
from img2img_hub.hub.pushing.patience import Patience
from img2img_hub.training.results.push import Publisher, create_repos, find_repo_ids
from tests.hub import HubServer, run_client
from tests.hub.fixtures import ALICE, ALICE_READS
from tests.pushing import SHORT, SHORTEST, count, generator, titles, wait_until

# --- beside the training ----------------------------------------------------------------------------------------------


class Run:
    """A run's folder, its publisher and what it said."""

    def __init__(self, root: Path, *folders: str, patience: Patience = SHORT, **options: Any) -> None:
        self.root, self.folders = root, folders or ("",)
        self.said: list[str] = []
        ids = {folder: f"alice/x-{folder}" if folder else "alice/maps" for folder in self.folders}
        config = TrainConfig(output_dir=str(root), push_to_hub=True, **options)
        self.publisher = Publisher(root, ids, config=config, say=self.said.append, patience=patience)

    def offer(self, step: int) -> None:
        def write(destination: Path) -> None:
            for folder in self.folders:
                generator(destination / folder, name=f"step {step}", weights=f"step {step} {folder}".encode())

        self.publisher.offer(write, step=step, total_steps=9)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.publisher.close()

    def finish(self) -> None:
        for folder in self.folders:
            if not (self.root / folder / "config.json").exists():
                generator(self.root / folder, name="finished", weights=f"finished {folder}".encode())
        self.publisher.finish()

    def snapshots(self) -> set[str]:
        return {path.name for path in self.root.glob(".push/*")}


def test_while_one_snapshot_is_pushed_the_newest_waits(as_alice: None, hub_server: HubServer, tmp_path: Path) -> None:
    goes_on = threading.Event()
    hub_server.before_next("POST .*/commit/", lambda: goes_on.wait(60))  # the whole Hub stands still
    with Run(tmp_path / "run", patience=Patience()) as run:
        run.offer(1)
        wait_until(lambda: count(hub_server, "POST /api/models/alice/maps/commit/") == 1)
        for step in (2, 3, 4):
            run.offer(step)  # and the training goes on
        assert run.snapshots() == {"step-1", "step-4"}
        goes_on.set()
        wait_until(lambda: len(run.said) == 2 and not run.snapshots())
    assert run.said == [f"Pushed step {step} to {hub_server.url}/alice/maps" for step in (1, 4)]
    assert titles(hub_server) == ["Step 4 of 9", "Step 1 of 9", "initial commit"]
    assert hub_server.read("alice/maps", "model.safetensors").startswith(b"step 4")
    assert "# step 4" in hub_server.read("alice/maps", "README.md").decode()
    assert not (tmp_path / "run/.push").exists()


def test_snapshots_that_fail_are_a_line_each_and_the_end_has_the_command(
    as_alice: None, hub_server: HubServer, tmp_path: Path
) -> None:
    hub_server.fail_next("POST .*/commit/", 500, times=10_000)
    with Run(tmp_path / "my run", patience=SHORTEST, hub_private=True) as run:
        run.offer(1)
        wait_until(lambda: len(run.said) == 1 and not run.snapshots())
        hub_server.faults.clear()
        hub_server.revoke(ALICE)
        run.offer(2)
        wait_until(lambda: len(run.said) == 2 and not run.snapshots())
        run.publisher.offer(lambda folder: (_ for _ in ()).throw(OSError("no space left")), step=3, total_steps=9)
        with pytest.raises(ValueError, match="the run is finished and saved in") as caught:
            run.finish()
    assert run.said[0].startswith("Step 1 is not pushed to alice/maps (the Hub answered 500 Internal Server Error")
    assert run.said[1].startswith("Step 2 is not pushed to alice/maps (Client error '401 Unauthorized'")
    assert run.said[2] == (
        "Step 3 is not pushed: its snapshot cannot be written (no space left). The training goes on."
    )
    assert all(line.endswith("The training goes on.") and "\n" not in line for line in run.said)
    assert titles(hub_server) == ["initial commit"]
    # A new token later, and the command as it was printed.
    hub_server.add_user("alice", ALICE)
    said, command = str(caught.value).split("Push it later: ")
    assert "but pushing to alice/maps failed (Client error '401 Unauthorized'" in said
    assert command == f"python -m img2img_hub push-model '{run.root}' --repo_id alice/maps --private"
    run_client(shlex.split(command)[1:], dict(os.environ))
    assert hub_server.read("alice/maps", "model.safetensors").startswith(b"finished")
    assert hub_server.repo("alice/maps").private


def test_the_finished_generators_do_not_wait_for_a_snapshot_that_hangs(
    as_alice: None, hub_server: HubServer, tmp_path: Path
) -> None:
    hub_server.fail_next("PUT /_lfs/", "timeout", times=2)
    with Run(tmp_path / "run", patience=Patience()) as run:
        run.offer(5)
        wait_until(lambda: count(hub_server, "PUT /_lfs/") == 2)
        run.finish()
    assert run.said == [
        "The push of step 5 to alice/maps was broken off.",
        f"Pushed to {hub_server.url}/alice/maps",
    ]
    assert titles(hub_server) == ["Upload the generator", "initial commit"]


def test_a_run_that_stops_does_not_wait_for_a_hub_that_hangs(
    as_alice: None, hub_server: HubServer, tmp_path: Path
) -> None:
    hub_server.fail_next("PUT /_lfs/", "timeout", times=10_000)
    with Run(tmp_path / "run", patience=Patience()) as run:
        run.offer(5)
        wait_until(lambda: count(hub_server, "PUT /_lfs/") == 2)
        children = psutil.Process().children()
        run.offer(6)
    assert run.said == ["The push of step 5 to alice/maps was broken off."]
    assert not any(child.is_running() and "img2img_hub.hub.pushing.process" in child.cmdline() for child in children)
    assert not (run.root / ".push").exists()
    run.offer(7)  # after the end nothing begins anew
    assert not (run.root / ".push").exists()


def test_ctrl_c_in_the_last_push_tells_how_to_push_later(as_alice: None, hub_server: HubServer, tmp_path: Path) -> None:
    hub_server.before_next("POST .*/preupload/", lambda: os.kill(os.getpid(), signal.SIGINT))
    hub_server.fail_next("POST .*/commit/", "timeout")
    with (
        Run(tmp_path / "run") as run,
        pytest.raises(ValueError, match=r"alice/maps failed \(stopped by Ctrl-C\)\. Push it later: python -m"),
    ):
        run.finish()


BOTH = ("source2target", "target2source")
NOTHING: dict[str, list[str]] = {"datasets": [], "models": []}  # of the Hub is in the run


def test_of_two_generators_only_the_one_that_failed_is_left_to_push(
    as_alice: None, hub_server: HubServer, tmp_path: Path
) -> None:
    with Run(tmp_path / "run", *BOTH) as run:
        run.offer(1)
        wait_until(lambda: len(run.said) == 2)
        assert run.said == [f"Pushed step 1 to {hub_server.url}/alice/x-{folder}" for folder in BOTH]
        hub_server.fail_next("POST .*x-source2target/commit/", 403)
        with pytest.raises(ValueError, match="saved in") as caught:
            run.finish()
    push_later = f"python -m img2img_hub push-model {run.root}/source2target --repo_id alice/x-source2target"
    assert str(caught.value).split("Push it later: ")[1] == push_later
    assert titles(hub_server, "alice/x-source2target") == ["Step 1 of 9", "initial commit"]
    assert titles(hub_server, "alice/x-target2source") == ["Upload the generator", "Step 1 of 9", "initial commit"]


def test_two_generators_do_not_wait_twice_for_a_hub_that_is_gone(
    as_alice: None, hub_server: HubServer, tmp_path: Path
) -> None:
    hub_server.stop()
    with Run(tmp_path / "run", *BOTH, patience=SHORTEST) as run, pytest.raises(ValueError, match="saved in") as caught:
        run.finish()
    commands = str(caught.value).split("Push it later: ")[1].split("; ")
    assert [command.split()[-1] for command in commands] == [f"alice/x-{folder}" for folder in BOTH]
    assert str(caught.value).count("Connection refused") == 1


# --- before the training ----------------------------------------------------------------------------------------------


@pytest.fixture
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def config(tmp_path: Path, **options: Any) -> TrainConfig:
    return TrainConfig(output_dir=str(tmp_path / "run"), push_to_hub=True, **{"license": "mit", **options})


def test_the_repos_are_named_in_full_and_made_when_all_is_in_order(
    as_alice: None, hub_server: HubServer, tmp_path: Path, accelerator: Accelerator
) -> None:
    hub_server.add_organization("lab", alice="contributor")
    found = find_repo_ids(Pix2Pix(), config(tmp_path), accelerator)
    assert found == {"": "alice/run"}
    options = config(tmp_path, hub_model_id="lab/x", hub_private=True, license="other", license_name="cmp")
    hub_server.fail_next("GET /api/whoami-v2", 500)  # a hiccup is no reason to refuse
    found = find_repo_ids(CycleGAN(), options, accelerator)
    assert found == {folder: f"lab/x-{folder}" for folder in BOTH}
    assert not hub_server.hub.storage.repos("models")
    assert create_repos(found, options, accelerator, origin=NOTHING) == [
        "lab/x-source2target, lab/x-target2source: private if it is new, as --hub_private says."
    ]
    create_repos(found, options, accelerator, origin=NOTHING)
    assert [(repo.id, repo.private) for repo in hub_server.hub.storage.repos("models")] == [
        ("lab/x-source2target", True),
        ("lab/x-target2source", True),
    ]
    assert find_repo_ids(Pix2Pix(), TrainConfig(output_dir="run"), accelerator) == {}
    assert create_repos({}, options, accelerator, origin=NOTHING) == []


def test_what_the_hub_would_refuse_at_the_end_is_refused_at_the_start(
    as_alice: None, hub_server: HubServer, tmp_path: Path, accelerator: Accelerator
) -> None:
    with pytest.raises(ValueError, match=re.escape('--push_to_hub: the Hub refuses --license free ("license" must be')):
        find_repo_ids(Pix2Pix(), config(tmp_path, license="free"), accelerator)
    assert not hub_server.hub.storage.repos("models")


def test_who_may_not_push_and_what_a_card_may_not_say(alice: dict[str, str], hub_server: HubServer) -> None:
    hub_server.add_organization("lab", alice="read", bob="admin")
    hub_server.add_organization("Club", alice="contributor")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"name": "x"}, "alice/x"),
        ({"name": "Alice/x", "license": "other", "license_name": "cmp"}, "Alice/x"),
        ({"name": "club/x", "license": "mit"}, "club/x"),
        ({"name": "bob/x"}, "alice may not write to bob: name a repo of your own, such as alice/NAME or one of your "),
        ({"name": "lab/x"}, "alice can only read in the organisation lab: ask for the write role there"),
        ({"name": "x", "token": ALICE_READS}, "the token of alice can only read: log in with one that has the write"),
        ({"name": "x", "token": "hf_wrong"}, "the Hub did not confirm who you are (Invalid user token"),
        ({"name": "x", "license": "free"}, 'the Hub refuses --license free ("license" must be one of ['),
        ({"name": "x", "license": "other", "license_name": "My own"}, 'the Hub refuses --license other ("license_name'),
    ]
    code = f"""
import json
from img2img_hub.hub.pushing.account import check_push
for arguments, _ in {cases!r}:
    try:
        print(json.dumps(check_push(**arguments)))
    except ValueError as error:
        print(json.dumps(str(error)))
"""
    answers = [json.loads(line) for line in run_client(code, alice).stdout.splitlines()]
    assert len(answers) == len(cases)
    for answer, (_, says) in zip(answers, cases, strict=True):
        assert answer.startswith(says)
        assert len(answer) < 450


def test_rights_that_only_writing_shows_are_refused_when_the_repo_is_made(
    as_alice: None, hub_server: HubServer, tmp_path: Path, accelerator: Accelerator
) -> None:
    hub_server.fail_next("POST /api/repos/create", 403)
    hub_server.fail_next("GET /api/models/alice/x", 403)  # the client looks whether it is there
    with pytest.raises(ValueError, match=r"--push_to_hub: .*Planned fault 403"):
        create_repos({"": "alice/x"}, config(tmp_path), accelerator, origin=NOTHING)


def test_a_hub_that_fails_stops_a_new_run_and_not_one_that_resumes(
    as_alice: None,
    hub_server: HubServer,
    tmp_path: Path,
    accelerator: Accelerator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub_server.fail_next(".*", 503, times=10_000)
    few = Patience(total=0.1, first_wait=0.05)
    with pytest.raises(ValueError, match=r"--push_to_hub: the Hub did not confirm who you are \(the Hub answered 503 "):
        find_repo_ids(Pix2Pix(), config(tmp_path), accelerator, patience=few)
    with pytest.raises(ValueError, match=r"--push_to_hub: the Hub did not confirm that you may write there \("):
        create_repos({"": "alice/x"}, config(tmp_path), accelerator, origin=NOTHING, patience=few)
    resumes = config(tmp_path, resume=True, hub_model_id="alice/x")
    assert find_repo_ids(Pix2Pix(), resumes, accelerator, patience=few) == {"": "alice/x"}
    assert create_repos({"": "alice/x"}, resumes, accelerator, origin=NOTHING, patience=few) == []
    lines = capsys.readouterr().err.splitlines()
    tries = [line for line in lines if line.startswith("The Hub: the Hub answered 503 ")]
    assert len(tries) >= 4, "each wait is told, from the first one on"
    assert all(re.search(r"\. The next try is in 0 s\.$", line) for line in tries)
    assert [line.split(" (")[0] for line in lines if line not in tries] == [
        "The Hub did not confirm who you are",
        "The Hub did not confirm that you may write there",
    ]
    with pytest.raises(ValueError, match="write the name in full, --hub_model_id USER/run"):
        find_repo_ids(Pix2Pix(), config(tmp_path, resume=True), accelerator, patience=few)
