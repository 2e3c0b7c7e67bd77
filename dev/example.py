"""`make example`: examples/product beside Everlink, until Ctrl-C.

Uses the stack that `make run` has started; where none runs, starts one and stops it at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from dev.config import ROOT, Addresses, StackConfig, StackError, StackInterrupted, answers, number, say
from dev.stack import a_stack
from everlink.contract import Environment

PORT = "8070"
START_SECONDS = 30


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


@asynccontextmanager
async def the_product(at: Addresses, key: str, port: int) -> AsyncIterator[Process]:
    """Its process, from when it answers."""
    environment = {
        "EVERLINK_URL": at.api,
        "EVERLINK_API_KEY": key,
        "SANDBOX_URL": at.sandbox,
        # To browsers another site than Everlink's 127.0.0.1, as it is where both have names.
        "PRODUCT_URL": f"http://localhost:{port}",
        "PRODUCT_WEBHOOK_URL": f"http://127.0.0.1:{port}/webhooks/everlink",
        "no_proxy": "127.0.0.1",  # all that it talks to is on this machine
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "examples.product",
        cwd=ROOT,
        env=os.environ | environment,
        start_new_session=True,  # Ctrl-C is for us to pass on
    )
    try:
        await ready(process, f"http://127.0.0.1:{port}/static/logo.svg")
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def ready(process: Process, url: str) -> None:
    probe = answers(url)
    with suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS):
            while process.returncode is None:
                if await probe(b""):
                    return
                await asyncio.sleep(0.05)
    raise StackError("the example did not start; see above")


def check_port(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        raise StackError(f"port {port} (example) is busy; set EXAMPLE_PORT to another or stop what uses it") from None


async def run(config: StackConfig, port: int) -> None:
    check_port(port)  # before anything starts
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # until a stack of ours listens to it
    async with a_stack(config) as info, the_product(info.addresses, await api_key(config), port) as process:
        say(f"open http://localhost:{port}")
        await process.wait()
        raise StackError("the example has stopped; see above")


def main() -> int:
    try:
        port = number("EXAMPLE_PORT", os.environ.get("EXAMPLE_PORT") or PORT)
        asyncio.run(run(StackConfig.from_env(), port))
    except (StackInterrupted, KeyboardInterrupt, asyncio.CancelledError):
        say("Everything is stopped.")
    except (StackError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
