"""What refusals have in common: other libraries' errors in one line, numbers with their noun, checked arguments.

python -c "from img2img_hub.errors import counted; print(counted(3, 'band'))"
"""

import math
import re
from collections.abc import Sequence
from typing import Any


def one_line(error: BaseException, *, most: int | None = None) -> str:
    """The whole message on one line, its first `most` characters; the error's class where it says nothing."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def first_line(error: BaseException) -> str:
    """The first line of the message, where libraries say what is wrong, before they explain at length."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def said_by_http(error: BaseException) -> str:
    """`one_line` without what HTTP libraries add: a link to their manual, and signatures in addresses."""
    text = re.sub(r" ?For more information check: \S+", "", one_line(error))
    return re.sub(r"(https?://[^\s'?]+)\?[^\s')]*", r"\1", text).strip() or type(error).__name__


def counted(number: int, noun: str, plural: str = "") -> str:
    """ "1 band", "3 bands", "2 processes" (whose plural has to be told)."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def listing(names: Sequence[str], *, limit: int = 5) -> str:
    """ "a, b, c and 7 more" for messages."""
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown or "none"


def is_whole(value: Any) -> bool:
    """Whether it is a whole number; True and False, which Python counts as such, are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is a number that can be computed with: neither infinity nor NaN, nor True or False."""
    try:
        return (is_whole(value) or isinstance(value, float)) and math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def check_range(**limits: tuple[float, float, float]) -> None:
    """Refuse arguments outside their limits, given as name=(value, lowest, highest), before memory is taken."""
    for name, (value, lowest, highest) in limits.items():
        wants_whole = isinstance(lowest, int)
        good_type = is_whole(value) if wants_whole else is_number(value)
        if not good_type or not lowest <= value <= highest:
            kind = "a whole number" if wants_whole else "a number"
            raise ValueError(f"{name} must be {kind} from {lowest} to {highest}, got {value!r:.60}")


def check_flags(**flags: bool) -> None:
    """Refuse what is neither True nor False: any text of a config.json would count as True."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false, got {value!r:.60}")
