"""Clients in processes of their own, since huggingface_hub reads HF_ENDPOINT and HF_TOKEN when it is imported."""

import os
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.warm import run_python

if TYPE_CHECKING:
    from tests.hub.server import HubServer

ROOT = Path(__file__).parents[2]


def client_environment(server: "HubServer | str", token: str | None, home: str | Path) -> dict[str, str]:
    """The environment of a client of `server` (or of the Hub at a URL): only this Hub, and a cache of its own.

    token: None for an anonymous visitor. home: the client's cache (HF_HOME), a fresh folder for a fresh client.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING_FACE", "HUGGINGFACE"))}
    environment = {
        **inherited,
        "HF_ENDPOINT": server if isinstance(server, str) else server.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",  # the local Hub stores large files by LFS
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), inherited.get("PYTHONPATH")])),
    }
    return {**environment, "HF_TOKEN": token} if token else environment


def run_client(
    code_or_args: str | Sequence[str | Path],
    env: dict[str, str],
    *,
    cwd: str | Path | None = None,
    timeout: float = 120,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Runs Python with code (a str, indented as one likes) or arguments (["-m", "img2img_hub", "translate", …]).

    Unless check is False, an exit status other than 0 is an AssertionError that shows what the client printed.
    """
    arguments = (
        ["-c", textwrap.dedent(code_or_args)] if isinstance(code_or_args, str) else [str(a) for a in code_or_args]
    )
    done = run_python(arguments, env=env, cwd=cwd, timeout=timeout)
    if check and done.returncode != 0:
        raise AssertionError(f"The client ended with status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done
