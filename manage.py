"""Operator's commands that need the store: `python manage.py --help`."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any, TypeVar

import typer
from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    CreateNexusEndpointRequest,
    ListNexusEndpointsRequest,
    ListSearchAttributesRequest,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from doctor import examine, report
from doctor.findings import Finding, Standing
from everlink.contract import (
    NEXUS_ENDPOINT,
    NEXUS_TASK_QUEUE,
    SEARCH_ATTRIBUTES,
    TASK_QUEUE,
    Environment,
    KeyScope,
    RemovalKind,
    Workflow,
    nexus_endpoint,
)
from store.api_keys import ApiKeys
from store.codec import Pseudonyms, client_plugin, codec_keys
from store.custom_headers import seal_what_is_clear
from store.database import Database, StoreUnavailable, utc_now
from store.erasing import Erasing
from store.export import lines
from store.migrate import migrate
from store.removals import Removals
from store.scope import Scope
from store.settings import Settings
from store.starting import removal_start_options
from store.tenants import Tenants
from store.vault import Kind, MasterKeys, Vault, VaultError, new_master_key

Result = TypeVar("Result")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command("new-master-key")
def new_master_key_command(name: Annotated[str, typer.Argument(help="The key's id")] = "k1") -> None:
    """Print a new master key for EVERLINK_MASTER_KEY. Keep it safe: without it no credential can be read."""
    print(new_master_key(name))


@app.command()
def init() -> None:
    """Bring the database to the present schema and register the search attributes in Temporal. Idempotent.

    Webhook headers that an older version kept in clear are sealed, which takes the master key.
    """
    settings = Settings()

    async def work() -> None:
        database = Database(settings.database_url.get_secret_value())
        await migrate(database)
        await seal_what_is_clear(database, lambda: Vault(database, MasterKeys.from_settings(settings)))
        await database.close()
        await _register_search_attributes(settings)

    _run(work())
    print("database and search attributes are ready")


@app.command("create-organization")
def create_organization(name: str) -> None:
    """Add an organization and print its id."""
    print(_run(_with_database(lambda database: Tenants(database).add_organization(name, utc_now()))))


@app.command("create-api-key")
def create_api_key(
    org_id: str,
    environment: Environment,
    name: str = "default",
    scopes: Annotated[
        list[KeyScope] | None, typer.Option("--scope", help="What it may do, by default all; repeat it")
    ] = None,
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=36_500)] = None,
) -> None:
    """Make an API key and print it. It is shown once and cannot be read again."""
    scope, now = Scope(org_id, environment), utc_now()
    expires_at = None if expires_in_days is None else now + timedelta(days=expires_in_days)
    rights = scopes or list(KeyScope)

    async def work(database: Database) -> str:
        return await ApiKeys(database).add(scope, name, now, scopes=rights, expires_at=expires_at)

    print(_run(_with_database(work)))


@app.command("revoke-api-key")
def revoke_api_key(public_id: Annotated[str, typer.Argument(help="The middle part of the key")]) -> None:
    """Revoke an API key at once."""
    if not _run(_with_database(lambda database: ApiKeys(database).revoke(public_id, utc_now()))):
        sys.exit("there is no such living key")
    print("revoked")


@app.command("export-organization")
def export_organization(org_id: str) -> None:
    """Print all that an organization has, both environments after each other, as JSON lines without secrets."""

    async def work(database: Database) -> None:
        for environment in Environment:
            async for line in lines(database, Scope(org_id, environment)):
                print(line, end="")

    _run(_with_organization(org_id, work))


@app.command("erase-organization")
def erase_organization(org_id: str) -> None:
    """Disconnect all of an organization's connections and delete all that it has, in both environments, for good.

    Takes up to a day where a provider or a webhook endpoint does not answer. Run again, it goes on.
    """
    _run(_with_organization(org_id, lambda database: _erase(database, org_id)))
    print("erased")


@app.command("create-nexus-endpoint")
def create_nexus_endpoint(
    organization: Annotated[str | None, typer.Option(help="Reach only its connections, by default everybody's")] = None,
    environment: Annotated[Environment, typer.Option(help="The environment of that organization")] = Environment.TEST,
) -> None:
    """Make the Nexus endpoint by which workflows elsewhere ask about connections, and print its name. Idempotent."""
    name = NEXUS_ENDPOINT if organization is None else nexus_endpoint(organization, environment)
    _run(_create_endpoint(Settings(), name))
    print(name)


@app.command("search-value")
def search_value(account_id: str) -> None:
    """Print what `LinkedAccount` is in Temporal's lists for a linked account: a pseudonym, where the codec is on."""
    try:
        keys = codec_keys(Settings())
    except VaultError as error:
        sys.exit(f"everlink: {error}")
    print(Pseudonyms(keys).of(account_id) if keys is not None else account_id)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs")] = False,
) -> None:
    """Look at everything that Everlink needs, and say how to mend what is wrong. Exits 1 at a failure."""

    async def work() -> list[Finding]:
        return [finding async for finding in examine(Settings())]

    findings = _run(work())
    print(report.as_json(findings)) if as_json else report.show(findings)
    if any(finding.standing is Standing.FAILURE for finding in findings):
        raise typer.Exit(1)


@app.command("check-worker")
def check_worker() -> None:
    """Exit 0 where a worker of this host polls Temporal; for container health checks."""
    settings = Settings()

    async def polls() -> bool:
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=settings.temporal_namespace,
                task_queue=TaskQueue(name=TASK_QUEUE),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            )
        )
        return any(poller.identity.endswith(f"@{socket.gethostname()}") for poller in answer.pollers)

    if not _run(polls()):
        sys.exit("no worker of this host polls Temporal")
    print("ok")


@app.command("dev-seed", hidden=True)
def dev_seed() -> None:
    """For `make run`: an organization, a key, the sandbox applications and a linked account. Idempotent."""
    print(json.dumps(_run(_dev_seed(Settings()))))


async def _dev_seed(settings: Settings) -> dict[str, str]:
    if not settings.dev:
        sys.exit("dev-seed is for development: EVERLINK_DEV=1")
    file = settings.state_dir / "dev.json"
    if not file.exists():
        seed = await _make_dev_seed(settings)
        file.touch(mode=0o600)
        file.write_text(json.dumps(seed))
    await _create_endpoint(settings, NEXUS_ENDPOINT)
    seed = json.loads(file.read_text())
    headers = f"-H 'x-api-key: {seed['api_key']}' -H 'linked_account_id: {seed['linked_account_id']}'"
    link = f"{settings.public_url}/api/v2/public/linked-account/integration/oauth-url/sandbox"
    return {**seed, "connect_command": f"curl {headers} {link}"}


async def _make_dev_seed(settings: Settings) -> dict[str, str]:
    database, now = Database(settings.database_url.get_secret_value()), utc_now()
    tenants, vault = Tenants(database), Vault(database, MasterKeys.from_settings(settings))
    scope = Scope(await tenants.add_organization("Development", now), Environment.TEST)
    application = await tenants.enable_application(scope, "sandbox", {"client_id": "everlink-sandbox"}, now)
    sealed = await vault.seal(scope, Kind.CLIENT_SECRET, application, b"sandbox-secret")
    await tenants.enable_application(scope, "sandbox", {"client_secret": sealed}, now)
    await tenants.enable_application(scope, "sandbox-key", {}, now)
    await tenants.save_linked_account(scope, "acme", {"name": "Acme Inc."}, now)
    api_key = await ApiKeys(database).add(scope, "development", now)
    await database.close()
    return {"organization": scope.org_id, "api_key": api_key, "linked_account_id": "acme"}


async def _erase(database: Database, org_id: str) -> None:
    """The workers do it; here it is begun, and watched."""
    settings, removals = Settings(), Removals(database)
    client = await Client.connect(
        settings.temporal_address, namespace=settings.temporal_namespace, plugins=[client_plugin(settings)]
    )
    for environment in Environment:
        scope = Scope(org_id, environment)
        removal = await removals.begin(scope, RemovalKind.ORGANIZATION, org_id, utc_now())
        assert removal is not None
        with suppress(WorkflowAlreadyStartedError):
            await client.start_workflow(Workflow.REMOVAL, **removal_start_options(removal))
    for environment in Environment:
        scope, shown = Scope(org_id, environment), ""
        while (under_way := await removals.of_organization(scope)) is not None:
            line = f"{environment}: {under_way.done} of {under_way.total} connections"
            if line != shown:
                print(shown := line, flush=True)
            await asyncio.sleep(1)
        print(f"{environment}: nothing is left", flush=True)
    await Erasing(database).forget_organization(org_id)


async def _register_search_attributes(settings: Settings) -> None:
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    operator, namespace = client.operator_service, settings.temporal_namespace
    known = await operator.list_search_attributes(ListSearchAttributesRequest(namespace=namespace))
    missing = {
        key.name: IndexedValueType.ValueType(key.indexed_value_type)
        for key in SEARCH_ATTRIBUTES
        if key.name not in known.custom_attributes
    }
    if missing:
        await operator.add_search_attributes(AddSearchAttributesRequest(namespace=namespace, search_attributes=missing))


async def _create_endpoint(settings: Settings, name: str) -> None:
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    worker = EndpointTarget.Worker(namespace=settings.temporal_namespace, task_queue=NEXUS_TASK_QUEUE)
    wanted = EndpointSpec(name=name, target=EndpointTarget(worker=worker))
    found = await client.operator_service.list_nexus_endpoints(ListNexusEndpointsRequest(name=name))
    if not found.endpoints:
        await client.operator_service.create_nexus_endpoint(CreateNexusEndpointRequest(spec=wanted))
    elif found.endpoints[0].spec.target != wanted.target:
        sys.exit(f"everlink: there is a Nexus endpoint {name} already, which leads elsewhere")


async def _with_organization(org_id: str, work: Callable[[Database], Awaitable[None]]) -> None:
    database = Database(Settings().database_url.get_secret_value())
    try:
        if not await Tenants(database).has_organization(org_id):
            sys.exit("there is no such organization")
        await work(database)
    finally:
        await database.close()


async def _with_database(work: Callable[[Database], Awaitable[Result]]) -> Result:
    database = Database(Settings().database_url.get_secret_value())
    try:
        return await work(database)
    finally:
        await database.close()


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end; what an operator can mend is one line."""
    try:
        return asyncio.run(work)
    except (VaultError, StoreUnavailable) as error:
        sys.exit(f"everlink: {error}")
    except (RPCError, RuntimeError) as error:
        sys.exit(f"everlink: Temporal at {Settings().temporal_address}: {error}")


def main() -> None:
    """Leaves without tearing the interpreter down.

    The threads of Temporal's client can outlive the work and, seldom, abort a process that is being torn down:
    a job that had done everything would count as failed.
    """
    try:
        app()
    except SystemExit as done:
        if isinstance(done.code, str):
            print(done.code, file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(done.code if isinstance(done.code, int) else int(done.code is not None))


if __name__ == "__main__":
    main()
