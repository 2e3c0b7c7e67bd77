"""Code that uses the package passes strict type checking, because every public function says its types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from ast import ImportFrom, Name, parse, walk
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import everlink
import everlink.testing
from tests.e2e import npm

USER = Path(__file__).with_name("user.py")
PYRIGHT = "pyright@1.1.414"
INTEGRITY = "sha512-FPZZb51jepDX4eP7TEYDeNFtmE3WgwkkEcJpvH3/QmUSsj0EAy3LXu+xB4T/FWDejtsXlCfFr/rbWFjwuwuXww=="
# Public functions, as they would be without what they say of their types.
UNTYPED = {
    "plugin/http.py": ("(connection_id: str, **options: Any) -> httpx.AsyncClient:", "(connection_id, **options):"),
    "testing/connection.py": ("(self, timeout: float = 30.0) -> None:", "(self, timeout=30.0):"),
}


@pytest.fixture(scope="module")
def pyright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return npm.unpack(PYRIGHT, INTEGRITY, tmp_path_factory.mktemp("pyright")) / "index.js"


def by_mypy(python: Path, folder: Path) -> str:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--python-executable", str(python)]
    ran = subprocess.run([*command, str(USER)], capture_output=True, text=True, timeout=170, cwd=folder)
    return ran.stdout + ran.stderr


def by_pyright(pyright: Path, python: Path, folder: Path, *arguments: str) -> tuple[int, str]:
    """It finds an environment by the first Python on the path."""
    path = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["node", str(pyright), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=170, cwd=folder, env=path)
    return ran.returncode, ran.stdout + ran.stderr


@contextmanager
def without_types(python: Path, file: str) -> Iterator[None]:
    [package] = python.parents[1].glob("lib/python*/site-packages/everlink")
    source, (typed, untyped) = (package / file).read_text(), UNTYPED[file]
    assert typed in source
    (package / file).write_text(source.replace(typed, untyped))
    try:
        yield
    finally:
        (package / file).write_text(source)


def test_every_public_name_is_used() -> None:
    tree = parse(USER.read_text())
    imported = {one.name for node in walk(tree) if isinstance(node, ImportFrom) for one in node.names}
    used = {node.id for node in walk(tree) if isinstance(node, Name)}
    assert set(everlink.__all__) | set(everlink.testing.__all__) <= imported & used


def test_mypy(installed: Path, tmp_path: Path) -> None:
    assert by_mypy(installed, tmp_path).startswith("Success")


@pytest.mark.long
def test_pyright(pyright: Path, installed: Path, tmp_path: Path) -> None:
    (tmp_path / USER.name).write_text(f"# pyright: strict\n{USER.read_text()}")
    code, said = by_pyright(pyright, installed, tmp_path, USER.name)
    assert code == 0, said


@pytest.mark.long
def test_no_public_name_is_of_an_unknown_type(pyright: Path, installed: Path, tmp_path: Path) -> None:
    assert unknown(pyright, installed, tmp_path) == []


@pytest.mark.long
@pytest.mark.parametrize("file", UNTYPED)
def test_a_function_without_types_is_seen(pyright: Path, installed: Path, tmp_path: Path, file: str) -> None:
    with without_types(installed, file):
        assert "error:" in by_mypy(installed, tmp_path)
        assert unknown(pyright, installed, tmp_path)


def unknown(pyright: Path, python: Path, folder: Path) -> list[str]:
    """Public names whose type nothing says. (That an attribute has the type of what is put into it, is said.)"""
    _, said = by_pyright(pyright, python, folder, "--verifytypes", "everlink", "--ignoreexternal", "--outputjson")
    found = json.loads(said)["typeCompleteness"]
    assert found["exportedSymbolCounts"]["withKnownType"] > 1000
    return [one["name"] for one in found["symbols"] if not one["isTypeKnown"] and not one["isTypeAmbiguous"]]
