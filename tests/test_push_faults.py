"""Pushing to a Hub that fails, hangs, refuses or forgets to answer: python -m pytest tests/test_push_faults.py

Every push is the real client's, in the process of its own that runs push by; only the patience is short.
"""

import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from img2img_hub.hub.pushing.patience import HubTrouble, Patience, patiently
from img2img_hub.hub.pushing.process import CallFailed, ProcessCall
from tests.hub import HubServer, run_client
from tests.hub.faults import Fault
from tests.hub.fixtures import ALICE
from tests.pushing import SHORT, SHORTEST, count, generator, titles, wait_until


def push(folder: Path, *, patience: Patience = SHORT, repo_id: str = "alice/maps") -> str:
    return ProcessCall("push_folder", patience=patience, folder=str(folder), repo_id=repo_id).result()


def refused(folder: Path, *, patience: Patience = SHORT, repo_id: str = "alice/maps") -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        push(folder, patience=patience, repo_id=repo_id)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "faults",
    [
        {
            "POST /api/repos/create": 500,
            "GET /api/models/alice/maps$": 503,
            "(HEAD|GET) .*/README.md": 504,
            "POST /api/validate-yaml": "cut",
            "POST .*/preupload/": 429,
            "POST .*/objects/batch": 502,
            "PUT /_lfs/": "drop",
            "POST .*/objects/verify": 500,
            "POST .*/commit/": 520,
        },
        {"PUT /_lfs/": "lost", "POST .*/commit/": "lost"},
        {"PUT /_lfs/": "cut", "POST .*/commit/": "cut"},
    ],
    ids=["each request fails once", "answers are lost", "answers are cut"],
)
def test_failures_that_pass_cost_neither_the_push_nor_a_second_commit(
    faults: dict[str, Fault], as_alice: None, hub_server: HubServer, tmp_path: Path
) -> None:
    folder = generator(tmp_path / "run")
    (folder / "README.md").write_text("---\nlicense:   mit\n---\n# By hand\n")  # which merging would write anew
    for pattern, fault in faults.items():
        hub_server.fail_next(pattern, fault, headers={"Retry-After": "0"})
    assert push(folder) == f"{hub_server.url}/alice/maps"
    assert not hub_server.faults.left()
    assert titles(hub_server) == ["Upload the generator", "initial commit"]
    for name in ("README.md", "config.json", "model.safetensors", "training/discriminator/model.safetensors"):
        assert hub_server.read("alice/maps", name) == (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("request_", "fault", "says"),
    [
        ("PUT /_lfs/", 500, "the Hub answered 500 Internal Server Error (Planned fault 500) to PUT http://"),
        ("PUT /_lfs/", "timeout", "no answer for 0.7 s to PUT http://"),
        ("GET /api/models/alice/maps", "timeout", "no answer for 0.7 s to GET http://"),
        ("", None, "the connection failed ([Errno 111] Connection refused): POST http://"),
    ],
)
def test_a_failure_that_lasts_is_told_when_patience_ends(
    request_: str, fault: Fault | None, says: str, as_alice: None, hub_server: HubServer, tmp_path: Path
) -> None:
    if fault is None:
        hub_server.stop()
    else:
        hub_server.fail_next(request_, fault, times=10_000)
    error = refused(generator(tmp_path / "run"), patience=SHORTEST)
    assert error.may_pass
    assert str(error).startswith(says)
    assert "signature=" not in str(error)
    tries = int(str(error).rsplit("; tried ", 1)[1].removesuffix(" times"))
    assert 2 <= tries < 20
    if fault is not None:
        assert count(hub_server, "POST /api/repos/create") == tries  # and no request is repeated in between
        assert titles(hub_server) == ["initial commit"]


@pytest.mark.parametrize(
    ("request_", "fault", "says"),
    [
        ("POST .*/commit/", 403, "Planned fault 403"),
        ("POST .*/preupload/", 404, "Planned fault 404"),
        ("PUT /_lfs/", 413, "413 Request Entity Too Large"),
        ("POST .*/commit/", "revoked", "Invalid credentials in Authorization header"),
        ("", "bad id", "'a/b/c' is not a repo id: write USER/NAME"),
    ],
)
def test_what_cannot_pass_is_tried_once(
    request_: str, fault: int | str, says: str, as_alice: None, hub_server: HubServer, tmp_path: Path
) -> None:
    folder = generator(tmp_path / "run")
    if fault == "revoked":
        hub_server.before_next(request_, lambda: hub_server.revoke(ALICE))
    elif isinstance(fault, int):
        hub_server.fail_next(request_, fault, times=10_000)
    error = refused(folder, repo_id="a/b/c" if fault == "bad id" else "alice/maps")
    assert not error.may_pass
    assert says in str(error)
    assert "tried" not in str(error)
    assert "developer.mozilla.org" not in str(error)
    assert "signature=" not in str(error)
    assert ALICE not in str(error)
    assert count(hub_server, "POST /api/repos/create") == (0 if fault == "bad id" else 1)


def test_a_hub_that_asks_for_more_time_than_there_is_is_not_waited_for(
    as_alice: None, hub_server: HubServer, tmp_path: Path
) -> None:
    hub_server.fail_next("POST .*/preupload/", 429, headers={"Retry-After": "3600"})
    hub_server.fail_next("POST .*/commit/", 429, headers={"RateLimit": '"api";r=0;t=7200'})
    folder = generator(tmp_path / "run")
    assert "429 Too Many Requests" in (said := str(refused(folder)))
    assert said.endswith("; it asks to wait 3600 s, tried once")
    assert str(refused(folder)).endswith("; it asks to wait 7201 s, tried once")
    push(folder)
    assert titles(hub_server) == ["Upload the generator", "initial commit"]


def test_what_somebody_writes_during_the_push_is_kept_by_the_next_try(
    as_alice: None, hub_server: HubServer, tmp_path: Path
) -> None:
    folder = generator(tmp_path / "run")

    def edit_the_card() -> None:
        repo, storage = hub_server.repo("alice/maps"), hub_server.hub.storage
        head = repo.resolve("main")
        files = {**head.files, "README.md": storage.add_bytes(b"# Mine\n")}
        repo.add_commit("refs/heads/main", files=files, title="Mine", message="", author="alice", parent=head.id)

    hub_server.before_next("POST .*/commit/", edit_the_card)
    push(folder)
    assert titles(hub_server) == ["Upload the generator", "Mine", "initial commit"]
    card = hub_server.read("alice/maps", "README.md").decode()
    assert "# Mine" in card
    assert "# maps" in card


def test_each_request_has_its_time_limit(alice: dict[str, str]) -> None:
    code = """
    from huggingface_hub import HfApi, get_session
    from img2img_hub.hub.pushing.patience import one_try_a_request

    one_try_a_request(silence=30)
    seen = []
    get_session().event_hooks["request"].append(lambda request: seen.append(request.extensions["timeout"]))
    HfApi().whoami()
    for limit in (None, 10, 100):
        get_session().get(HfApi().endpoint, timeout=limit)
    assert seen == [dict.fromkeys(("connect", "read", "write", "pool"), limit) for limit in (30, 30, 10, 30)], seen
    """
    run_client(code, alice)


def test_waits_grow_and_follow_what_the_hub_asks() -> None:
    failures = [HubTrouble("one"), HubTrouble("two", wait=0.3), HubTrouble("three"), HubTrouble("four")]
    waits: list[float] = []

    def call() -> str:
        if failures:
            raise failures.pop(0)
        return "done"

    patience = Patience(total=5, first_wait=0.01, longest_wait=0.03)
    assert patiently(call, patience=patience, on_failure=lambda reason, wait: waits.append(wait)) == "done"
    assert len(waits) == 4
    assert 0.005 < waits[0] < 0.015
    assert waits[1] == 0.3
    assert all(0.02 < wait < 0.04 for wait in waits[2:])
    with pytest.raises(ZeroDivisionError):  # what is no trouble of the Hub's comes through at once
        patiently(lambda: 1 / 0, patience=patience)


def test_work_does_not_use_patience_up_but_trouble_does() -> None:
    patience = Patience(total=0.15, silence=0.01, first_wait=0.01, longest_wait=0.01)
    failures = [HubTrouble("one"), HubTrouble("two")]

    def work() -> str:
        time.sleep(0.2)  # longer than all of the patience
        if failures:
            raise failures.pop()
        return "done"

    def fail() -> None:
        time.sleep(0.03)
        raise HubTrouble("always")

    assert patiently(work, patience=patience) == "done"
    # Of each try 0.01 s counts, and a wait of 0.0075 to 0.0125 s: the 7th to 9th brings that above 0.15 s.
    with pytest.raises(HubTrouble, match=r"; tried [789] times$"):
        patiently(fail, patience=patience)


def test_what_libraries_print_is_no_answer(
    as_alice: None, hub_server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line before the call begins, and half a line, as a library in C would print it, at each connection."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "print('Welcome!', 5, '5', sep='\\n', flush=True)\n"
        "sys.addaudithook(lambda event, _: event == 'socket.connect' and os.write(1, b'connecting: '))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert push(generator(tmp_path / "run")) == f"{hub_server.url}/alice/maps"


def test_without_a_folder_for_temporary_files_the_call_fails_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(CallFailed, match=r"no process could be started \(.*missing"):
        ProcessCall("check_push", name="maps")


def test_a_push_that_is_stopped_leaves_no_process(as_alice: None, hub_server: HubServer, tmp_path: Path) -> None:
    hub_server.fail_next("PUT /_lfs/", "timeout", times=10_000)
    push = ProcessCall("push_folder", folder=str(generator(tmp_path / "run")), repo_id="alice/maps")
    wait_until(lambda: count(hub_server, "PUT /_lfs/") == 2)
    threading.Timer(0.1, push.stop).start()
    with pytest.raises(CallFailed, match="it was stopped"):
        push.result()
    assert push._process.returncode == -signal.SIGKILL


def test_a_push_ends_with_the_run_that_was_killed(as_alice: None, hub_server: HubServer, tmp_path: Path) -> None:
    hub_server.fail_next("POST .*/commit/", "timeout", times=10_000)
    code = f"""
from img2img_hub.hub.pushing.process import ProcessCall
from img2img_hub.hub.pushing.patience import Patience
endless = Patience(silence=1000)
push = ProcessCall("push_folder", patience=endless, folder={str(generator(tmp_path / "run"))!r}, repo_id="alice/maps")
print(push._process.pid, flush=True)
push.result()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pushing = psutil.Process(int(run.stdout.readline()))
        wait_until(lambda: count(hub_server, "POST /api/models/alice/maps/commit/") == 1)
        run.kill()
    wait_until(lambda: not pushing.is_running() or pushing.status() == psutil.STATUS_ZOMBIE)


def test_pushing_needs_no_torch() -> None:
    """It would take seconds and a gigabyte from the training that goes on beside."""
    code = "import sys, img2img_hub.hub.pushing.process; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
