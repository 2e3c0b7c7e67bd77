"""Temporal servers, ready for connections."""

from __future__ import annotations

import sys
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.testing import WorkflowEnvironment

from everlink.contract import SEARCH_ATTRIBUTES
from worker import plugin

BIN = Path(sys.executable).parent


async def start_skipping() -> WorkflowEnvironment:
    """A time-skipping server that knows our search attributes, with the worker's plugin."""
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(BIN / "temporal-test-server"), plugins=[plugin()]
    )
    types = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in SEARCH_ATTRIBUTES}
    await environment.client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace="default", search_attributes=types)
    )
    return environment


async def start_dev_server(*options: str) -> WorkflowEnvironment:
    """A real dev server of one's own: two stores must not share one, or a worker gets the other's tasks."""
    return await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        search_attributes=SEARCH_ATTRIBUTES,
        dev_server_log_level="error",
        dev_server_extra_args=options,
        plugins=[plugin()],
    )
