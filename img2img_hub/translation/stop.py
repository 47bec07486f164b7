"""Stop: a wish to end, which work in other threads looks at between its pieces: a batch, a strip, a layer.

python -c "from img2img_hub.translation.stop import Stop; stop = Stop(); stop.check(); stop.set(); stop.is_set()"
"""

import threading


class Stopped(BaseException):
    """The work was given up. No Exception, or it might pass for a bad image."""


class Stop(threading.Event):
    """Not set at first; whoever wants the work to end sets it."""

    def check(self) -> None:
        """Raise Stopped where it is set."""
        if self.is_set():
            raise Stopped
