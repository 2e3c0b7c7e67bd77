"""What pages in Temporal's Web UI say in words."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.testing import WorkflowEnvironment

from everlink.contract import (
    TASK_QUEUE,
    ConnectionState,
    ConnectionStatus,
    Health,
    ReauthReason,
    Workflow,
    static_details,
    static_summary,
    verbatim,
)
from store.database import utc_now
from tests.workflows.provider import Life, new_ref
from workflows import page

EVIL = "`[click](https://evil.example)` ![x](https://evil.example/p.png)\n\n# <img src=x> **b** www.evil.example"
NOW = utc_now()
RECONNECT = "/reconnect` answers"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("acme", "`acme`"),
        ("umbrella_corp*", "`umbrella_corp*`"),
        ("a `b` c", "``a `b` c``"),
        ("`", "`` ` ``"),
        ("``x", "``` ``x ```"),
        ("two\nlines\t", "`two lines`"),
        ("", "` `"),
    ],
)
def test_words_from_outside_are_one_code_span(text: str, shown: str) -> None:
    assert verbatim(text) == shown


def test_nothing_from_outside_stands_outside_of_code() -> None:
    state = ConnectionState(ref=new_ref().model_copy(update={"linked_account_id": EVIL, "identifier": EVIL}))
    for text in (static_summary(state.ref), static_details(state.ref), page.details(state)):
        assert verbatim(EVIL) in text and "evil" not in text.replace(verbatim(EVIL), "")


def test_details_lead_to_the_console() -> None:
    url = "https://e.example/console/connections/con_1"
    assert f"]({url})" in page.details(ConnectionState(ref=new_ref(), console_url=url))
    assert "](" not in page.details(ConnectionState(ref=new_ref()))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"status": ConnectionStatus.PENDING}, "nothing"),
        ({"status": ConnectionStatus.ACTIVE}, "nothing"),
        ({"status": ConnectionStatus.REAUTH_REQUIRED, "reason": ReauthReason.ACCESS_REVOKED}, RECONNECT),
        (
            {"status": ConnectionStatus.REAUTH_REQUIRED, "reason": ReauthReason.APPLICATION_DELETED},
            "enable the application sandbox again, then",
        ),
        ({"status": ConnectionStatus.ACTIVE, "failures": 2}, "correct the client of the application sandbox"),
        (
            {"status": ConnectionStatus.ACTIVE, "failures": 2, "troubled_since": NOW, "health": Health.DEGRADED},
            "look whether the provider is out",
        ),
        ({"status": ConnectionStatus.ACTIVE, "last_notice": 7, "ends_at": NOW + timedelta(days=7)}, RECONNECT),
        ({"status": ConnectionStatus.DISCONNECTED}, "the customer can connect anew"),
    ],
)
def test_reader_is_told_what_to_do_next(more: dict[str, object], said: str) -> None:
    state = ConnectionState(ref=new_ref(), **more)  # type: ignore[arg-type]
    next_line = next(line for line in page.details(state).splitlines() if line.startswith("- Next, for you: "))
    assert said in next_line


async def test_page_of_a_later_run_says_whose_it_is_and_leads_to_the_console(
    life: Life, skipping: WorkflowEnvironment
) -> None:
    """Summary and static details of the start are gone by then."""
    url = f"https://e.example/console/connections/{life.ref.connection_id}"
    first = await skipping.client.start_workflow(
        Workflow.CONNECTION, ConnectionState(ref=life.ref, console_url=url), id=life.handle.id, task_queue=TASK_QUEUE
    )
    await life.connect()
    await skipping.sleep(timedelta(hours=30))
    told: WorkflowMetadata = await life.handle.query("__temporal_workflow_metadata")
    assert (await life.handle.describe()).run_id != first.first_execution_run_id
    assert f"]({url})" in told.current_details and verbatim(life.ref.linked_account_id) in told.current_details
