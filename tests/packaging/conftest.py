"""The package as its users install it: the wheel, and what it depends on, of the versions that are locked."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = {"httpx", "nexus-rpc", "pydantic", "temporalio"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    return next(folder.glob("everlink-*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has nothing else. The registry is not asked: `test_from_registry` does."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for name in _with_all_that_it_needs(REQUIRED):
        _link(name, packages)
    python = folder / "bin" / "python"
    _pip("--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    return python


def _with_all_that_it_needs(names: set[str]) -> set[str]:
    found: set[str] = set()
    left = set(names)
    while left:
        name = left.pop()
        found.add(name)
        needed = (Requirement(text) for text in distribution(name).requires or ())
        wanted = {one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})}
        left |= {canonicalize_name(one) for one in wanted} - found
    return found


def _link(name: str, packages: Path) -> None:
    installed = distribution(name)
    tops = {file.parts[0] for file in installed.files or () if ".." not in file.parts}
    for top in tops - {"__pycache__"}:
        place = packages / top
        if not place.exists():
            place.symlink_to(Path(str(installed.locate_file(top))))


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True, timeout=120)
