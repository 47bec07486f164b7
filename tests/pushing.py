"""Pushing in tests: generators as far as the Hub is concerned, short patience, and a look at what is on the Hub."""

import time
from collections.abc import Callable
from pathlib import Path

from img2img_hub.hub.card import CardFacts, render_model_card
from img2img_hub.hub.pushing.patience import Patience
from tests.hub import HubServer

# A hiccup must be survived on a busy machine, too: nothing here times out that answers.
SHORT = Patience(total=20, silence=10, first_wait=0.05, longest_wait=0.2)
# For what never answers.
SHORTEST = Patience(total=1, silence=0.7, first_wait=0.05, longest_wait=0.3)


def generator(folder: Path, *, name: str = "maps", weights: bytes = b"weights") -> Path:
    """A finished generator as far as the Hub is concerned."""
    (folder / "training/discriminator").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "translation.json").write_text('{"reverse": null}')
    (folder / "model.safetensors").write_bytes(weights + b"\0" * 1_000_000)
    (folder / "training/discriminator/model.safetensors").write_bytes(b"judge" + weights)
    (folder / "README.md").write_text(render_model_card(CardFacts(model_name=name, license="mit")))
    return folder


def titles(server: HubServer, repo_id: str = "alice/maps") -> list[str]:
    """Of all commits, newest first."""
    repo = server.repo(repo_id)
    return [commit.title for commit in repo.history(repo.resolve("main"))]


def count(server: HubServer, start: str) -> int:
    return sum(request.startswith(start) for request in server.requests)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.02)
