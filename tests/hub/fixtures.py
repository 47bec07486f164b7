"""Fixtures for tests against the local Hub, a pytest plugin: conftest.py names it in `pytest_plugins`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.client import client_environment
from tests.hub.server import HubServer

ALICE, ALICE_READS, BOB = "hf_alice_token", "hf_alice_read_token", "hf_bob_token"


@pytest.fixture
def hub_server() -> Iterator[HubServer]:
    """A running, empty Hub of its own for every test (0.2 s), with users alice (also by a read token) and bob."""
    with HubServer() as server:
        server.add_user("alice", ALICE)
        server.add_user("alice", ALICE_READS, role="read")
        server.add_user("bob", BOB)
        yield server


@pytest.fixture
def alice(hub_server: HubServer, tmp_path: Path) -> dict[str, str]:
    """Environment of a client that is logged in as alice, with an empty cache."""
    return client_environment(hub_server, ALICE, tmp_path / "alice_home")


@pytest.fixture
def as_alice(alice: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that the code under test starts by itself are clients that are logged in as alice."""
    for name, value in alice.items():
        if name.startswith("HF_"):
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def bob(hub_server: HubServer, tmp_path: Path) -> dict[str, str]:
    """Environment of a client that is logged in as bob, with an empty cache."""
    return client_environment(hub_server, BOB, tmp_path / "bob_home")


@pytest.fixture
def anonymous(hub_server: HubServer, tmp_path: Path) -> dict[str, str]:
    """Environment of a client without a token, with an empty cache."""
    return client_environment(hub_server, None, tmp_path / "anonymous_home")
