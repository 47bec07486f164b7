"""Places in the queue are shared: one visitor cannot take them all.

    python -c "from img2img_hub.demo.shares import visitor; print(visitor('10.0.0.7', '198.51.100.4, 10.0.0.1'))"

A request has to wait for its place only as long as others were there first; a visitor who already holds as many places
as are still free is asked to wait for the own ones. So one alone may hold half of the queue, and whoever comes next
always finds room.
"""

from __future__ import annotations

import ipaddress
import os
from collections import Counter
from typing import Any, cast

import gradio as gr
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from img2img_hub.demo.texts import say

JOINING = ("/queue/join", "/call/")  # what puts a request into the queue


class Shares:
    """ASGI middleware in front of the page's queue; answers 429, with a kind word, where a visitor's share is used up.

    Args:
        app: what it stands in front of.
        page: whose queue it is.
    """

    def __init__(self, app: ASGIApp, *, page: gr.Blocks) -> None:
        self.app, self.page = app, page
        self.joining: Counter[str] = Counter()  # requests that are on their way into the queue

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and any(part in scope["path"] for part in JOINING):
            request = Request(scope)
            held, asking = self.waiting() + self.joining, _visitor_of(request)
            free = (self.page._queue.max_size or 0) - held.total()
            if held[asking] and free <= held[asking]:  # slow requests of theirs may leave less than none
                said = say("share_used_up", cast(gr.Request, request), count=held[asking])
                await JSONResponse({"detail": said}, 429, {"Retry-After": "5"})(scope, receive, send)
                return
            self.joining[asking] += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.joining[asking] -= 1
                self.joining += Counter()  # forgets who has none
            return
        await self.app(scope, receive, send)

    def waiting(self) -> Counter[str]:
        """How many requests of each visitor wait in the queue."""
        queues = self.page._queue.event_queue_per_concurrency_id.values()
        return Counter(_visitor_of(event.request) for queue in queues for event in list(queue.queue))


def _visitor_of(request: Any) -> str:
    forwarded = request.headers.get("x-forwarded-for", "") if "SPACE_ID" in os.environ else ""
    return visitor(request.client.host if request.client else "", forwarded)


def visitor(address: str, forwarded: str = "") -> str:
    """Who asks, by network address: of IPv6 the network that one household has.

    Args:
        address: of the connection.
        forwarded: the header X-Forwarded-For, only where a proxy that the owner trusts (a Space's) writes it: its last
            public address is what that proxy saw; those before it anybody can write.
    """
    for text in (*reversed(forwarded.split(",")), address):
        try:
            found = ipaddress.ip_address(text.strip())
        except ValueError:
            continue
        if found.is_global or text == address:
            return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)
    return address
