"""JavaScript of the documentation, run by node beside the published package."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PACKAGE = "standardwebhooks@1.1.1"
INTEGRITY = "sha512-bCbX9ZEyFkWPsRz7Bl3NuQUJohmwGSev/yhr7vhaGPlc4AfIrspIRa6cPTBuI1ItmrTDJ4d/S2hCsfe4+vQGnQ=="


def install(folder: Path) -> None:
    """Get the package with npm, and see that it is the one we know.

    Skips the test where npm is not there or does not get it.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    command = [npm, "install", PACKAGE, "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        subprocess.run(command, capture_output=True, timeout=120, cwd=folder, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"npm does not get {PACKAGE}")
    locked = json.loads((folder / "package-lock.json").read_text())
    assert locked["packages"]["node_modules/standardwebhooks"]["integrity"] == INTEGRITY


def run(folder: Path, block: str, rest: str, told: Any) -> Any:
    """What the block, with a few lines after it that print JSON, makes of what it is told on standard input."""
    (folder / "snippet.mjs").write_text(f"{block}\n{rest}")
    ran = subprocess.run(
        ["node", "snippet.mjs"], input=json.dumps(told), capture_output=True, text=True, timeout=60, cwd=folder
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
