"""`make run`: everything Everlink needs on this machine, until Ctrl-C."""

import asyncio
import sys

from dev.config import say
from dev.stack import Stack, StackConfig, StackError, StackInterrupted


def summary(stack: Stack) -> str:
    """Where everything is, and what to try first."""
    at, seed, state = stack.addresses, stack.seed, stack.config.state
    key, account = seed.get("api_key", ""), seed.get("linked_account_id", "")
    rows = {
        "Console": f"{at.api}/console (sign in with the API key)",
        "Web UI": at.web_ui,
        "API": f"{at.api} (OpenAPI: {at.api}/docs)",
        "Temporal": at.temporal,
        "Sandbox": f"{at.sandbox} (users: ada / ada-password, grace / grace-password)",
        "Organization": seed.get("organization", ""),
        "API key": key,
        "Linked account": account,
        "Logs": state / "logs",
    }
    lines = ["", "Everlink is running.", ""]
    lines += [f"  {name:<16}{value}" for name, value in rows.items() if value]
    if key and account:
        headers = f"-H 'x-api-key: {key}' -H 'linked_account_id: {account}'"
        lines += ["", "List the applications:", f"  curl {headers} {at.api}/api/v2/public/application"]
    if connect := seed.get("connect_command"):
        lines += ["", "Connect the sandbox: open the link that this answers", f"  {connect}"]
    return "\n".join([*lines, "", "Ctrl-C stops everything.", ""])


async def run() -> None:
    async with Stack(StackConfig.from_env()) as stack:
        say(summary(stack))
        await asyncio.Event().wait()


def main() -> int:
    try:
        asyncio.run(run())
    except StackInterrupted:
        say("Everything is stopped.")
    except (StackError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
