"""Failures on demand, for tests of what clients do when the Hub or the network has a bad day."""

import re
import threading
from dataclasses import dataclass
from typing import Literal

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Fault = int | Literal["cut", "timeout"]


@dataclass
class Planned:
    pattern: re.Pattern[str]
    fault: Fault
    times: int


class Faults:
    """Records every request and spoils the planned ones."""

    def __init__(self) -> None:
        self.requests: list[str] = []  # "METHOD /path?query", oldest first
        self._planned: list[Planned] = []
        self._lock = threading.Lock()  # tests plan in their own thread

    def fail_next(self, pattern: str, fault: Fault, *, times: int = 1) -> None:
        """Spoils the next `times` requests whose "METHOD /path?query" (as sent, still quoted) the regex matches.

        fault: an HTTP status; "cut" to break the connection in the middle of the body; "timeout" to never answer
        (clients wait HF_HUB_ETAG_TIMEOUT or HF_HUB_DOWNLOAD_TIMEOUT seconds, 10 unless set).
        """
        with self._lock:
            self._planned.append(Planned(re.compile(pattern), fault, times))

    def clear(self) -> None:
        """Forgets what was planned and recorded."""
        with self._lock:
            self._planned.clear()
            self.requests.clear()

    def _next(self, request: str) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for planned in self._planned:
                if planned.times > 0 and planned.pattern.search(request):
                    planned.times -= 1
                    return planned.fault
        return None

    def around(self, app: ASGIApp) -> ASGIApp:
        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            query = scope["query_string"].decode()
            fault = self._next(f"{scope['method']} {scope['path']}" + (f"?{query}" if query else ""))
            if fault is None:
                await app(scope, receive, send)
            elif fault == "cut":
                await app(scope, receive, _cutting(send))
            elif fault == "timeout":
                while (await receive())["type"] != "http.disconnect":
                    pass
            else:
                message = f"Planned fault {fault}"
                await JSONResponse({"error": message}, fault, headers={"X-Error-Message": message})(
                    scope, receive, send
                )

        return faulty


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
