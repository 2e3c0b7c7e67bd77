"""What the command is made of, and how it ends."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from everlink.cli import connections
from everlink.cli.importing.command import import_connections
from everlink.cli.session import API_KEY, URL, Target

app = typer.Typer(
    name="everlink",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="See your customers' connections, and move them here from another system.",
)
app.add_typer(connections.app, name="connections")
app.command("refresh")(connections.refresh)
app.command("disconnect")(connections.disconnect)
app.command("import")(import_connections)


@app.callback()
def choose(
    context: typer.Context,
    url: Annotated[str, typer.Option(envvar=URL, help="Where Everlink is", show_default=False)] = "",
    api_key: Annotated[
        str, typer.Option(envvar=API_KEY, help="Better in the environment: others see arguments", show_default=False)
    ] = "",
) -> None:
    context.obj = Target(url.strip().rstrip("/"), api_key.strip())


def run() -> None:
    """Never a traceback: what was sent may stand in one."""
    try:
        app()
    except Exception as error:
        sys.exit(f"everlink: this should not happen ({type(error).__name__}); please report it")
