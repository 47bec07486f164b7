"""Stop: a wish to end, which work in other threads looks at between its pieces: a batch, a strip, a layer.

python -c "from img2img_hub.translation.stop import Stop; stop = Stop(); stop.check(); stop.set(); stop.is_set()"
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


class Stopped(BaseException):
    """The work was given up. No Exception, or it might pass for a bad image."""


class Stop(threading.Event):
    """Not set at first; whoever wants the work to end sets it."""

    def check(self) -> None:
        """Raise Stopped where it is set."""
        if self.is_set():
            raise Stopped

    @contextmanager
    def checked_by(self, network: nn.Module | None) -> Iterator[None]:
        """Check now and, in this context, before each layer of the network; None: where no layers are called."""
        self.check()
        layers = () if network is None else network.modules()
        hooks = [layer.register_forward_pre_hook(lambda *_: self.check()) for layer in layers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
