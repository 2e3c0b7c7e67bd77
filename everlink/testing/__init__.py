"""For tests of your workflows and activities: an Everlink in your test's process, whose connections the test drives."""

from everlink.testing.connection import FakeConnection, Report
from everlink.testing.fake import FakeEverlink

__all__ = ["FakeConnection", "FakeEverlink", "Report"]
