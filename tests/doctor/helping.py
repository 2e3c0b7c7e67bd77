"""An operator who does what the doctor says."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from doctor import examine
from doctor.findings import Finding, Standing
from store.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
SECONDS = 30.0


@dataclass
class Operator:
    """Everlink's settings, as environment variables."""

    variables: dict[str, str]

    async def looks(self) -> dict[str, Finding]:
        names = {name.removeprefix("EVERLINK_").lower(): value for name, value in self.variables.items()}
        return {finding.check: finding async for finding in examine(Settings.model_validate(names))}

    async def sees(self, check: str, standing: Standing, said: str = "") -> Finding:
        """A finding, as soon as it is so: a server may take a moment."""
        deadline = asyncio.get_running_loop().time() + SECONDS
        while True:
            found = await self.looks()
            finding = found.get(check)
            if finding is not None and finding.standing is standing and said in finding.said:
                return finding
            assert asyncio.get_running_loop().time() < deadline, found
            await asyncio.sleep(0.2)

    async def mends(self, finding: Finding) -> None:
        """Runs the command that the finding names."""
        process = await self._start(finding)
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()

    @asynccontextmanager
    async def keeps_running(self, finding: Finding) -> AsyncIterator[None]:
        process = await self._start(finding)
        try:
            yield
        finally:
            process.terminate()
            await process.wait()

    async def _start(self, finding: Finding) -> asyncio.subprocess.Process:
        assert finding.mend is not None
        _, _, command = finding.mend.rpartition(": ")
        return await asyncio.create_subprocess_shell(
            f"exec {command}" if "&&" not in command else command,
            cwd=ROOT,
            env={"PATH": PROGRAMS, "HOME": os.environ.get("HOME", "/"), **self.variables},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
        )
