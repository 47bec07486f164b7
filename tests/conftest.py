"""Settings for all tests: no network but loopback, one thread a process where speed matters little, small pictures."""

import os

# Read by the clients when they are imported, so before anything else.
os.environ.update(
    {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",  # tests that speak to the test server do so from processes with their own environment
        "GRADIO_ANALYTICS_ENABLED": "False",
        "TOKENIZERS_PARALLELISM": "false",
    }
)

pytest_plugins = ["tests.hub.fixtures"]
