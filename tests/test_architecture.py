"""Imports point one way, as docs/architecture.md draws them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "everlink": {"everlink"},
    "providers": {"providers", "everlink"},
    "store": {"store", "everlink"},
    "activities": {"activities", "providers", "store", "everlink"},
    "workflows": {"workflows", "everlink"},
    "api": {"api", "providers", "store", "everlink"},
    "worker": {"activities", "workflows", "providers", "store", "everlink"},
    "doctor": {"doctor", "providers", "store", "everlink"},
    "manage": {"doctor", "store", "everlink"},
    "sandbox": {"sandbox"},
    "examples": {"examples", "everlink"},
    # The reference page is made of the API's description, the editors' schema of the catalog's model.
    "dev": {"dev", "sandbox", "everlink", "api", "providers"},
}
ROOMS = tuple(MAY_IMPORT)
LIBRARIES = {"httpx", "nexusrpc", "pydantic", "temporalio"}
SERVICE = ("everlink", "providers", "store", "activities", "workflows", "api", "worker", "doctor", "manage")


def modules(room: str) -> list[Path]:
    single = ROOT / f"{room}.py"
    return [single] if single.exists() else sorted((ROOT / room).rglob("*.py"))


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_only_what_it_may(room: str) -> None:
    files = modules(room)
    assert files
    for file in files:
        rooms = {name.split(".")[0] for name in imported(file)} & set(ROOMS)
        assert rooms <= MAY_IMPORT[room], f"{file.relative_to(ROOT)} imports {rooms - MAY_IMPORT[room]}"


def test_what_users_install_needs_few_libraries() -> None:
    """The rest is for the command, and for pytest's users."""
    for file in modules("everlink"):
        part = file.relative_to(ROOT / "everlink")
        more = {"rich", "typer"} if part.parts[0] == "cli" else {"pytest"} if part.name == "fixtures.py" else set()
        tops = {name.split(".")[0] for name in imported(file)} - set(sys.stdlib_module_names)
        assert tops <= {"everlink", *LIBRARIES, *more}, part


def test_workflows_import_nothing_but_the_contract_and_temporal() -> None:
    for file in modules("workflows"):
        for name in imported(file):
            top = name.split(".")[0]
            allowed = (
                top in sys.stdlib_module_names or top in ("temporalio", "workflows") or name == "everlink.contract"
            )
            assert allowed, f"{file.name} imports {name}"


def test_contract_imports_no_other_room() -> None:
    for file in sorted((ROOT / "everlink" / "contract").glob("*.py")):
        rooms = {name for name in imported(file) if name.split(".")[0] in ROOMS}
        assert all(name.startswith("everlink.contract") for name in rooms), file.name


@pytest.mark.parametrize("room", SERVICE)
def test_service_knows_nothing_of_development(room: str) -> None:
    for file in modules(room):
        assert not {"bench", "dev", "examples", "sandbox", "django"} & {name.split(".")[0] for name in imported(file)}


def test_every_client_has_the_codec_because_nobody_else_chooses_a_converter() -> None:
    """The worker's plugin has the plain one, for tests and replayers."""
    rooms = [room for room in SERVICE if room != "everlink"]
    chosen = {file for room in rooms for file in modules(room) if "temporalio.contrib.pydantic" in imported(file)}
    assert {file.relative_to(ROOT).as_posix() for file in chosen} == {"store/codec.py", "worker.py"}


def test_importing_the_contract_loads_no_service_library() -> None:
    code = "import everlink.contract, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"fastapi", "sqlmodel", "sqlalchemy", "asyncpg", "yaml"} & set(loaded.stdout.split())
