"""How strangers speak to the page: by any request, to each of its endpoints, with whatever they name.

    python -m pytest tests/test_security.py tests/test_security_uploads.py

An endpoint that comes later has to be named here, with how it is called.
"""

from __future__ import annotations

import http.client
import io
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from tests.browser.serving import (
    STRIPES,
    picture,
    serve,
    write_model,
    write_noisy,
    write_pair,
    write_rooms,
    write_styled,
)

# How each endpoint is called with a picture; and, behind a colon, with one in another place, beside a picture that was
# uploaded as it should be.
CALLS: dict[str, Callable[[Any, Any], list[Any]]] = {
    "/translate": lambda file, _: ["stripes2dots", file, "fit", None],
    "/translate: style": lambda file, good: ["styles", good, "fit", file],
    "/variations": lambda file, _: ["noisy", file, "fit", 7, 2, None],
    "/variations: style": lambda file, good: ["styles", good, "fit", 7, 2, file],
    "/cycle": lambda file, _: ["summer2winter", file, "fit"],
    "/translate_several": lambda file, _: ["rooms", "fit", file, file, None, None, None],
    "/translate_several: style": lambda file, good: ["crowd", "fit", good, good, None, None, file],
    "/batch": lambda file, _: ["stripes2dots", [file], "fit"],
    "/compare": lambda file, _: [["stripes2dots", "maps"], file, "fit"],
    "/compare_revisions": lambda file, _: ["owner/name", "v1", "main", file, "fit"],
    "/translate_any": lambda file, _: ["owner/name", file, "fit"],
}


def endpoint_of(call: str) -> str:
    return call.partition(":")[0]


@contextmanager
def open_to_strangers(models: Path, server: Path) -> Iterator[str]:
    """The address of a page with all endpoints, which serves new models in `models` and runs in `server`."""
    write_model(models / "stripes2dots")
    write_model(models / "maps", card="# Maps\n")
    write_noisy(models / "noisy")
    write_pair(models)
    write_rooms(models / "rooms")
    write_styled(models / "styles", STRIPES)
    write_styled(models / "crowd", STRIPES, instances=True)
    with serve(f"{models}, owner/name", folder=server, env={"IMG2IMG_ALLOW_ANY_MODEL": "1"}) as url:
        yield url


def ask(
    address: str,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    visitor: str = "127.0.0.1",
    **headers: str,
):
    """(status, headers, body) for a path that is sent as it stands: clients would tidy up what attackers do not.

    visitor: the address that the request comes from; all of 127.0.0.0/8 are this machine.
    """
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60, source_address=(visitor, 0))
    try:
        connection.putrequest(method, path, skip_host=False, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def upload(address: str, content: bytes, *, name: str, kind: str = "image/png") -> tuple[int, bytes]:
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
    body = f"{head}Content-Type: {kind}\r\n\r\n".encode() + content + f"\r\n--{boundary}--\r\n".encode()
    status, _, said = ask(
        address,
        "/gradio_api/upload",
        method="POST",
        body=body,
        Content_Type=f"multipart/form-data; boundary={boundary}",
    )
    return status, said


def call(address: str, endpoint: str, data: list[Any], *, visitor: str = "127.0.0.1") -> str:
    """What the endpoint, or that of one of CALLS, answers to data as they stand: clients would upload what is named."""
    body = json.dumps({"data": data}).encode()
    door = f"/gradio_api/call{endpoint_of(endpoint)}"
    status, _, said = ask(address, door, method="POST", body=body, visitor=visitor, Content_Type="application/json")
    if status != 200:
        return said.decode()
    _, _, said = ask(address, f"{door}/{json.loads(said)['event_id']}")
    return said.decode()


def stored(address: str, path: Path, *, name: str = "x.png") -> str:
    status, said = upload(address, path.read_bytes(), name=name)
    assert status == 200
    return json.loads(said)[0]


def good_upload(address: str) -> dict[str, Any]:
    """A picture that every model takes, as a program names it that has uploaded it."""
    data = io.BytesIO()
    picture((16, 16)).convert("P", palette=Image.Palette.ADAPTIVE, colors=2).save(data, "PNG")
    status, said = upload(address, data.getvalue(), name="good.png")
    assert status == 200
    return named(json.loads(said)[0], "good.png")


def named(path: str, name: Any) -> dict[str, Any]:
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}
