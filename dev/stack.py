"""Starts, watches and stops the processes of Everlink on one machine.

Each process leads a session of its own, so that one signal reaches all it has started. What runs is written
to `stack.json` under a lock: a second stack is refused, and what a killed one left behind is stopped first.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from dev.config import ROOT, Process, Say, StackConfig, StackError, StackInfo, StackInterrupted, running_stack, say

__all__ = [
    "Process",
    "Stack",
    "StackConfig",
    "StackError",
    "StackInfo",
    "StackInterrupted",
    "a_stack",
    "running_stack",
]

STOP_SECONDS = 50.0  # at most; the worker takes up to 45 to finish what must not be cut off
QUICK_DEATH_SECONDS = 2.0
STOP_SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@dataclass
class Child:
    process: asyncio.subprocess.Process
    log: Path
    offset: int  # where its part of the log begins
    started: float
    ready: bool = False

    def runs(self) -> bool:
        return self.process.returncode is None

    def ending(self) -> str:
        code = self.process.returncode or 0
        return f"signal {-code}" if code < 0 else f"exit {code}"


class Stack:
    """`async with Stack(config) as stack:` everything is ready inside, and nothing of it is left after."""

    def __init__(self, config: StackConfig, processes: list[Process] | None = None, say: Say = say) -> None:
        self.config = config
        self.addresses = config.addresses
        self.pids: dict[str, int] = {}
        self.seed: dict[str, Any] = {}
        self._processes = config.processes() if processes is None else processes
        self._say = say
        self._children: dict[str, Child] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._all_ready = self._stopping = False
        self._interrupted_by: signal.Signals | None = None

    async def wait_restarted(self, name: str, old_pid: int) -> int:
        """The pid that follows `old_pid`, once that process is ready."""
        while self.pids[name] == old_pid or not self._children[name].ready:
            await asyncio.sleep(0.02)
        return self.pids[name]

    async def __aenter__(self) -> Self:
        (self.config.state / "logs").mkdir(parents=True, exist_ok=True)
        self._lock = self.config.lock()
        self._owner = asyncio.current_task()
        for number in STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores it
                asyncio.get_running_loop().add_signal_handler(number, self._interrupt, number)
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        try:
            for watcher in self._watchers:
                watcher.cancel()
            await asyncio.gather(*self._watchers, return_exceptions=True)
            for name, child in reversed(list(self._children.items())):
                await _end(child.process.pid, child.runs)
                del self._children[name]
        finally:
            self._kill()
            (self.config.state / "stack.json").unlink(missing_ok=True)
            for number in STOP_SIGNALS:
                asyncio.get_running_loop().remove_signal_handler(number)
            self._lock.close()
        if self._interrupted_by and self._owner:
            self._owner.uncancel()
            raise StackInterrupted(f"stopped by {self._interrupted_by.name}") from None

    def _interrupt(self, number: signal.Signals) -> None:
        if self._owner is None or self._owner.done():  # a test's fixture holds the stack: the whole program is meant
            self._kill()
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.raise_signal(number)
        elif not self._stopping:
            self._stopping, self._interrupted_by = True, number
            self._say("stopping")
            self._owner.cancel()
        elif number == signal.SIGINT:  # the second Ctrl-C
            self._kill()

    def _kill(self) -> None:
        for child in self._children.values():
            _send(child.process.pid, signal.SIGKILL)

    async def _start(self) -> None:
        await self._stop_leftovers()
        for process in self._processes:
            if not shutil.which(process.command[0]):
                raise StackError(f"{process.command[0]} ({process.name}) is missing; `make run` installs it")
        self.config.check_ports()
        self.config.write_catalog()
        for process in self._processes:
            child = await self._spawn(process)
            if process.ready is None:
                await self._finish(process, child)
            elif await self._becomes_ready(process, child):
                self._watchers.append(asyncio.create_task(self._watch(process)))
            else:
                raise self._failed(process, child)
            took = f"{'ready' if process.ready else 'done'} in {time.monotonic() - child.started:.1f} s"
            self._say(f"{process.name:<12}{took:<18}{process.address}".rstrip())
        self._all_ready = True
        self._save()

    async def _stop_leftovers(self) -> None:
        if info := StackInfo.read(self.config.state):
            for name, pid in reversed(info.pids.items()):
                command = info.commands[name]
                if _runs(pid, command):
                    self._say(f"{name} was left by a stack that was killed (pid {pid}), stopping it")
                    await _end(pid, partial(_runs, pid, command))

    async def _spawn(self, process: Process) -> Child:
        log = self.config.state / "logs" / f"{process.name}.log"
        with log.open("ab") as out:
            offset, started = out.tell(), time.monotonic()
            running = await asyncio.create_subprocess_exec(
                *process.command,
                stdin=DEVNULL,
                stdout=out if process.ready else PIPE,
                stderr=out,
                cwd=ROOT,
                env=self.config.environment(),
                start_new_session=True,
            )
        self._children[process.name] = child = Child(running, log, offset, started)
        self.pids[process.name] = running.pid
        self._save()
        return child

    async def _finish(self, process: Process, child: Child) -> None:
        """Runs a step to its end. What it prints may hold a key: it is logged only when the step fails."""
        output = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(process.seconds):
                output, _ = await child.process.communicate()
        if child.process.returncode != 0:
            with child.log.open("ab") as log:
                log.write(output)
            raise self._failed(process, child)
        self._forget(process)
        if process.name == "seed":
            self.seed = json.loads(output)

    async def _becomes_ready(self, process: Process, child: Child) -> bool:
        """False when it ends or takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(process.seconds):
                while process.ready and child.runs():
                    if await process.ready(child.log.read_bytes()[child.offset :]):
                        child.ready = True
                        return True
                    await asyncio.sleep(0.05)
        return False

    async def _watch(self, process: Process) -> None:
        name, pause = process.name, 0.0
        while True:
            child = self._children[name]
            await child.process.wait()
            _send(child.process.pid, signal.SIGKILL)  # what it started and left
            if not process.restart:
                self._forget(process)
                self._say(f"{name} stopped ({child.ending()}); see {child.log}")
                return
            quick = time.monotonic() - child.started < QUICK_DEATH_SECONDS
            pause = min(pause * 2 or 0.5, 15.0) if quick else 0.0
            await asyncio.sleep(pause)
            again = await self._spawn(process)
            after = f" after {pause:g} s; see {child.log}" if pause else ""
            self._say(f"{name} stopped ({child.ending()}), started again as pid {again.process.pid}{after}")
            await self._becomes_ready(process, again)

    def _failed(self, process: Process, child: Child) -> StackError:
        late = f"was not ready after {process.seconds:g} s"
        why = late if child.runs() else f"stopped ({child.ending()}) at its start"
        return StackError(f"{process.name} {why}; see {child.log}")

    def _forget(self, process: Process) -> None:
        del self._children[process.name], self.pids[process.name]
        self._save()

    def _save(self) -> None:
        commands = {process.name: process.command for process in self._processes if process.name in self.pids}
        info = StackInfo(os.getpid(), self._all_ready, self.pids, commands, self.config.ports, self.addresses)
        fresh = self.config.state / "stack.json.new"
        fresh.write_text(json.dumps(asdict(info), indent=2))
        fresh.replace(self.config.state / "stack.json")


@asynccontextmanager
async def a_stack(config: StackConfig) -> AsyncIterator[StackInfo]:
    """The stack that runs already, or one of our own."""
    if info := running_stack(config.state):
        say(f"using the stack that runs in {config.state}")
        yield info
        return
    async with Stack(config):
        info = running_stack(config.state)
        assert info is not None
        yield info


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a zombie
        os.killpg(pid, number)


async def _end(pid: int, alive: Callable[[], bool]) -> None:
    """Asks a process and all that it started to stop, then no longer asks."""
    for number, seconds in (signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5.0):
        _send(pid, number)
        deadline = time.monotonic() + seconds
        while alive() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)


def _runs(pid: int, command: list[str]) -> bool:
    """Whether the process of that id is (still) this command, and no other that came by its id since."""
    if Path("/proc/self").exists():
        with suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_text(errors="surrogateescape").split("\0")[:-1] == command
        return False
    args = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True).stdout
    return args.strip() == " ".join(command)
