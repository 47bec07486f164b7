"""Pushing beside the training: where the generators go, found before it; snapshots on the way; the push at the end.

accelerate launch train_accelerate.py cyclegan … --push_to_hub --hub_model_id user/name --push_every 5000

Everything that asks the Hub runs in a process of its own (`hub.pushing.process`): a Hub that fails, hangs or refuses
costs a line in the log, never a step.
"""

import shlex
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm

from img2img_hub.families import Family
from img2img_hub.hub.privacy import Origin
from img2img_hub.hub.publish import check_repo_id
from img2img_hub.hub.pushing.patience import AT_START, Patience
from img2img_hub.hub.pushing.process import CallFailed, ProcessCall
from img2img_hub.training.run.config import TrainConfig
from img2img_hub.training.run.record import remove_made

_SNAPSHOTS = ".push"

# --- before the run ---------------------------------------------------------------------------------------------------


def find_repo_ids(
    family: Family, config: TrainConfig, accelerator: Accelerator, *, patience: Patience = AT_START
) -> dict[str, str]:
    """{folder: full repo id} of the generators to push, {} without --push_to_hub; the same on every rank.

    Asked before the training: a wrong token should cost seconds, not days. Nothing is written yet.

    Raises:
        ValueError: no token, a wrong one or one that can only read, an invalid id, somebody else's name, a license
            that the Hub does not know; a Hub that does not answer, but to a --resume, which goes on without it.
    """
    if not config.push_to_hub:
        return {}
    name = config.hub_model_id or Path(config.output_dir).resolve().name

    def ask() -> str:
        for repo_id in repo_ids_of(family, name).values():
            check_repo_id(repo_id)
        facts = {key: getattr(config, key) for key in ("license", "license_name", "license_link")}
        asked = {"name": name, "token": config.hub_token, **facts}
        full = _ask("check_push", asked, about="who you are", otherwise=name, config=config, patience=patience)
        if "/" not in full:
            raise ValueError(
                "the Hub does not answer, and without it nobody knows whose the repo will be: write the name in full, "
                f"--hub_model_id USER/{name}"
            )
        return full

    return repo_ids_of(family, _on_main_process(accelerator, ask))


def create_repos(
    repo_ids: dict[str, str],
    config: TrainConfig,
    accelerator: Accelerator,
    *,
    origin: Origin,
    patience: Patience = AT_START,
) -> list[str]:
    """Make the repos, when all else is in order: only this shows for sure that the token may write there.

    Args:
        origin: the Hub data sets and models that the run is made of. Every push asks again whether they are private.

    Returns:
        A line for the log on who will see the repos.

    Raises:
        ValueError: it may not; a repo is public and ought to be private; or the Hub does not answer, and this is no
            --resume.
    """
    if not repo_ids:
        return []
    names = ", ".join(repo_ids.values())

    def ask() -> str:
        repos = {"repo_ids": list(repo_ids.values()), "token": config.hub_token, "private": config.hub_private}
        about = "that you may write there"
        reasons = _ask("create_repos", repos | origin, about=about, config=config, patience=patience)
        if reasons is None:  # it said so
            return ""
        if reasons:
            return f"{names}: private, for {'; '.join(reasons)}. --hub_private False would have it public."
        if config.hub_private is None:
            return (
                f"{names}: public if it is new, with pictures of the data on its sample sheet. --hub_private True "
                "would have it private."
            )
        return f"{names}: {'private' if config.hub_private else 'public'} if it is new, as --hub_private says."

    return [line] if (line := _on_main_process(accelerator, ask)) else []


def repo_ids_of(family: Family, repo_id: str) -> dict[str, str]:
    """{folder of a generator: its repo}, each a repo of its own where there are several."""
    return {folder: f"{repo_id}-{folder}" if folder else repo_id for folder in family.published}


def _ask(
    call: str,
    arguments: dict[str, Any],
    *,
    about: str,
    config: TrainConfig,
    patience: Patience,
    otherwise: Any = None,
) -> Any:
    """The answer; `otherwise` where the Hub gives none and a run is to go on."""
    try:
        return ProcessCall(call, patience=patience, **arguments).result(say=_say)
    except CallFailed as error:
        if not error.may_pass:
            raise
        if not config.resume:
            raise ValueError(f"the Hub did not confirm {about} ({error})") from None
        _say(f"The Hub did not confirm {about} ({error}). The run goes on without.")
        return otherwise


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)


def _on_main_process(accelerator: Accelerator, ask: Callable[[], str]) -> str:
    """Its answer or its ValueError, the same on every rank."""
    answer: list[tuple[str, str]] = [("", "")]
    if accelerator.is_main_process:
        try:
            answer = [("", ask())]
        except ValueError as error:
            answer = [(f"--push_to_hub: {error}", "")]
    broadcast_object_list(answer)
    refusal, text = answer[0]
    if refusal:
        raise ValueError(refusal)
    return text


# --- during the run and at its end ------------------------------------------------------------------------------------


class _Snapshot(NamedTuple):
    step: int
    folder: Path


class Publisher:
    """Pushes snapshots one after the other while the training goes on, and the finished generators after it.

    A snapshot that comes while one is being pushed waits; a newer one takes its place. Whatever fails on the way is one
    line in the log. As a context manager it ends what is under way when the run is left, however it is left.

    Args:
        root: OUTPUT_DIR, which holds the finished generators at the end and .push/ meanwhile.
        repo_ids: of `find_repo_ids`; {} pushes nothing, as on the ranks that are not the main process.
        say: where lines go; it is called from another thread.
    """

    def __init__(
        self,
        root: Path,
        repo_ids: dict[str, str],
        *,
        config: TrainConfig,
        say: Callable[[str], None],
        patience: Patience | None = None,
    ) -> None:
        self.root = root
        self.repo_ids = repo_ids
        self.config = config
        self.say = say
        self.patience = patience or Patience()
        self._folder = root / _SNAPSHOTS
        self._lock = threading.Condition()
        self._waiting: _Snapshot | None = None
        self._call: ProcessCall | None = None  # under way
        self._closed = False
        self._thread: threading.Thread | None = None
        if repo_ids:
            _remove(self._folder)  # of a run that was killed

    def offer(self, write: Callable[[Path], None], *, step: int, total_steps: int) -> None:
        """Push the generators as they stand: `write` puts them into a folder, now; the rest goes on beside the caller.

        write: makes FOLDER/<as in repo_ids>/ in Hub layout, with cards that say how far the training is.
        """
        if not self.repo_ids or self._closed:
            return
        snapshot = _Snapshot(step, self._folder / f"step-{step}")
        try:
            write(snapshot.folder)
        except (OSError, ValueError) as error:  # a full disk, say: the next checkpoint tells whether it is serious
            _remove(snapshot.folder)
            self.say(f"Step {step} is not pushed: its snapshot cannot be written ({error}). The training goes on.")
            return
        with self._lock:
            replaced, self._waiting = self._waiting, snapshot
            self._lock.notify()
        if replaced is not None:
            _remove(replaced.folder)
        if self._thread is None:
            self._thread = threading.Thread(target=self._push_snapshots, args=(total_steps,), daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End what is under way: a matter of moments. The generators stay as they are on the Hub."""
        with self._lock:
            self._closed = True
            under_way = self._call
            self._lock.notify()
        if under_way is not None:
            under_way.stop()
        if self._thread is not None:
            self._thread.join(timeout=5)
        if self.repo_ids:
            _remove(self._folder)

    def finish(self) -> None:
        """Push the finished generators in `root`, instead of any snapshot.

        Raises:
            ValueError: a push failed, or was stopped by Ctrl-C; the message has the command that pushes later.
        """
        self.close()
        for url in push_all(self.root, self.repo_ids, config=self.config, patience=self.patience):
            self.say(f"Pushed to {url}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _push_snapshots(self, total_steps: int) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._waiting is not None or self._closed)
                if self._closed:
                    return
                snapshot, self._waiting = self._waiting, None
            assert snapshot is not None
            self._push(snapshot, total_steps)
            _remove(snapshot.folder)

    def _push(self, snapshot: _Snapshot, total_steps: int) -> None:
        for folder, repo_id in self.repo_ids.items():
            try:
                with self._lock:
                    if self._closed:
                        return
                    self._call = _start_push(
                        snapshot.folder / folder,
                        repo_id,
                        config=self.config,
                        patience=self.patience,
                        message=f"Step {snapshot.step} of {total_steps}",
                    )
                url = self._call.result()
            except CallFailed as error:
                if self._closed:
                    self.say(f"The push of step {snapshot.step} to {repo_id} was broken off.")
                    return
                self.say(f"Step {snapshot.step} is not pushed to {repo_id} ({error}). The training goes on.")
                if error.may_pass:  # what keeps one repo from being reached keeps the next one too
                    return
            else:
                self.say(f"Pushed step {snapshot.step} to {url}")


def _remove(folder: Path) -> None:
    """OUTPUT_DIR/.push, or a snapshot in it."""
    with suppress(OSError):
        remove_made(folder, (_SNAPSHOTS,) if folder.name == _SNAPSHOTS else (_SNAPSHOTS, folder.name))


def push_all(
    root: Path, repo_ids: dict[str, str], *, config: TrainConfig, patience: Patience | None = None
) -> list[str]:
    """Push every finished generator below `root`; the URLs.

    Raises:
        ValueError: a push failed; the message has the command that pushes later.
    """
    urls: list[str] = []
    left = dict(repo_ids)
    failures: dict[str, str] = {}
    for folder, repo_id in repo_ids.items():
        try:
            push = _start_push(root / folder, repo_id, config=config, patience=patience, message="Upload the generator")
            urls.append(push.result(say=_say))
            del left[folder]
        except CallFailed as error:
            failures[repo_id] = str(error)
            if error.may_pass:
                break
        except KeyboardInterrupt:
            failures[repo_id] = "stopped by Ctrl-C"
            break
    if failures:
        private = {True: ["--private"], False: ["--public"], None: []}[config.hub_private]
        start = ["python", "-m", "img2img_hub", "push-model"]
        commands = [shlex.join([*start, str(root / f), "--repo_id", repo_id, *private]) for f, repo_id in left.items()]
        failed = ", and to ".join(f"{repo_id} failed ({reason})" for repo_id, reason in failures.items())
        raise ValueError(
            f"the run is finished and saved in {root}, but pushing to {failed}. Push it later: {'; '.join(commands)}"
        )
    return urls


def _start_push(
    folder: Path, repo_id: str, *, config: TrainConfig, patience: Patience | None, message: str
) -> ProcessCall:
    return ProcessCall(
        "push_folder",
        patience=patience,
        folder=str(folder),
        repo_id=repo_id,
        token=config.hub_token,
        private=config.hub_private,
        commit_message=message,
    )
