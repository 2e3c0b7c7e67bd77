"""What users may import is listed, and says what it is."""

from __future__ import annotations

import importlib
import inspect
from enum import Enum
from types import ModuleType

import pytest

import everlink

PUBLIC = ("everlink", "everlink.client", "everlink.contract", "everlink.plugin", "everlink.testing")
NAMES = {
    "Client",
    "Credential",
    "EverlinkError",
    "EverlinkPlugin",
    "NotFound",
    "ReauthRequired",
    "Unavailable",
    "Wait",
    "credential",
    "http",
    "waiting",
}


@pytest.fixture(params=PUBLIC)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


def test_names_are_listed_in_order(module: ModuleType) -> None:
    constants = [name for name in module.__all__ if name.isupper()]
    classes = [name for name in module.__all__ if name[0].isupper() and not name.isupper()]
    functions = [name for name in module.__all__ if name[0].islower()]
    assert module.__all__ == sorted(constants) + sorted(classes) + sorted(functions)
    assert all(hasattr(module, name) for name in module.__all__)


def test_nothing_public_is_left_out(module: ModuleType) -> None:
    """What is imported here from a part of the package is public, or has a name that says that it is not."""
    own = {name for name, one in vars(module).items() if _is_defined_by(module, one) and not name.startswith("_")}
    assert own - set(module.__all__) <= {"PASSED_THROUGH"}


def test_everything_says_what_it_is(module: ModuleType) -> None:
    assert module.__doc__
    for name in module.__all__:
        one = getattr(module, name)
        if inspect.isclass(one) and issubclass(one, Enum):
            continue  # its members do
        if inspect.isclass(one) or inspect.isfunction(one):
            assert one.__doc__, f"{module.__name__}.{name}"


def test_what_a_worker_needs_is_at_the_top() -> None:
    assert set(everlink.__all__) == NAMES


def _is_defined_by(module: ModuleType, one: object) -> bool:
    if not (inspect.isclass(one) or inspect.isfunction(one)):
        return False
    return one.__module__ == module.__name__
