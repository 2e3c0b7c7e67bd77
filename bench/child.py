"""What worker processes of the bench have in common: they are asked by lines, and tell the SDK's metrics."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig


def standard_output() -> TextIO:
    """Ours alone: the SDK's core, which logs there, is given the standard error instead. Called before all else."""
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("temporalio").setLevel(logging.ERROR)  # a workflow that the bench terminates is no news
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def measured(port: int | None) -> Runtime | None:
    """A runtime with its metrics on this port; None where nobody asks for them."""
    if port is None:
        return None
    return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=f"127.0.0.1:{port}")))


async def answer_lines(answers: TextIO, count: Callable[[], dict[str, Any]]) -> None:
    """Answer each line of the standard input by one of JSON, until it ends."""
    print("ready", file=answers, flush=True)
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        answer = {"resident": resident_bytes()} if line.strip() == "memory" else count()
        print(json.dumps(answer), file=answers, flush=True)


def resident_bytes() -> int:
    """Memory that is really in use: garbage collected, free pages given back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
