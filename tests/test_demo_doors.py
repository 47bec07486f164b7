"""What of Gradio's server strangers may ask for, over HTTP, of the page as it is served.

python -m pytest tests/test_demo_doors.py
"""

import http.client
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import gradio as gr
import pytest
from gradio.routes import App

from img2img_hub.demo.doors import MAX_BODY
from tests.browser.serving import serve, write_model

NEEDED = {
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/config"),
    ("GET", "/theme.css"),
    ("GET", "/favicon.ico"),
    ("GET", "/robots.txt"),
    ("GET", "/manifest.json"),
    ("GET", "/static/{path:path}"),
    ("GET", "/assets/{path:path}"),
    ("GET", "/svelte/{path:path}"),
    ("GET", "/gradio_api/app_id"),
    ("GET", "/gradio_api/info"),
    ("GET", "/gradio_api/openapi.json"),
    ("GET", "/gradio_api/theme.css"),
    ("GET", "/gradio_api/startup-events"),
    ("GET", "/gradio_api/upload_progress"),
    ("GET", "/gradio_api/heartbeat/{session_hash}"),
    ("GET", "/gradio_api/file={path_or_url:path}"),
    ("HEAD", "/gradio_api/file={path_or_url:path}"),
    ("GET", "/gradio_api/queue/data"),
    ("GET", "/gradio_api/queue/status"),
    ("GET", "/gradio_api/call/{api_name}/{event_id}"),
    ("GET", "/gradio_api/call/v2/{api_name}/{event_id}"),
    ("POST", "/gradio_api/upload"),
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/call/{api_name}"),
    ("POST", "/gradio_api/call/v2/{api_name}"),
    ("POST", "/gradio_api/cancel"),
    ("POST", "/gradio_api/reset"),
}
"""Gradio's routes that the page and its clients need, without the slash at their end."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ffmpeg on the server's PATH, which leaves a mark where it is started."""
    program = tmp_path_factory.mktemp("bin") / "ffmpeg"
    program.write_text(f"#!/bin/sh\ntouch {program.parent / 'mark'}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


@pytest.fixture(scope="module")
def address(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = write_model(tmp_path_factory.mktemp("models") / "stripes2dots")
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    with serve(str(model), folder=tmp_path_factory.mktemp("server"), env={"PATH": path}) as url:
        yield url


def routes() -> set[tuple[str, str]]:
    """All that this Gradio mounts."""
    found: set[tuple[str, str]] = set()

    def walk(some) -> None:
        for route in some:
            inner = getattr(getattr(route, "original_router", None), "routes", None) or getattr(route, "routes", None)
            if hasattr(route, "path") and inner is None:
                found.update((method, route.path.rstrip("/") or "/") for method in route.methods or ())
            else:
                walk(inner or [])

    with gr.Blocks() as page:
        gr.Textbox()
    walk(App.create_app(page).routes)
    return found


def ask(address: str, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and the first bytes of an answer that may never end."""
    link = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        link.request(method, path, body=body, headers=headers)
        answer = link.getresponse()
        return answer.status, b"" if answer.status == 200 else answer.read(400)
    finally:
        link.close()


def filled(path: str) -> str:
    for name in ("path:path", "path_or_url:path", "url_path:path"):
        path = path.replace(f"{{{name}}}", "nothing.js")
    while "{" in path:
        begin, end = path.index("{"), path.index("}")
        path = path[:begin] + "x" + path[end + 1 :]
    return path


def test_what_the_page_does_not_need_is_not_there(address):
    mounted = routes()
    assert len(mounted) > 60
    assert mounted >= NEEDED
    asked = sorted((method, path) for method, path in mounted if (method, path) not in NEEDED)
    assert ("POST", "/gradio_api/process_recording") in asked
    for method, path in asked:
        for tail in ("", "/", "?a=b"):  # of run/{api_name} the page needs one alone
            body = b"{}" if method == "POST" else None
            status, said = ask(address, method, filled(path) + tail, body)
            assert (status, said) == (404, b"" if method == "HEAD" else b'{"detail":"Not Found"}'), (method, path, tail)
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "NONSENSE"):
        assert ask(address, method, "/gradio_api/upload")[0] == 404
    for path in ("//gradio_api/process_recording", "/gradio_api//process_recording", "/x/../gradio_api/monitoring"):
        assert ask(address, "POST", path, b"{}")[0] == 404


def test_what_it_needs_is_there(address):
    for path in ("/", "/config", "/theme.css", "/gradio_api/info", "/gradio_api/startup-events"):
        assert ask(address, "GET", path)[0] == 200, path


def test_no_stranger_starts_a_program(address, program):
    """A recording would go through ffmpeg, which opens what the recording names."""
    body = b'--b\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\nx\r\n--b--\r\n'
    for more in ("", "?remove_segment_start=1"):
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        assert ask(address, "POST", f"/gradio_api/process_recording{more}", body, **kind)[0] == 404
    assert not (program.parent / "mark").exists()


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/call/translate", "/gradio_api/cancel"])
def test_bodies_are_as_large_as_a_drawing_at_most(address, path):
    body = b'{"data": ["' + b"x" * MAX_BODY + b'"]}'
    assert ask(address, "POST", path, body, **{"Content-Type": "application/json"})[0] == 413
    link = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    pieces = (body[begin : begin + 2**20] for begin in range(0, len(body), 2**20))
    link.request("POST", path, body=pieces, headers={"Content-Type": "application/json"}, encode_chunked=True)
    assert link.getresponse().status == 413
    link.close()
    assert ask(address, "POST", path, b"{}", **{"Content-Type": "application/json", "Content-Length": "-1"})[0] >= 400
