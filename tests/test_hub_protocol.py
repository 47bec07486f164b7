"""What goes over the wire between clients and the local Hub, seen without a client's kindness, and the Hub run by hand:

python -m pytest tests/test_hub_protocol.py
"""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.hub import HubServer, client_environment, run_client
from tests.hub.cards import check_card
from tests.hub.fixtures import ALICE

CARD = "---\nlicense: mit\n---\n# Maps\n"


@pytest.fixture
def http(hub_server: HubServer) -> Iterator[httpx.Client]:
    """A bare HTTP client, for what huggingface_hub does not show."""
    with httpx.Client(base_url=hub_server.url, trust_env=False) as client:
        yield client


@pytest.fixture
def model(hub_server: HubServer) -> str:
    """alice/model with README.md (a regular file) and weights.bin (LFS, 100,000 bytes), put there without a client."""
    storage = hub_server.hub.storage
    repo = storage.create("models", "alice/model", author="alice", private=False)
    weights = storage.add_bytes(bytes(range(250)) * 400)
    files = {"README.md": storage.add_bytes(CARD.encode()), "weights.bin": storage.lfs_file(weights.sha256)}
    head = repo.resolve("main").id
    repo.add_commit("refs/heads/main", files=files, title="first", message="", author="alice", parent=head)
    storage.save(repo)
    return repo.id


def test_a_range_is_answered_206_also_for_large_files(model: str, http: httpx.Client) -> None:
    readme = http.get(f"/{model}/resolve/main/README.md", headers={"Range": "bytes=4-10"})
    assert (readme.status_code, readme.text) == (206, "license")
    assert readme.headers["content-range"] == f"bytes 4-10/{len(CARD)}"
    redirect = http.get(f"/{model}/resolve/main/weights.bin", headers={"Range": "bytes=99998-"})
    weights = http.get(redirect.headers["location"], headers={"Range": "bytes=99998-"})
    assert (weights.status_code, weights.content) == (206, bytes([248, 249]))


def test_large_files_live_on_another_origin_that_no_token_reaches(model: str, http: httpx.Client) -> None:
    head = http.head(f"/{model}/resolve/main/weights.bin")
    location = httpx.URL(head.headers["location"])
    assert head.status_code == 302
    assert head.headers["x-linked-size"] == "100000"
    assert (http.base_url.host, location.host, location.port) == ("127.0.0.1", "localhost", http.base_url.port)
    assert http.get(location, headers={"Authorization": f"Bearer {ALICE}"}).status_code == 400
    assert http.get(location.copy_set_param("signature", "0" * 64)).status_code == 403
    assert http.put(location, content=b"other").status_code == 403  # signed for GET only


def test_errors_carry_the_headers_that_clients_read(model: str, http: httpx.Client, hub_server: HubServer) -> None:
    commit = hub_server.repo(model).resolve("main").id
    missing = http.head(f"/{model}/resolve/main/missing.txt")
    assert (missing.status_code, missing.headers["x-error-code"]) == (404, "EntryNotFound")
    assert missing.headers["x-repo-commit"] == commit
    assert http.get(f"/api/models/{model}/revision/no").headers["x-error-code"] == "RevisionNotFound"
    assert http.get(f"/api/models/{model}/tree/main/data").headers["x-error-code"] == "EntryNotFound"
    assert http.get("/api/datasets/without_namespace").headers["x-error-code"] == "RepoNotFound"


def test_a_cut_loses_half_of_a_small_file_too(model: str, http: httpx.Client, hub_server: HubServer) -> None:
    hub_server.fail_next("README", "cut")
    with pytest.raises(httpx.RemoteProtocolError):
        http.get(f"/{model}/resolve/main/README.md")
    assert http.get(f"/{model}/resolve/main/README.md").text == CARD


@pytest.mark.parametrize(
    ("card", "complaint"),
    [
        ("license: mit\ntags: [a]\ndatasets: [user/data]", None),
        ("license: my own", "license"),
        ("tags: one", "tags"),
        ("datasets: ['some folder/of/mine']", "datasets"),
        ("pipeline_tag: Image To Image", "pipeline_tag"),
        ("model-index: [{name: m, results: [{task: {type: t}, dataset: {name: d}}]}]", "model-index"),
        ("a: [", "YAML"),
    ],
)
def test_card_checks(card: str, complaint: str | None) -> None:
    errors, _ = check_card(f"---\n{card}\n---\n", "model")
    assert [complaint in error for error in errors if complaint] == ([True] if complaint else []), errors
    assert complaint or not errors


def test_repositories_outlive_the_server(tmp_path: Path) -> None:
    headers = {"Authorization": "Bearer t"}
    with HubServer(storage=tmp_path) as server:
        server.add_user("carol", "t")
        with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client:
            client.post("/api/repos/create", json={"name": "kept", "visibility": "private"}).raise_for_status()
            client.post("/api/repos/create", json={"name": "gone"}).raise_for_status()
            client.request("DELETE", "/api/repos/delete", json={"name": "gone"}).raise_for_status()
    again = HubServer(storage=tmp_path)
    assert again.repo("carol/kept").private
    assert b"safetensors" in again.read("carol/kept", ".gitattributes")
    with pytest.raises(KeyError, match="carol/gone"):
        again.repo("carol/gone")


def test_by_hand_it_prints_what_to_export_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.hub", "--port", "0", "--user", "carol:hf_c", "--user", "carol:hf_r:read"]
    environment = client_environment("http://127.0.0.1:1", None, tmp_path)  # endpoint and token: as printed
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        printed = "".join(process.stdout.readline() for _ in range(4))
        exported = dict(re.findall(r"(HF_(?:ENDPOINT|TOKEN))=(\S+)", printed))
        try:
            code = "import huggingface_hub as h; print(h.whoami()['name'], h.create_repo('carol/m', private=True))"
            done = run_client(code, {**environment, **exported})
        finally:
            process.send_signal(signal.SIGINT)
            try:
                status = process.wait(timeout=10)
            finally:
                process.kill()
        assert status == 0
    assert done.stdout.split() == ["carol", f"{exported['HF_ENDPOINT']}/carol/m"]


def test_by_hand_a_wrong_user_is_explained(tmp_path: Path) -> None:
    command = ["-m", "tests.hub", "--user", "carol"]
    done = run_client(command, client_environment("http://127.0.0.1:1", None, tmp_path), check=False)
    assert done.returncode == 2
    assert "--user carol: write it as NAME:TOKEN" in done.stderr
