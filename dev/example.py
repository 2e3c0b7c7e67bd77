"""`make example`: examples/product beside Everlink, until Ctrl-C.

Uses the stack that `make run` has started; where none runs, starts one and stops it at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import PIPE

from dev.config import ROOT, Addresses, StackConfig, StackError, number, say
from dev.stack import StackInterrupted, a_stack
from everlink.contract import Environment
from examples.product.__main__ import Server
from examples.product.settings import Settings

PORT = "8070"


async def api_key(config: StackConfig) -> str:
    """Of an organization of the product's own: made once, and kept beside the database."""
    file = config.state / "example.json"
    if not file.exists():
        organization = await manage(config, "create-organization", "Northwind Notes")
        key = await manage(config, "create-api-key", organization, Environment.TEST)
        file.touch(mode=0o600)
        file.write_text(json.dumps({"organization": organization, "api_key": key}))
    return str(json.loads(file.read_text())["api_key"])


async def manage(config: StackConfig, *command: str) -> str:
    """What `manage.py` prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "manage.py", *command, stdout=PIPE, cwd=ROOT, env=config.environment()
    )
    out, _ = await process.communicate()
    if process.returncode != 0:
        raise StackError(f"manage.py {command[0]} failed (exit {process.returncode})")
    return out.decode().strip()


def settings(at: Addresses, key: str, port: int) -> Settings:
    return Settings(
        everlink_url=at.api,
        everlink_api_key=key,
        sandbox_url=at.sandbox,
        # Another site than Everlink's 127.0.0.1 to browsers, as it is where both have names.
        url=f"http://localhost:{port}",
        webhook_url=f"http://127.0.0.1:{port}/webhooks/everlink",
    )


def check_port(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        raise StackError(f"port {port} (example) is busy; set EXAMPLE_PORT to another or stop what uses it") from None


async def run(config: StackConfig, port: int) -> None:
    check_port(port)  # before anything starts
    async with a_stack(config) as info:
        await Server(settings(info.addresses, await api_key(config), port)).serve()


def main() -> int:
    try:
        port = number("EXAMPLE_PORT", os.environ.get("EXAMPLE_PORT") or PORT)
        asyncio.run(run(StackConfig.from_env(), port))
    except (StackInterrupted, KeyboardInterrupt):
        say("Everything is stopped.")
    except (StackError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
