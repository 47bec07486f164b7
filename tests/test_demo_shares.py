"""A visitor's share of the queue: one alone cannot keep the others out, and is told so in kind words.

python -m pytest tests/test_demo_shares.py
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

from img2img_hub.demo.shares import visitor
from tests.browser.serving import picture, serve, write_model
from tests.strangers import ask, named, upload


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = write_model(tmp_path_factory.mktemp("models") / "stripes2dots")
    with serve(str(model), folder=tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture(scope="module")
def body(address: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A request that takes a while: 20 pictures at their own size."""
    file = tmp_path_factory.mktemp("large") / "x.png"
    picture((1000, 900)).save(file)
    (stored,) = json.loads(upload(address, file.read_bytes(), name="x.png")[1])
    return json.dumps({"data": ["stripes2dots", [named(stored, "x.png")] * 20, "native"]}).encode()


def join(address: str, body: bytes, *, visitor: str, language: str = "en") -> tuple[int, str, str | None]:
    status, headers, said = ask(
        address,
        "/gradio_api/call/batch",
        method="POST",
        body=body,
        visitor=visitor,
        Content_Type="application/json",
        Accept_Language=language,
    )
    return status, said.decode(), headers.get("Retry-After")


def test_one_visitor_leaves_room_for_the_others(address: str, body: bytes, tmp_path: Path) -> None:
    with ThreadPoolExecutor(45) as pool:
        answers = list(pool.map(lambda _: join(address, body, visitor="127.0.0.7"), range(45)))
    statuses = [status for status, _, _ in answers]
    assert set(statuses) == {200, 429}, statuses
    assert 20 <= statuses.count(200) <= 22, "half of 40 wait, one runs, one may have been done"
    refused = [said for status, said, _ in answers if status == 429]
    assert all("of your requests are waiting already" in said for said in refused)
    assert {after for status, _, after in answers if status == 429} == {"5"}
    assert "个请求在排队" in json.loads(join(address, body, visitor="127.0.0.7", language="zh-CN")[1])["detail"]
    # Others join the same queue, and single pictures are done at once.
    assert [join(address, body, visitor=f"127.0.0.{number}")[0] for number in (8, 8, 9, 10)] == [200] * 4
    picture((16, 16)).save(tmp_path / "x.png")
    client = Client(address, verbose=False, download_files=str(tmp_path), analytics_enabled=False)
    began = time.monotonic()
    client.predict("stripes2dots", handle_file(str(tmp_path / "x.png")), "fit", api_name="/translate")
    assert time.monotonic() - began < 60, "it waited for the batches"


def test_slow_requests_are_no_way_around_the_share(tmp_path: Path) -> None:
    """They are counted, and with them there may be fewer places than none: whoever holds some gets no more."""
    model = write_model(tmp_path / "models/stripes2dots")
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(serve(str(model), folder=tmp_path))
        place = ("127.0.0.1", int(url.rpartition(":")[2]))
        head = "POST /gradio_api/call/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        for _ in range(20):
            slow = stack.enter_context(socket.create_connection(place, source_address=("127.0.0.30", 0)))
            slow.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        while join(url, b'{"data": []}', visitor="127.0.0.30")[0] == 200:  # until all of them have arrived
            pass
        picture((1000, 900)).save(tmp_path / "x.png")
        (stored,) = json.loads(upload(url, (tmp_path / "x.png").read_bytes(), name="x.png")[1])
        work = json.dumps({"data": ["stripes2dots", [named(stored, "x.png")] * 20, "native"]}).encode()
        others = [join(url, work, visitor=f"127.0.0.{number}")[0] for number in range(40, 70)]
        assert others == [200] * 30
        assert join(url, work, visitor="127.0.0.30")[0] == 429
        assert join(url, work, visitor="127.0.0.90")[0] == 200


def test_the_page_itself_is_never_refused(address: str) -> None:
    assert ask(address, "/", visitor="127.0.0.7")[0] == 200
    assert ask(address, "/config", visitor="127.0.0.7")[0] == 200


@pytest.mark.parametrize(
    ("connection", "forwarded", "found"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("10.0.0.7", "", "10.0.0.7"),
        ("10.0.0.7", "8.8.8.8", "8.8.8.8"),
        ("10.0.0.7", "1.2.3.4, 8.8.8.8, 10.0.0.1", "8.8.8.8"),  # what the visitor wrote stands first
        ("10.0.0.7", "8.8.8.8, nonsense, ", "8.8.8.8"),
        ("10.0.0.7", "10.1.1.1", "10.0.0.7"),
        ("2a00:1450:4001:81b::200e", "", "2a00:1450:4001:81b::/64"),
        ("10.0.0.7", "2a00:1450:4001:81b:1:2:3:4", "2a00:1450:4001:81b::/64"),
        ("testclient", "", "testclient"),
        ("", "", ""),
    ],
)
def test_visitors_are_told_apart_by_what_they_cannot_choose(connection: str, forwarded: str, found: str) -> None:
    assert visitor(connection, forwarded) == found
