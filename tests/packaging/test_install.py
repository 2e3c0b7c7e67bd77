"""`pip install everlink` brings the client and the plugin, with few dependencies; the service is an extra."""

from __future__ import annotations

import re
import subprocess
import sys
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packaging.conftest import REQUIRED

# Of the service, the command, and tests.
NOT_NEEDED = ("cryptography", "fastapi", "pytest", "rich", "sqlalchemy", "sqlmodel", "typer", "uvicorn")
IMPORT = """
import sys, importlib.util
import everlink, everlink.testing, everlink.plugin, everlink.contract
print(*(name for name in {names!r} if name in sys.modules or importlib.util.find_spec(name)))
"""


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as opened:
        [name] = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(opened.read(name))


def test_the_base_is_small(metadata: Message) -> None:
    base = [text for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert set(base) == REQUIRED


def test_the_command_is_an_extra(metadata: Message) -> None:
    wanted = [text for text in metadata.get_all("Requires-Dist", []) if re.search(r"extra == .cli.", text)]
    assert {text.partition(";")[0].strip() for text in wanted} == {"rich", "typer"}
    assert {"cli", "service"} <= set(metadata.get_all("Provides-Extra", []))


def test_nothing_of_the_service_is_in_it(wheel: Path) -> None:
    with ZipFile(wheel) as opened:
        names = opened.namelist()
        [entries] = [opened.read(name).decode() for name in names if name.endswith("/entry_points.txt")]
    assert {name.partition("/")[0] for name in names} == {"everlink", f"everlink-{_version(wheel)}.dist-info"}
    assert "everlink/py.typed" in names
    assert entries.split("\n\n")[0].split() == ["[console_scripts]", "everlink", "=", "everlink.cli:main"]


def test_it_is_imported_without_the_rest(installed: Path, tmp_path: Path) -> None:
    assert _imported(installed, tmp_path) == ""


def test_the_command_says_what_it_needs(installed: Path, tmp_path: Path) -> None:
    ran = subprocess.run([installed.parent / "everlink"], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 1 and "everlink[cli]" in ran.stderr


@pytest.mark.long
def test_from_registry(wheel: Path, tmp_path: Path) -> None:
    """As a user does it, in an empty environment."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True, timeout=170)
    assert _imported(python, tmp_path) == ""


def _imported(python: Path, folder: Path) -> str:
    """What is there, or loaded, of what is not needed."""
    code = IMPORT.format(names=NOT_NEEDED)
    ran = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def _version(wheel: Path) -> str:
    return wheel.name.split("-")[1]
