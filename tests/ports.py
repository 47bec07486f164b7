"""Ports for servers that tests start: none that the system itself gives to a connection in between."""

import random
import socket

_OWN = range(20_000, 32_000)  # systems give from 32768 on


def free_port() -> int:
    """One at which nobody listens."""
    for port in random.SystemRandom().sample(_OWN, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("100 ports are taken")
