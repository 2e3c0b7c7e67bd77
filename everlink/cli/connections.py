"""`everlink connections ...`, and what is done to one: `refresh`, `disconnect`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from everlink.cli import showing
from everlink.cli.session import ask, fail, target
from everlink.client import Client
from everlink.contract import ConnectionStatus, Health, ReauthReason
from everlink.errors import Unavailable
from everlink.models import Connection, Refreshed

LONG_POLL = 60.0  # seconds, the most that the API holds an answer back
EVERY = 2.0  # seconds between two looks at the events, or at an API that is away
# Behind the last event: nothing is as new as this, and an empty page's cursor goes on from now.
FROM_NOW = datetime(2999, 1, 1, tzinfo=UTC)

Id = Annotated[str, typer.Argument(metavar="ID", help="con_...")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, one object on each line")]

app = typer.Typer(no_args_is_help=True, help="See connections: which there are, one's life, changes as they happen.")


@app.command("list")
def list_connections(
    context: typer.Context,
    status: Annotated[ConnectionStatus | None, typer.Option()] = None,
    reason: Annotated[ReauthReason | None, typer.Option(help="Why the customer has to reconnect")] = None,
    health: Annotated[Health | None, typer.Option()] = None,
    application: Annotated[str | None, typer.Option(help="Its slug")] = None,
    account: Annotated[str | None, typer.Option(help="The linked account's id")] = None,
    as_json: AsJson = False,
) -> None:
    """List connections, narrowed by all that is given."""

    async def work(client: Client) -> list[Connection]:
        found = client.connections.all(
            status=status, reason=reason, health=health, application=application, linked_account_id=account
        )
        if not as_json:
            return [one async for one in found]
        async for one in found:
            typer.echo(one.model_dump_json())
        return []

    connections = ask(context, work)
    if not as_json:
        showing.console().print(showing.listed(connections))


@app.command()
def show(context: typer.Context, connection_id: Id, as_json: AsJson = False) -> None:
    """Show one connection: how it stands and why, what comes next, and all that happened to it."""

    async def work(client: Client) -> None:
        connection = await client.connections.get(connection_id)
        timeline = await client.connections.timeline(connection_id)
        if as_json:
            typer.echo(connection.model_dump_json())
            for transition in timeline.transitions:
                typer.echo(transition.model_dump_json())
            return
        console = showing.console()
        page = target(context).console_page(connection_id)
        console.print(showing.details(connection, timeline, page), soft_wrap=True)
        console.print()
        console.print(showing.happened(timeline.transitions))

    ask(context, work)


@app.command()
def watch(
    context: typer.Context,
    connection_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="con_...; by default all")] = None,
    as_json: AsJson = False,
) -> None:
    """Follow changes as they happen, until Ctrl-C: of one connection, or the events of all."""

    async def work(client: Client) -> None:
        if connection_id is None:
            await _watch_all(client, as_json)
        else:
            await _watch_one(client, connection_id, as_json)

    ask(context, work)


def refresh(context: typer.Context, connection_id: Id) -> None:
    """Refresh a connection now, or probe it; the exit code is 1 where it is not well after that."""

    async def work(client: Client) -> Refreshed:
        return await client.connections.refresh(connection_id)

    done = ask(context, work)
    said = [f"{done.status}, {done.health}"]
    if done.verdict is not None:
        said.append(f"the provider's answer: {done.verdict}")
    if done.status is ConnectionStatus.ACTIVE and done.expires_at is not None:
        said.append(f"the credential lives until {showing.moment(done.expires_at)}")
    typer.echo("; ".join(said))
    if done.status is not ConnectionStatus.ACTIVE or done.health is not Health.OK:
        raise typer.Exit(1)


def disconnect(
    context: typer.Context,
    connection_id: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
) -> None:
    """End a connection: revoked at the provider, its credential purged. It never lives again."""

    async def look(client: Client) -> Connection:
        return await client.connections.get(connection_id)

    async def work(client: Client) -> Connection:
        return await client.connections.disconnect(connection_id)

    if not yes:
        found = ask(context, look)
        whose = showing.cell(f"{found.linked_account_id}'s {found.slug} ({found.identifier})")
        if not typer.confirm(f"Disconnect {whose.plain} for good?", err=True):
            fail("nothing was done")
    typer.echo(ask(context, work).status)


async def _watch_one(client: Client, connection_id: str, as_json: bool) -> None:
    connection, console = await client.connections.get(connection_id), showing.console()
    if not as_json:
        console.print(showing.listed([connection]))
    seen = connection.sequence
    while connection.status is not ConnectionStatus.DISCONNECTED:
        try:
            connection = await client.connections.wait(connection_id, after=seen, timeout=LONG_POLL)
            if connection.sequence == seen:
                continue
            for one in (await client.connections.timeline(connection_id)).transitions:
                if one.sequence > seen:
                    _say(console, one.model_dump_json() if as_json else showing.change(one))
                    seen = one.sequence
        except Unavailable:
            await asyncio.sleep(EVERY)


async def _watch_all(client: Client, as_json: bool) -> None:
    cursor, console = (await client.events.page(since=FROM_NOW)).next_cursor, showing.console()
    while True:
        try:
            page = await client.events.page(after=cursor)
        except Unavailable:
            await asyncio.sleep(EVERY)
            continue
        for event in page.events:
            _say(console, event.model_dump_json() if as_json else showing.news(event))
        cursor = page.next_cursor
        if not page.has_more:
            await asyncio.sleep(EVERY)


def _say(console: Console, line: Text | str) -> None:
    """At once, also into a pipe."""
    if isinstance(line, str):
        typer.echo(line)
        return
    console.print(line, soft_wrap=True)
    console.file.flush()
