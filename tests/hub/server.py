"""A Hub that runs, in a thread of its own."""

import contextlib
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

import uvicorn

from tests.hub.app import build_app
from tests.hub.faults import Fault, Faults
from tests.hub.state import Hub, OrgRole, Role, User
from tests.hub.storage import Repo, Storage


class HubServer:
    """A local Hub on loopback. As a context manager it runs from start to end of the block.

    storage: folder that keeps the repositories; None for a temporary one that goes when the server does.
    port: 0 for a free one. stop() and start() again keep the port and the repositories.
    """

    def __init__(self, *, storage: str | Path | None = None, port: int = 0) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="hub-") if storage is None else None
        self.hub = Hub(Storage(Path(storage if storage is not None else self._temporary.name)))  # type: ignore[union-attr]
        self.faults = Faults()
        self._app = build_app(self.hub, self.faults)
        self._port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """What HF_ENDPOINT must be."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> list[str]:
        """Every request so far: "METHOD /path?query", oldest first."""
        return self.faults.requests

    def add_user(self, name: str, token: str, role: Role = "write") -> None:
        """Adds a token of a user; a user may have several."""
        self.hub.tokens[token] = User(name, role)

    def revoke(self, token: str) -> None:
        """From now on the token is a wrong one."""
        del self.hub.tokens[token]

    def add_organization(self, name: str, **members: OrgRole) -> None:
        """Adds an organization with its members: add_organization("lab", alice="write", bob="read")."""
        self.hub.organizations[name] = dict(members)

    def fail_next(
        self, pattern: str, fault: Fault, *, times: int = 1, headers: Mapping[str, str] | None = None
    ) -> None:
        """See `Faults.fail_next`."""
        self.faults.fail_next(pattern, fault, times=times, headers=headers)

    def before_next(self, pattern: str, action: Callable[[], object]) -> None:
        """See `Faults.before_next`."""
        self.faults.before_next(pattern, action)

    def repo(self, repo_id: str, kind: str = "models") -> Repo:
        """A repository as it is stored, for looking behind the scenes; kind is models, datasets or spaces."""
        repo = self.hub.storage.find(kind, repo_id)
        if repo is None:
            raise KeyError(f"{kind}/{repo_id} is not on this Hub")
        return repo

    def read(self, repo_id: str, path: str, *, revision: str = "main", kind: str = "models") -> bytes:
        """The bytes of a file as they are stored."""
        return self.hub.storage.read(self.repo(repo_id, kind).resolve(revision).files[path])

    def start(self) -> Self:
        listening = self._listen()
        self._thread = threading.Thread(target=self._run, args=(listening,), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 10
        while self._server is None or not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("The local Hub did not start")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Refuses connections from now on; start() opens again."""
        if self._server and self._thread:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(timeout=10)
        self._server = self._thread = None

    def wait(self) -> None:
        """Returns on Ctrl-C."""
        with contextlib.suppress(KeyboardInterrupt):
            while self._thread and self._thread.is_alive():
                self._thread.join(timeout=0.5)

    def _listen(self) -> socket.socket:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", self._port))
        except (OSError, OverflowError) as error:
            listening.close()
            raise ValueError(f"Port {self._port} of 127.0.0.1 cannot be used ({error}): take another one") from error
        self._port = listening.getsockname()[1]
        return listening

    def _run(self, listening: socket.socket) -> None:
        config = uvicorn.Config(self._app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        with listening:
            self._server.run(sockets=[listening])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._temporary:
            self._temporary.cleanup()


@contextlib.contextmanager
def stopped(server: HubServer) -> Iterator[None]:
    """The server is down for the length of the block."""
    server.stop()
    try:
        yield
    finally:
        server.start()
