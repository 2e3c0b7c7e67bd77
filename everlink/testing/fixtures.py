"""For pytest: `pytest_plugins = ["everlink.testing.fixtures"]`."""

from __future__ import annotations

import pytest

from everlink.testing.fake import FakeEverlink


@pytest.fixture
def fake_everlink() -> FakeEverlink:
    """An Everlink of this test's own, without connections."""
    return FakeEverlink()
