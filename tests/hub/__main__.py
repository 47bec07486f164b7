"""Runs the local Hub by hand:

python -m tests.hub --port 8000 --user alice:hf_alice_token --user bob:hf_bob_token:read --storage my_hub
"""

import argparse
import signal

from tests.hub.server import HubServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hub", description="A local Hub to try the whole loop with.")
    parser.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1; 0 for a free one (default: 8000)")
    parser.add_argument(
        "--user", action="append", metavar="NAME:TOKEN[:ROLE]", help="a user's token; role write (default) or read"
    )
    parser.add_argument("--storage", metavar="DIR", help="keep the repositories in DIR (default: gone at the end)")
    arguments = parser.parse_args()
    users = [user.split(":") for user in arguments.user or ["alice:hf_alice_token"]]
    for user in users:
        if len(user) not in (2, 3) or not all(user) or user[2:] not in ([], ["read"], ["write"]):
            parser.error(f"--user {':'.join(user)}: write it as NAME:TOKEN, NAME:TOKEN:read or NAME:TOKEN:write")
    server = HubServer(storage=arguments.storage, port=arguments.port)
    for name, token, *role in users:
        server.add_user(name, token, "read" if role == ["read"] else "write")
    # Set here, since a shell starts background jobs with SIGINT ignored; SIGTERM cleans up in the same way.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with server:
            show(server, users[0][0], users[0][1])
            server.wait()
    except ValueError as error:
        parser.error(str(error))


def show(server: HubServer, name: str, token: str) -> None:
    print(f"A local Hub runs at {server.url} (Ctrl-C stops it). In another terminal, to be {name}:\n")
    print(f"  export HF_ENDPOINT={server.url} HF_TOKEN={token}")
    print("  export HF_HUB_DISABLE_XET=1 HF_HUB_DISABLE_TELEMETRY=1 HF_HOME=$(mktemp -d)\n", flush=True)


if __name__ == "__main__":
    main()
