"""What of Gradio's server strangers may ask for: addresses that the page and its clients need, bodies of a size.

    curl -i -X POST http://127.0.0.1:7860/gradio_api/process_recording    # 404

Gradio always mounts more than a page has use for, such as a screen recorder that starts ffmpeg on what a visitor sends
and a dashboard of all requests. What is not needed is not there.
"""

from __future__ import annotations

import re
from contextlib import suppress

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 8 * 2**20
"""Bytes of a request that is no upload; the largest is a drawing of the painter, of 4 MB at most."""

_API = r"/gradio_api"
_READ = re.compile(
    r"/|/config/?|/(?:theme\.css|favicon\.ico|robots\.txt|manifest\.json)|/(?:static|assets|svelte)/.+"
    rf"|{_API}/(?:info/?|openapi\.json|app_id/?|theme\.css|startup-events|upload_progress|queue/(?:data|status))"
    rf"|{_API}/(?:heartbeat/[^/]+|file=.+|call/.+)"
)
# run/predict is how the page itself sends what does not queue; what queues Gradio refuses there (`api_open`).
_WRITE = re.compile(rf"{_API}/(?:upload|queue/join|run/predict|call/.+|cancel|reset/?)")
_UPLOAD = f"{_API}/upload"


class Doors:
    """ASGI middleware in front of everything: 404 to what is not needed, 413 to a body that is too large."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no WebSocket is needed
            return
        path = scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))
        known = {"GET": _READ, "HEAD": _READ, "POST": _WRITE}.get(scope["method"])
        if scope["method"] == "OPTIONS":  # of other sites' pages: Gradio's own rules answer
            await self.app(scope, receive, send)
        elif known is None or not known.fullmatch(path):
            await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)
        elif path == _UPLOAD:  # which has its own limit, `max_file_size`
            await self.app(scope, receive, send)
        else:
            await self._limited(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on at most MAX_BODY bytes; what says of itself that it is more is not read at all."""
        said = dict(scope["headers"]).get(b"content-length", b"0")
        refuse = JSONResponse({"detail": f"A request may have {MAX_BODY // 2**20} MiB."}, 413)
        if not said.isdigit() or int(said) > MAX_BODY:
            await refuse(scope, receive, send)
            return
        got, begun = 0, False

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > MAX_BODY:
                raise _TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            if got <= MAX_BODY or begun:  # else it is what Gradio makes of the error
                begun = True
                await send(message)

        with suppress(_TooLarge):
            await self.app(scope, counted, noted)
        if got > MAX_BODY and not begun:
            await refuse(scope, receive, send)


class _TooLarge(Exception):
    pass
