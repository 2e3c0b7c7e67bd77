"""What workflows have written with a released plugin, and without one, replays with the present one."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from everlink import EverlinkPlugin, Wait
from tests.plugin.record_histories import FOLDER, SCENARIOS
from tests.plugin.world import WORKFLOWS

HISTORIES = sorted(FOLDER.glob("*.json"))
CHANGED = {"nexus_endpoint": "another", "wait": Wait.NEVER}
WAITS = [file for file in HISTORIES if file.stem != "without_the_plugin"]


def test_every_scenario_has_its_history() -> None:
    assert {scenario.__name__ for scenario in SCENARIOS} <= {file.stem for file in HISTORIES}


@pytest.mark.parametrize(
    "settings", [{}, {"nexus_endpoint": "another", "wait": Wait.NEVER}], ids=["as it was", "changed"]
)
@pytest.mark.parametrize("file", HISTORIES, ids=lambda file: file.stem)
async def test_stored_history_replays_whatever_the_plugins_settings(file: Path, settings: dict[str, object]) -> None:
    plugin = EverlinkPlugin("http://unused", "tk_unused", **settings)
    result = await Replayer(workflows=WORKFLOWS, plugins=[plugin]).replay_workflow(_history(file))
    assert result.replay_failure is None


@pytest.mark.parametrize("file", WAITS, ids=lambda file: file.stem)
async def test_a_wait_does_not_replay_without_the_plugin(file: Path) -> None:
    with pytest.raises(NondeterminismError):
        await Replayer(workflows=WORKFLOWS, workflow_runner=UnsandboxedWorkflowRunner()).replay_workflow(_history(file))


def _history(file: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(file.stem, file.read_text())
