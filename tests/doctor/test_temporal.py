"""What is wrong with Temporal, broken on a real server and mended by the command that the doctor names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListNexusEndpointsRequest,
    RemoveSearchAttributesRequest,
    UpdateNexusEndpointRequest,
)
from temporalio.client import ScheduleActionExecutionStartWorkflow, ScheduleHandle
from temporalio.testing import WorkflowEnvironment

from doctor.findings import Finding, Standing
from everlink.contract import NEXUS_ENDPOINT, UPKEEP_SCHEDULE
from store.vault import new_master_key
from tests.doctor.helping import SECONDS, Operator
from tests.servers import BIN

TEXT = 1
REACHED = ("Temporal", "search attributes", "workers", "upkeep", "Nexus")


async def started(port: int | None = None) -> WorkflowEnvironment:
    return await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"), dev_server_log_level="error", port=port
    )


@pytest.fixture
async def server() -> AsyncIterator[WorkflowEnvironment]:
    """As it is before anybody has done anything for Everlink."""
    async with await started() as environment:
        yield environment


@pytest.fixture
def operator(server: WorkflowEnvironment, sqlite_url: str) -> Operator:
    return Operator(
        {
            "EVERLINK_DATABASE_URL": sqlite_url,
            "EVERLINK_MASTER_KEY": new_master_key(),
            "EVERLINK_TEMPORAL_ADDRESS": server.client.service_client.config.target_host,
        }
    )


def upkeep(server: WorkflowEnvironment) -> ScheduleHandle:
    return server.client.get_schedule_handle(UPKEEP_SCHEDULE)


async def test_new_server_is_made_ready_by_doing_what_the_doctor_says(operator: Operator) -> None:
    found = await operator.looks()
    standings = {check: found[check].standing for check in REACHED}
    assert standings == {
        "Temporal": Standing.WARNING,
        "search attributes": Standing.FAILURE,
        "workers": Standing.FAILURE,
        "upkeep": Standing.FAILURE,
        "Nexus": Standing.NOTE,
    }
    assert "after 24 hours" in found["Temporal"].said
    await operator.mends(found["Temporal"])
    await operator.sees("Temporal", Standing.OK, "30 days")
    await operator.mends(found["search attributes"])
    await operator.sees("search attributes", Standing.OK)
    async with operator.keeps_running(found["workers"]):
        await operator.sees("workers", Standing.OK)
        await operator.sees("upkeep", Standing.OK)


async def test_nexus_endpoint_that_leads_elsewhere_is_led_back(server: WorkflowEnvironment, operator: Operator) -> None:
    await operator.mends(await operator.sees("Nexus", Standing.NOTE))
    await operator.sees("Nexus", Standing.OK)
    service = server.client.operator_service
    found = (await service.list_nexus_endpoints(ListNexusEndpointsRequest(name=NEXUS_ENDPOINT))).endpoints[0]
    found.spec.target.worker.task_queue = "elsewhere"
    await service.update_nexus_endpoint(UpdateNexusEndpointRequest(id=found.id, version=found.version, spec=found.spec))
    await operator.mends(await operator.sees("Nexus", Standing.FAILURE, "task queue elsewhere"))
    await operator.sees("Nexus", Standing.OK)


async def test_namespace_that_is_not_there_is_made(operator: Operator) -> None:
    operator.variables["EVERLINK_TEMPORAL_NAMESPACE"] = "elsewhere"
    found = await operator.looks()
    assert found["Temporal"].standing is Standing.FAILURE and "search attributes" not in found
    await operator.mends(found["Temporal"])
    await operator.sees("Temporal", Standing.OK)


async def test_search_attribute_that_was_removed_or_has_another_type_is_registered_again(
    server: WorkflowEnvironment, operator: Operator
) -> None:
    await operator.mends(await operator.sees("search attributes", Standing.FAILURE, "ConnectionStatus, "))
    await operator.sees("search attributes", Standing.OK)
    service = server.client.operator_service
    gone = RemoveSearchAttributesRequest(namespace="default", search_attributes=["GrantEndsAt"])
    await service.remove_search_attributes(gone)
    await operator.mends(await operator.sees("search attributes", Standing.FAILURE, "not registered: GrantEndsAt;"))
    await operator.sees("search attributes", Standing.OK)
    await service.remove_search_attributes(gone)
    await operator.sees("search attributes", Standing.FAILURE)
    other = AddSearchAttributesRequest(namespace="default")
    other.search_attributes["GrantEndsAt"] = TEXT  # type: ignore[assignment]
    await service.add_search_attributes(other)
    await operator.mends(await operator.sees("search attributes", Standing.FAILURE, "of another type"))
    await operator.sees("search attributes", Standing.OK)


async def test_schedule_of_upkeep_that_is_paused_or_gone_comes_back(
    server: WorkflowEnvironment, operator: Operator
) -> None:
    found = await operator.looks()
    await operator.mends(found["search attributes"])
    async with operator.keeps_running(found["workers"]):
        await operator.sees("upkeep", Standing.OK)
        await upkeep(server).pause()
        await operator.mends(await operator.sees("upkeep", Standing.FAILURE, "is paused"))
        await operator.sees("upkeep", Standing.OK)
        await upkeep(server).delete()
        gone = await operator.sees("upkeep", Standing.FAILURE, "there is no schedule")
    async with operator.keeps_running(gone):
        await operator.sees("upkeep", Standing.OK)


async def test_round_of_upkeep_that_was_cut_off_shows_until_one_completes(
    server: WorkflowEnvironment, operator: Operator
) -> None:
    found = await operator.looks()
    await operator.mends(found["search attributes"])
    async with operator.keeps_running(found["workers"]):
        await operator.sees("upkeep", Standing.OK)
    await upkeep(server).trigger()  # nobody works on it
    running = await _begun(server)
    await server.client.get_workflow_handle(running).terminate()
    cut_off = await operator.sees("upkeep", Standing.FAILURE, f"{running}, ended as terminated")
    async with operator.keeps_running(found["workers"]):
        await operator.mends(cut_off)
        await operator.sees("upkeep", Standing.OK, "completed")


async def _begun(server: WorkflowEnvironment) -> str:
    async with asyncio.timeout(SECONDS):
        while not (actions := (await upkeep(server).describe()).info.running_actions):
            await asyncio.sleep(0.1)
    last = actions[-1]
    assert isinstance(last, ScheduleActionExecutionStartWorkflow)
    return last.workflow_id


async def test_server_that_is_away_is_one_failure_and_is_seen_again_when_it_is_back(
    server: WorkflowEnvironment, operator: Operator
) -> None:
    assert set(_of_temporal(await operator.looks())) == set(REACHED)
    await server.shutdown()
    address = operator.variables["EVERLINK_TEMPORAL_ADDRESS"]
    found = await operator.looks()
    assert _of_temporal(found) == {"Temporal": Standing.FAILURE} and address in found["Temporal"].said
    async with await started(port=int(address.rpartition(":")[2])):
        assert set(_of_temporal(await operator.looks())) == set(REACHED)


def _of_temporal(found: dict[str, Finding]) -> dict[str, Standing]:
    return {check: finding.standing for check, finding in found.items() if check in REACHED}
