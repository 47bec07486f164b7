"""How long a push is tried: what may pass is tried again after growing waits, what cannot pass is not.

    python -c "from img2img_hub.hub.pushing.patience import Patience; print(Patience())"

huggingface_hub 2.4 waits for an answer without end, tries some requests six times (23 seconds when each fails at once)
and others, such as the commit, once. `one_try_a_request` levels that: a time limit and one try for each request. What
failed is then tried again as a whole, from here alone, so that waits do not multiply. Nothing is sent or committed
twice by that: large files that arrived are known to the Hub, and a commit that changes nothing is none.
"""

import itertools
import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
from huggingface_hub import get_session, set_client_factory
from huggingface_hub.utils import parse_ratelimit_headers

Result = TypeVar("Result")

_MAY_PASS = (408, 425, 429)  # and all from 500 on
_REPO_CHANGED = 412  # since the push looked at it: the next try looks again, and keeps what people wrote


@dataclass(frozen=True, kw_only=True)
class Patience:
    """All in seconds. They bound the trouble, not the work: an upload may be slow as long as it goes on."""

    total: float = 300
    """The waits between tries add up to no more, counting with them at most `silence` of each try that failed."""
    silence: float = 30
    """A request fails when not a byte has come or gone for so long."""
    first_wait: float = 1
    """Between the first try and the second; it doubles from try to try."""
    longest_wait: float = 60
    """At which it stops to double."""
    one_try: float = 3600
    """But a try that takes longer is broken off, whatever it does."""


AT_START = Patience(total=4, silence=10)
"""Before a run: a hiccup is waited for, an outage is told within seconds."""


class HubTrouble(OSError):
    """The Hub, or the way to it, failed in a way that may pass; `wait`: seconds that it asked to wait."""

    def __init__(self, message: str, *, wait: float = 0) -> None:
        super().__init__(message)
        self.wait = wait


def patiently(
    call: Callable[[], Result],
    *,
    patience: Patience,
    on_failure: Callable[[str, float], None] = lambda reason, wait: None,
) -> Result:
    """`call`'s result, from the first try that succeeds; `on_failure` is told each reason and the seconds to wait.

    Raises:
        HubTrouble: patience came to its end.
        Exception: what `call` raised and another try would not mend.
    """
    spent = 0.0
    for tries in itertools.count(1):
        began = time.monotonic()
        try:
            return call()
        except Exception as error:
            trouble = may_pass(error)
            if trouble is None:
                raise
            took = time.monotonic() - began
            wait = min(patience.longest_wait, patience.first_wait * 2 ** (tries - 1))
            wait = max(trouble.wait, wait * random.uniform(0.75, 1.25))  # of many runs, not all at the same instant
            spent += min(took, patience.silence) + wait  # the rest of what it took was work
            if spent > patience.total:
                times = "once" if tries == 1 else f"{tries} times"
                asked = f"it asks to wait {trouble.wait:.0f} s, " if trouble.wait > patience.total else ""
                raise HubTrouble(f"{trouble}; {asked}tried {times}") from error
            on_failure(str(trouble), wait)
            time.sleep(wait)
    raise AssertionError("unreachable")


def may_pass(error: Exception) -> HubTrouble | None:
    """What went wrong, where another try may go better; None where it would not."""
    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    for each in chain:
        if isinstance(each, HubTrouble):
            return each
        if getattr(getattr(each, "response", None), "status_code", None) == _REPO_CHANGED:
            return HubTrouble("the repo was changed during the push")
    if isinstance(chain[-1], json.JSONDecodeError):  # a proxy's page, or half an answer
        return HubTrouble(f"the Hub's answer cannot be read ({chain[-1]})")
    if type(chain[-1]) in (ConnectionError, TimeoutError, RuntimeError):  # hf_xet's words for a storage that fails
        return HubTrouble(str(chain[-1]))
    return None


def one_try_a_request(*, silence: float) -> None:
    """From here on, in this whole process: no request waits longer than `silence`, and none is repeated in secret.

    For programs, not for libraries: it exchanges huggingface_hub's HTTP client.
    """
    # hf_xet, where it is used, has a client of its own: it tried a closed port for six minutes.
    os.environ.setdefault("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "1")
    hooks = get_session().event_hooks  # the client's own: they keep HF_HUB_OFFLINE, and number the requests
    set_client_factory(lambda: _OneTryClient(silence, event_hooks=hooks, follow_redirects=True))


class _OneTryClient(httpx2.Client):
    """Raises HubTrouble, which huggingface_hub does not catch, where it would wait or try again itself."""

    def __init__(self, silence: float, **options: Any) -> None:
        super().__init__(timeout=None, **options)
        self._silence = silence

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        asked = request.extensions.get("timeout", {})  # None, that is for ever, unless the caller said otherwise
        limits = {key: asked.get(key) or self._silence for key in ("connect", "read", "write", "pool")}
        limits = {key: min(value, self._silence) for key, value in limits.items()}
        request.extensions = {**request.extensions, "timeout": limits}
        what = f"{request.method} {request.url.copy_with(query=None)}"  # a query may hold a signature
        try:
            response = super().send(request, **options)
        except httpx2.TimeoutException:
            raise HubTrouble(f"no answer for {limits['read']:g} s to {what}") from None
        except (httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ProxyError) as error:
            raise HubTrouble(f"the connection failed ({error or type(error).__name__}): {what}") from None
        if response.status_code in _MAY_PASS or response.status_code >= 500:
            message = response.headers.get("X-Error-Message", "")
            status = f"{response.status_code} {response.reason_phrase}".strip()
            response.close()
            raise HubTrouble(
                f"the Hub answered {status}{f' ({message})' if message else ''} to {what}",
                wait=_asked_to_wait(response.headers),
            )
        return response


def _asked_to_wait(headers: httpx2.Headers) -> float:
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + 1  # they count whole seconds
    seconds = headers.get("Retry-After", "").strip()
    return float(seconds) if seconds.isdigit() else 0
