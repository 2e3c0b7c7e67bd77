"""What released workflows have written replays on the present code."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from everlink.contract import STATUS, ConnectionState, Recorded, Workflow
from tests.record_histories import DELIVERIES, FOLDER, INBOX, REMOVAL, REPLAYS, SCENARIOS, UPKEEP, WAITING
from worker import plugin
from workflows import NEXUS_WORKFLOWS, ConnectionWorkflow

HISTORIES = sorted(FOLDER.glob("*.json"))
JSON = b64encode(b"json/plain").decode()
DONE = "EVENT_TYPE_ACTIVITY_TASK_COMPLETED"


def test_every_scenario_has_its_history() -> None:
    wanted = {f"connection_{scenario.__name__}" for scenario in SCENARIOS} | {
        *DELIVERIES,
        *REPLAYS,
        UPKEEP,
        REMOVAL,
        INBOX,
        WAITING,
    }
    assert wanted <= {file.stem for file in HISTORIES}


@pytest.mark.parametrize("file", HISTORIES, ids=lambda file: file.stem)
async def test_stored_history_replays(file: Path) -> None:
    result = await Replayer(plugins=[plugin()], workflows=NEXUS_WORKFLOWS).replay_workflow(_history(file))
    assert result.replay_failure is None


async def test_plan_of_reminders_that_an_older_workflow_was_given_replays() -> None:
    """While releases are mixed, an activity of the new one answers a workflow of the old one, which sets no timer."""
    days = b64encode(Recorded(reminder_days=[1.0]).model_dump_json().encode()).decode()
    file = FOLDER / "connection_dead_then_reconnected.json"
    history = json.loads(file.read_text())
    told = [event["activityTaskCompletedEventAttributes"] for event in history["events"] if event["eventType"] == DONE]
    assert len(told) == 3  # that it was connected, expired, and was reconnected
    for one in told:
        one["result"] = {"payloads": [{"metadata": {"encoding": JSON}, "data": days}]}
    given = WorkflowHistory.from_json(file.stem, history)
    result = await Replayer(plugins=[plugin()], workflows=[]).replay_workflow(given)
    assert result.replay_failure is None


@workflow.defn(name=Workflow.CONNECTION)
class BrokenConnection(ConnectionWorkflow):
    """What a careless edit would be: a write of a search attribute where there was none."""

    @workflow.init
    def __init__(self, state: ConnectionState) -> None:
        super().__init__(state)

    @workflow.run
    async def run(self, state: ConnectionState) -> None:
        workflow.upsert_search_attributes([STATUS.value_set(state.status.value)])
        await super().run(state)


@pytest.mark.parametrize(
    "file", [file for file in HISTORIES if file.stem.startswith("connection_")], ids=lambda f: f.stem
)
async def test_careless_edit_does_not_replay(file: Path) -> None:
    replayer = Replayer(
        workflows=[BrokenConnection],
        data_converter=pydantic_data_converter,
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    with pytest.raises(workflow.NondeterminismError):
        await replayer.replay_workflow(_history(file))


def _history(file: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(file.stem, file.read_text())
