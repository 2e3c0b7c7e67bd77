"""What was measured, as a table and as `bench/results.json`."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results.json"
LIBRARIES = ("temporalio", "sqlalchemy", "aiosqlite", "asyncpg", "httpx", "pydantic")


@dataclass(frozen=True)
class Part:
    """Raw samples, and the figures drawn from them."""

    samples: list[dict[str, Any]]
    figures: dict[str, Any]  # a number, or a spread


def spread(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}


def machine() -> dict[str, Any]:
    """Where and with what it was measured, and how busy that machine was already."""
    temporal = [str(Path(sys.executable).parent / "temporal"), "--version"]
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "temporal": subprocess.run(temporal, capture_output=True, text=True, check=True).stdout.strip(),
        **{name: version(name) for name in LIBRARIES},
        "load_before": os.getloadavg(),
    }


def table(name: str, part: Part) -> str:
    lines = [f"\n{name}"]
    for what, value in part.figures.items():
        if isinstance(value, dict):
            text = f"{value['median']:10.3f}   ({value['min']:.3f} to {value['max']:.3f})"
        else:
            text = f"{value:10.3f}" if isinstance(value, float) else f"{value:>10}"
        lines.append(f"  {what:<58}{text}")
    return "\n".join(lines)


def write(about: dict[str, Any], parts: dict[str, Part]) -> None:
    """Put these parts in the place of their like; each tells of the machine as it was."""
    results = json.loads(RESULTS.read_text())
    for name, part in parts.items():
        results[name] = {"machine": about, "figures": part.figures, "samples": part.samples}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
