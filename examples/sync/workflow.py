"""Copies a customer's contacts, page by page. Nothing in it is about connections that die."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from examples.sync.activities import SyncActivities, SyncPageInput

PAUSE = timedelta(seconds=1)  # between pages, so that there is something to see


@workflow.defn
class SyncContacts:
    @workflow.run
    async def run(self, connection_id: str) -> int:
        """How many contacts were copied."""
        synced = 0
        page: int | None = 1
        while page is not None:
            found = await workflow.execute_activity_method(
                SyncActivities.sync_page,
                SyncPageInput(connection_id, page),
                start_to_close_timeout=timedelta(minutes=1),
                summary=f"page {page}",
            )
            synced += found.contacts
            workflow.set_current_details(f"{synced} contacts synced")
            page = found.next_page
            await workflow.sleep(PAUSE)
        return synced
