"""A small local Hub: it speaks the Hub's HTTP protocol to the real huggingface_hub and datasets clients.

Tests use it through the fixtures of `tests.hub.fixtures`; by hand, for trying the whole loop without an account:

    python -m tests.hub --port 8000 --user alice:hf_alice_token

Read in this order: `storage.py` (what a Hub keeps), `app.py` (all routes; then `repos.py`, `commits.py`, `lfs.py`,
`spaces.py`), `faults.py` (failures on demand), `server.py` (a running server), `client.py` (clients for the tests).
Known limits: no Xet (clients need HF_HUB_DISABLE_XET=1), no discussions.
"""

from tests.hub.client import client_environment, run_client
from tests.hub.server import HubServer

__all__ = ["HubServer", "client_environment", "run_client"]
