"""What is said while something waits for a Hub that does not answer: a short line now and then.

python -c "from img2img_hub.data.stream.waiting import say_it_shortly; say_it_shortly()"

The libraries below try again by themselves, for minutes, and log each try with the whole address of what they ask for.
"""

import logging
import re
import sys
import time

from tqdm.auto import tqdm

_LOGGERS = ("datasets.utils.file_utils", "huggingface_hub.utils._http")
_TRY = re.compile(
    r"[Rr]etrying in|[Rr]etry \d|thrown while requesting|[Rr]ate limited|Got disconnected|Failed to connect"
)
_EVERY = 15.0  # seconds


class _Shortly(logging.Filter):
    """Answers each try in the place of the library, and lets all else pass."""

    said = -_EVERY

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if not _TRY.search(text):
            return True
        now = time.monotonic()
        if now - _Shortly.said >= _EVERY:
            _Shortly.said = now
            tries = re.search(r"(\d+)/(\d+)\]", text)
            which = f" (try {tries[1]} of {tries[2]})" if tries else ""
            tqdm.write(f"The Hub does not answer: waiting, and asking again{which}.", file=sys.stderr)
        return False


def say_it_shortly() -> None:
    """From here on, in this process."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, _Shortly) for each in logger.filters):
            logger.addFilter(_Shortly())
