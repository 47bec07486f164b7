"""Failures on demand, for tests of what clients do when the Hub or the network has a bad day."""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Fault = int | Literal["cut", "lost", "drop", "timeout"]


@dataclass
class Planned:
    pattern: re.Pattern[str]
    fault: Fault | Callable[[], object]
    times: int
    headers: Mapping[str, str] = field(default_factory=dict)


class Faults:
    """Records every request and spoils the planned ones."""

    def __init__(self) -> None:
        self.requests: list[str] = []  # "METHOD /path?query", oldest first
        self._planned: list[Planned] = []
        self._lock = threading.Lock()  # tests plan in their own thread

    def fail_next(
        self, pattern: str, fault: Fault, *, times: int = 1, headers: Mapping[str, str] | None = None
    ) -> None:
        """Spoils the next `times` requests whose "METHOD /path?query" (as sent, still quoted) the regex matches.

        fault:
            an HTTP status, with `headers` such as {"Retry-After": "2"};
            "cut": the connection breaks in the middle of the answer's body;
            "lost": the request is carried out, and the connection breaks before a byte of the answer;
            "drop": the connection breaks in the middle of the request's body, which goes nowhere;
            "timeout": nothing is ever answered (clients wait HF_HUB_ETAG_TIMEOUT or HF_HUB_DOWNLOAD_TIMEOUT seconds, 10
            unless set, where they wait for so little).
        """
        with self._lock:
            self._planned.append(Planned(re.compile(pattern), fault, times, headers or {}))

    def before_next(self, pattern: str, action: Callable[[], object]) -> None:
        """Does something right before the next request that the regex matches, which is then answered as usual."""
        with self._lock:
            self._planned.append(Planned(re.compile(pattern), action, 1))

    def clear(self) -> None:
        """Forgets what was planned and recorded."""
        with self._lock:
            self._planned.clear()
            self.requests.clear()

    def left(self) -> list[str]:
        """Patterns that have not come up as often as planned."""
        with self._lock:
            return [planned.pattern.pattern for planned in self._planned if planned.times > 0]

    def _next(self, request: str) -> Planned | None:
        with self._lock:
            self.requests.append(request)
            for planned in self._planned:
                if planned.times > 0 and planned.pattern.search(request):
                    planned.times -= 1
                    return planned
        return None

    def around(self, app: ASGIApp) -> ASGIApp:
        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            query = scope["query_string"].decode()
            planned = self._next(f"{scope['method']} {scope['path']}" + (f"?{query}" if query else ""))
            fault = planned.fault if planned else None
            if callable(fault):
                fault()
                fault = None
            if fault is None:
                await app(scope, receive, send)
            elif fault == "cut":
                await app(scope, receive, _cutting(send))
            elif fault == "lost":
                await app(scope, receive, _nowhere)
                _break(send)
            elif fault == "drop":
                await receive()  # the first piece
                _break(send)
            elif fault == "timeout":
                while (await receive())["type"] != "http.disconnect":
                    pass
            else:
                assert planned is not None
                assert isinstance(fault, int)
                message = f"Planned fault {fault}"
                headers = {"X-Error-Message": message, **planned.headers}
                await JSONResponse({"error": message}, fault, headers=headers)(scope, receive, send)

        return faulty


async def _nowhere(message: Message) -> None:
    pass


def _break(send: Any) -> None:
    """Closes the connection without a word: `send` is a method of uvicorn's, which knows it."""
    send.__self__.transport.abort()


def _cutting(send: Send) -> Send:
    """Lets the headers and half of the first piece of the body through; uvicorn then closes the connection."""
    state = {"cut": False}

    async def cut(message: Message) -> None:
        if state["cut"]:
            return
        if message["type"] == "http.response.body":
            state["cut"] = True
            body = message.get("body", b"")
            message = {"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True}
        await send(message)

    return cut
