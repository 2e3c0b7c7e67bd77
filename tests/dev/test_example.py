"""What `make example` says where it cannot start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dev.config import ROOT


def run(module: str, **variables: str) -> tuple[int, str]:
    command = [sys.executable, "-m", module]
    ran = subprocess.run(command, env={**os.environ, **variables}, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return ran.returncode, ran.stderr


def test_busy_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        said = run("dev.example", EVERLINK_STATE_DIR=str(tmp_path), EXAMPLE_PORT=port)
    assert said == (1, f"port {port} (example) is busy; set EXAMPLE_PORT to another or stop what uses it\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("port", ["x", "70000"])
def test_port_is_a_number(port: str, tmp_path: Path) -> None:
    code, err = run("dev.example", EVERLINK_STATE_DIR=str(tmp_path), EXAMPLE_PORT=port)
    assert (code, err) == (1, f"EXAMPLE_PORT must be a number from 1 to 65535, not {port!r}\n")


def test_product_names_the_setting_that_is_missing() -> None:
    code, err = run("examples.product", EVERLINK_URL="http://127.0.0.1:9")
    assert (code, err) == (1, "EVERLINK_API_KEY is not set; `make example` sets everything\n")
