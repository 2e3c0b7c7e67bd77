"""Everlink on one machine: which processes run, where they listen, and what they are told of each other.

`dev.stack` runs them; `make run` and the demo are built on it.
"""

import asyncio
import fcntl
import json
import os
import random
import socket
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from everlink.contract import SEARCH_ATTRIBUTES
from providers.catalog import OWN

VARIABLES = {
    "temporal_port": "TEMPORAL_PORT",
    "web_ui_port": "WEB_UI_PORT",
    "api_port": "API_PORT",
    "sandbox_port": "SANDBOX_PORT",
    "access_token_seconds": "SANDBOX_ACCESS_TOKEN_SECONDS",
}
ROOT = Path(__file__).resolve().parent.parent
REPORTED_PROBLEMS = "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute"  # workflows that are stuck
SANDBOX_IN_CATALOG = "http://127.0.0.1:8090"

Say = Callable[[str], None]
Probe = Callable[[bytes], Awaitable[bool]]  # is given what the process has logged since its start


class StackError(Exception):
    """Why the stack cannot run: one line for whoever started it."""


class StackInterrupted(StackError):
    """A signal asked the stack to stop, and it did."""


@dataclass(frozen=True)
class Process:
    name: str
    command: list[str]
    ready: Probe | None = None  # without one, it runs to its end before the next starts
    address: str = ""
    restart: bool = False
    seconds: float = 30.0  # to be ready in


@dataclass(frozen=True)
class Addresses:
    api: str
    web_ui: str
    temporal: str
    sandbox: str


def free_port() -> int:
    """Below the ephemeral ports, of which Temporal's inner services take some at every start."""
    source = random.Random()  # what seeds the common one, a test say, chooses no ports
    while True:
        port = source.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@dataclass(frozen=True)
class StackConfig:
    state: Path = Path(".everlink")
    temporal_port: int = 7233
    web_ui_port: int = 8233
    api_port: int = 8080
    sandbox_port: int = 8090
    access_token_seconds: int = 20  # short, so that a newcomer sees refreshes
    sandbox_url: str | None = None  # a sandbox that runs elsewhere: none is started

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        numbers = {name: number(variable, env[variable]) for name, variable in VARIABLES.items() if env.get(variable)}
        state = Path(env.get("EVERLINK_STATE_DIR") or cls.state)
        return cls(state=state, sandbox_url=env.get("SANDBOX_URL", "").rstrip("/") or None, **numbers)

    @classmethod
    def on_free_ports(cls, state: Path) -> Self:
        """For tests."""
        ports: set[int] = set()
        while len(ports) < 4:
            ports.add(free_port())
        temporal, web_ui, api, sandbox = ports
        return cls(state, temporal, web_ui, api, sandbox)

    @property
    def ports(self) -> dict[str, int]:
        ports = {"temporal": self.temporal_port, "web_ui": self.web_ui_port, "api": self.api_port}
        return ports if self.sandbox_url else ports | {"sandbox": self.sandbox_port}

    @property
    def addresses(self) -> Addresses:
        return Addresses(
            api=f"http://127.0.0.1:{self.api_port}",
            web_ui=f"http://127.0.0.1:{self.web_ui_port}",
            temporal=f"127.0.0.1:{self.temporal_port}",
            sandbox=self.sandbox_url or f"http://127.0.0.1:{self.sandbox_port}",
        )

    def environment(self) -> dict[str, str]:
        """The caller's environment, and what the processes are told of each other."""
        state = self.state.resolve()
        return {
            "EVERLINK_DATABASE_URL": f"sqlite+aiosqlite:///{state}/everlink.sqlite3",
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "EVERLINK_DEV": "1",
            "EVERLINK_STATE_DIR": str(state),
            "EVERLINK_TEMPORAL_ADDRESS": self.addresses.temporal,
            "EVERLINK_PUBLIC_URL": self.addresses.api,
            "EVERLINK_WEB_UI_URL": self.addresses.web_ui,
            "EVERLINK_HOST": "127.0.0.1",
            "EVERLINK_PORT": str(self.api_port),
            "EVERLINK_CATALOG_DIR": str(state / "catalog"),
            "EVERLINK_ALLOWED_TARGETS": "127.0.0.1",
            "SANDBOX_PORT": str(self.sandbox_port),
            "SANDBOX_DB": str(state / "sandbox.sqlite3"),
            "SANDBOX_REDIRECT_URIS": " ".join(f"{self.addresses.api}/api/v1/{slug}/callback" for slug in self.slugs()),
            "SANDBOX_ACCESS_TOKEN_SECONDS": str(self.access_token_seconds),
        }

    def lock(self) -> IO[str]:
        """The right to run a stack in this state directory, until it is closed."""
        lock = (self.state / "stack.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise StackError(f"a stack runs in {self.state} already; stop it or set EVERLINK_STATE_DIR") from None
        return lock

    def check_ports(self) -> None:
        with ExitStack() as held:  # all at once, so that no two are the same
            for name, port in self.ports.items():
                try:
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
                except OSError:
                    variable = VARIABLES[f"{name}_port"]
                    raise StackError(
                        f"port {port} ({name}) is busy; set {variable} to another or stop what uses it"
                    ) from None

    def write_catalog(self) -> None:
        """The sandbox's applications, at the address where the sandbox listens now."""
        catalog = self.state / "catalog"
        catalog.mkdir(exist_ok=True)
        for entry in sorted((ROOT / "sandbox" / "catalog").glob("*.yaml")):
            text = entry.read_text(encoding="utf-8").replace(SANDBOX_IN_CATALOG, self.addresses.sandbox)
            (catalog / entry.name).write_text(text, encoding="utf-8")

    def slugs(self) -> list[str]:
        """The applications of this machine: the sandbox's, what else was put beside them, and each as one's own."""
        files = sorted(entry.stem for entry in (self.state / "catalog").glob("*.yaml"))
        return [*files, *(f"{OWN}{slug}" for slug in files)]

    def processes(self) -> list[Process]:
        """What makes up Everlink, in the order of starting."""
        python, temporal, at = sys.executable, str(Path(sys.executable).parent / "temporal"), self.addresses
        database = str(self.state.resolve() / "temporal.sqlite3")
        server = [temporal, "server", "start-dev", "--db-filename", database, "--log-level", "warn"]
        server += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"]
        server += ["--ip", "127.0.0.1", "--port", f"{self.temporal_port}", "--ui-port", f"{self.web_ui_port}"]
        server += ["--dynamic-config-value", f"{REPORTED_PROBLEMS}=2"]
        server += [f"--search-attribute={key.name}={key.indexed_value_type.name.title()}" for key in SEARCH_ATTRIBUTES]
        retain = [temporal, "operator", "namespace", "update", "-n", "default", "--retention", "30d"]
        retain += ["--address", at.temporal]
        sandbox = Process("sandbox", [python, "-m", "sandbox"], answers(f"{at.sandbox}/healthz"), at.sandbox)
        return [
            Process("temporal", server, succeeds(retain), at.web_ui),
            Process("database", [python, "manage.py", "init"]),
            Process("seed", [python, "manage.py", "dev-seed"]),
            *([] if self.sandbox_url else [sandbox]),
            Process("worker", [python, "worker.py"], logs("worker ready"), restart=True),
            Process("api", [python, "-m", "api"], answers(f"{at.api}/readyz"), at.api, restart=True),
        ]


@dataclass(frozen=True)
class StackInfo:
    """What `stack.json` says of a stack while it runs."""

    supervisor: int
    ready: bool
    pids: dict[str, int]
    commands: dict[str, list[str]]
    ports: dict[str, int]
    addresses: Addresses

    @classmethod
    def read(cls, state: Path) -> Self | None:
        try:
            said = json.loads((state / "stack.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return cls(**said | {"addresses": Addresses(**said["addresses"])})


def running_stack(state: Path) -> StackInfo | None:
    """The stack that runs in a state directory, once all of it is ready."""
    info = StackInfo.read(state)
    if info and info.ready:
        try:
            StackConfig(state).lock().close()  # free: its supervisor was killed
        except StackError:
            return info
    return None


def say(line: str) -> None:
    with suppress(OSError):  # the terminal may be gone
        print(line, flush=True)


def logs(text: str) -> Probe:
    """Ready once it has logged the text."""

    async def probe(logged: bytes) -> bool:
        return text.encode() in logged

    return probe


def succeeds(command: list[str]) -> Probe:
    """Ready once a command about it succeeds."""

    async def probe(logged: bytes) -> bool:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
        try:
            return await process.wait() == 0
        finally:
            with suppress(ProcessLookupError):
                process.kill()

    return probe


def answers(url: str) -> Probe:
    """Ready once it answers a GET with 200."""
    authority, _, path = url.removeprefix("http://").partition("/")
    host, _, port = authority.partition(":")
    request = f"GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"

    async def probe(logged: bytes) -> bool:
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(host, int(port))
                try:
                    writer.write(request.encode())
                    return b" 200 " in await reader.readline()
                finally:
                    writer.close()
        except OSError:  # a timeout is one, too
            return False

    return probe


def number(variable: str, text: str) -> int:
    highest = 65535 if variable.endswith("_PORT") else 365 * 24 * 3600
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= highest):
        raise StackError(f"{variable} must be a number from 1 to {highest}, not {text!r}")
    return int(text)
