"""What is asked of the Hub beside a training, in a process of its own that can be ended at any moment.

    python -c "from img2img_hub.hub.pushing.process import ProcessCall as C; print(C('check_push', name='m').result())"

Why no thread: an upload hangs in threads that Python waits for when it exits, so that a Hub that does not answer would
hold a run that was told to stop; and the time limits of `one_try_a_request` are the whole process's.

On the child's stdin comes one line of JSON, the call; then nothing until the parent is gone, and then it goes too. On
its stdout go lines of JSON: {"failed": reason, "wait": seconds} for each try, and at last {"result"} or {"error"}.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from img2img_hub.errors import said_by_http
from img2img_hub.hub.publish import PUSH_ERRORS, push_folder
from img2img_hub.hub.pushing.account import check_push, create_repos
from img2img_hub.hub.pushing.patience import HubTrouble, Patience, one_try_a_request, patiently

_CALLS: dict[str, Callable[..., Any]] = {call.__name__: call for call in (check_push, create_repos, push_folder)}
_PACKAGES = Path(__file__).resolve().parents[3]


class CallFailed(ValueError):
    """What such a call came to; `may_pass`: the Hub's trouble, for which a later try may go better."""

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class ProcessCall:
    """A call under way: check_push, create_repos or push_folder by name, with JSON for arguments."""

    def __init__(self, call: str, *, patience: Patience | None = None, **arguments: Any) -> None:
        self._stopped = False
        request = {"call": call, "arguments": arguments, "patience": asdict(patience or Patience())}
        path = os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")]))
        # hf_xet waited 20 minutes for a storage that did not answer, and has no limit for that which would not hit slow
        # uploads too. What it saves, chunks that are there already, new weights do not have.
        settings = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONPATH": path}
        try:
            self._stderr = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115
            self._process = subprocess.Popen(
                # -P: what lies in the current folder is no module of ours
                [sys.executable, "-P", "-m", "img2img_hub.hub.pushing.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                text=True,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, **settings},
                start_new_session=True,  # Ctrl-C is for the parent, which decides what becomes of this
            )
        except OSError as error:
            raise CallFailed(f"no process could be started ({error})") from None
        assert self._process.stdin is not None
        with suppress(OSError):  # it died at once; result() says of what
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def result(self, *, say: Callable[[str], None] = lambda _: None) -> Any:
        """Wait for it; `say` hears of each try that failed, and of the wait for the next one.

        Raises:
            CallFailed: it came to nothing, or was stopped.
        """
        last = ""
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                said = _message(line)
                if "result" in said:
                    return said["result"]
                if "error" in said:
                    raise CallFailed(said["error"], may_pass=said["may_pass"])
                if "failed" in said:
                    last = said["failed"]
                    say(f"The Hub: {last}. The next try is in {said['wait']:.0f} s.")
            raise CallFailed(self._ended_without_a_word(last))
        finally:
            self.stop()
            for stream in (self._process.stdin, self._process.stdout, self._stderr):
                with suppress(OSError):  # what is left in the pipe to a process that died at once
                    stream.close()  # type: ignore[union-attr]

    def stop(self) -> None:
        """End it now, whatever it is doing; nothing where it has ended."""
        self._stopped = True
        self._process.kill()
        self._process.wait()

    def _ended_without_a_word(self, last: str) -> str:
        if self._stopped:
            return "it was stopped"
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr if line.strip()]
        return last or (lines[-1] if lines else "its process ended without a word")


def _message(line: str) -> dict[str, Any]:
    """What the child says in this line; {} where a library printed it before `main` began."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


# --- the child --------------------------------------------------------------------------------------------------------


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # so that what any library prints goes to stderr, not between the answers
    tell = partial(_tell, answers)
    request = json.loads(sys.stdin.readline())
    patience = Patience(**request["patience"])
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    one_try_a_request(silence=patience.silence)
    try:
        result = patiently(
            lambda: _in_time(patience.one_try, lambda: _CALLS[request["call"]](**request["arguments"]), tell=tell),
            patience=patience,
            on_failure=lambda reason, wait: tell(failed=reason, wait=wait),
        )
        tell(result=result)
    except PUSH_ERRORS as error:
        tell(error=said_by_http(error), may_pass=isinstance(error, HubTrouble))
    os._exit(0)  # whatever threads an upload left hanging


def _tell(answers: TextIO, **values: Any) -> None:
    print(json.dumps(values), file=answers, flush=True)


def _end_with_the_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the parent closes its end, or is no more
    os._exit(1)


def _in_time(seconds: float, call: Callable[[], Any], *, tell: Callable[..., None]) -> Any:
    def broken_off() -> None:
        tell(error=f"it was broken off after {seconds / 60:.0f} minutes", may_pass=True)
        os._exit(1)

    alarm = threading.Timer(seconds, broken_off)
    alarm.daemon = True
    alarm.start()
    try:
        return call()
    finally:
        alarm.cancel()


if __name__ == "__main__":
    main()
