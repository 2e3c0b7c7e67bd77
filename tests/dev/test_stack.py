"""The supervisor, with stand-ins for the processes."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from dev.config import ROOT, StackInfo, logs
from dev.stack import Process, Stack, StackConfig, StackError, running_stack

UP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {UP}"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); {UP}"
SUPERVISOR = """
import asyncio, signal, sys
from pathlib import Path
from dev.config import logs
from dev.stack import Process, Stack, StackConfig

async def main():
    worker = Process("worker", [sys.executable, "-c", sys.argv[2]], logs("up"))
    stack = Stack(StackConfig.on_free_ports(Path(sys.argv[1])), [worker])
    if sys.argv[3:] == ["fixture"]:
        await asyncio.create_task(stack.__aenter__())
        await asyncio.Event().wait()
    async with stack:
        await asyncio.Event().wait()

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
asyncio.run(main())
"""


def stand_in(name: str, code: str = UP, restart: bool = False, seconds: float = 10) -> Process:
    return Process(name, [sys.executable, "-c", code], logs("up"), restart=restart, seconds=seconds)


def step(name: str, code: str) -> Process:
    return Process(name, [sys.executable, "-c", code])


def group(leader: int) -> set[int]:
    """The living processes of a process group."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, pgrp, *_ = stat.read_text().rpartition(")")[2].split()
            if int(pgrp) == leader and state != "Z":
                found.add(int(stat.parent.name))
    return found


async def is_gone(leader: int) -> bool:
    """SIGKILL takes a moment to have its effect."""
    for _ in range(100):
        if not group(leader):
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    return StackConfig.on_free_ports(tmp_path / "state")


class Supervisor:
    """A stack with one worker, in a process of its own."""

    def __init__(self, state: Path, worker: str = UP, *how: str) -> None:
        command = [sys.executable, "-c", SUPERVISOR, str(state), worker, *how]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not (info := running_stack(state)):
            assert self.process.poll() is None
            time.sleep(0.02)
        self.worker = info.pids["worker"]


async def test_what_runs_can_be_read_and_nothing_is_left_after(config: StackConfig) -> None:
    said: list[str] = []
    processes = [stand_in("first", PARENT), step("seed", 'print(\'{"api_key": "k"}\')'), stand_in("second")]
    async with Stack(config, processes, said.append) as stack:
        info = running_stack(config.state)
        assert info and info.pids == stack.pids and info.addresses == stack.addresses == config.addresses
        assert info.supervisor == os.getpid() and info.ports["api"] == config.api_port
        assert stack.seed == {"api_key": "k"}
        assert [line.split()[:3] for line in said][1] == ["seed", "done", "in"]
        assert len(group(stack.pids["first"])) == 2
    assert not (config.state / "stack.json").exists() and running_stack(config.state) is None
    for pid in stack.pids.values():
        assert await is_gone(pid)
    assert b"api_key" not in (config.state / "logs" / "seed.log").read_bytes()


async def test_busy_port_is_refused_before_anything_starts(config: StackConfig) -> None:
    line = rf"^port {config.api_port} \(api\) is busy; set API_PORT to another or stop what uses it$"
    with socket.create_server(("127.0.0.1", config.api_port)), pytest.raises(StackError, match=line):
        await Stack(config, [stand_in("worker")]).__aenter__()
    assert not list((config.state / "logs").iterdir())


async def test_missing_program_is_named(config: StackConfig) -> None:
    with pytest.raises(StackError, match=r"^/nowhere/temporal \(temporal\) is missing"):
        await Stack(config, [Process("temporal", ["/nowhere/temporal"])]).__aenter__()


async def test_failed_start_stops_what_had_started(config: StackConfig) -> None:
    stack = Stack(config, [stand_in("first"), stand_in("second", "raise SystemExit(3)")])
    with pytest.raises(StackError, match=r"^second stopped \(exit 3\) at its start; see .*second.log$"):
        await stack.__aenter__()
    assert await is_gone(stack.pids["first"])
    assert running_stack(config.state) is None


async def test_process_that_never_says_ready_is_given_up(config: StackConfig) -> None:
    stack = Stack(config, [stand_in("mute", "import time; time.sleep(600)", seconds=0.3)])
    with pytest.raises(StackError, match=r"^mute was not ready after 0.3 s; see "):
        await stack.__aenter__()
    assert await is_gone(stack.pids["mute"])


async def test_failed_step_logs_what_it_printed(config: StackConfig) -> None:
    with pytest.raises(StackError, match=r"^database stopped"):
        await Stack(config, [step("database", "print('no such table'); raise SystemExit(1)")]).__aenter__()
    assert "no such table" in (config.state / "logs" / "database.log").read_text()


async def test_killed_worker_is_started_again(config: StackConfig) -> None:
    said: list[str] = []
    async with Stack(config, [stand_in("worker", PARENT, restart=True)], said.append) as stack:
        old = stack.pids["worker"]
        os.kill(old, signal.SIGKILL)
        async with asyncio.timeout(10):
            new = await stack.wait_restarted("worker", old)
        assert said[-1].startswith(f"worker stopped (signal 9), started again as pid {new}")
        info = running_stack(config.state)
        assert info and info.pids == {"worker": new} != {"worker": old}
        assert await is_gone(old)
    assert await is_gone(new)


async def test_other_process_that_dies_is_told_and_left(config: StackConfig) -> None:
    said: list[str] = []
    async with Stack(config, [stand_in("sandbox"), stand_in("worker")], said.append) as stack:
        os.kill(stack.pids["sandbox"], signal.SIGTERM)
        async with asyncio.timeout(5):
            while len(said) < 3:
                await asyncio.sleep(0.02)
        assert said[2:] == [f"sandbox stopped (signal 15); see {config.state}/logs/sandbox.log"]
        assert list(stack.pids) == ["worker"]


async def test_second_stack_in_one_state_directory_is_refused(config: StackConfig) -> None:
    async with Stack(config, [stand_in("worker")]) as stack:
        other = StackConfig.on_free_ports(config.state)
        with pytest.raises(StackError, match=r"^a stack runs in .* already"):
            await Stack(other, [stand_in("worker")]).__aenter__()
        assert running_stack(config.state) and group(stack.pids["worker"])


async def test_leftovers_of_a_killed_supervisor_are_stopped(config: StackConfig) -> None:
    said: list[str] = []
    supervisor = Supervisor(config.state)
    supervisor.process.kill()
    supervisor.process.communicate()
    assert group(supervisor.worker) and running_stack(config.state) is None
    async with Stack(config, [stand_in("worker")], said.append) as stack:
        assert await is_gone(supervisor.worker)
        assert stack.pids["worker"] != supervisor.worker
    assert said[0] == f"worker was left by a stack that was killed (pid {supervisor.worker}), stopping it"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signal_stops_everything(config: StackConfig, number: signal.Signals) -> None:
    supervisor = Supervisor(config.state)
    supervisor.process.send_signal(number)
    _, error = supervisor.process.communicate(timeout=10)
    assert error.splitlines()[-1].decode() == f"dev.config.StackInterrupted: stopped by {number.name}"
    assert await is_gone(supervisor.worker) and StackInfo.read(config.state) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signal_ends_the_program_where_a_fixture_holds_the_stack(
    config: StackConfig, number: signal.Signals
) -> None:
    supervisor = Supervisor(config.state, UP, "fixture")
    supervisor.process.send_signal(number)
    try:
        supervisor.process.communicate(timeout=10)
    finally:
        supervisor.process.kill()
    assert supervisor.process.returncode == -number
    assert await is_gone(supervisor.worker)


async def test_second_ctrl_c_kills_at_once(config: StackConfig) -> None:
    supervisor = Supervisor(config.state, STUBBORN)
    for _ in range(2):
        supervisor.process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.3)
    supervisor.process.communicate(timeout=3)
    assert await is_gone(supervisor.worker)


def test_settings_come_from_the_environment() -> None:
    config = StackConfig.from_env({"API_PORT": "9001", "SANDBOX_URL": "https://sandbox.example/"})
    assert config.addresses.api == "http://127.0.0.1:9001"
    assert config.addresses.sandbox == "https://sandbox.example" and "sandbox" not in config.ports
    assert "sandbox" not in [process.name for process in config.processes()]
    with pytest.raises(StackError, match=r"^API_PORT must be a number from 1 to 65535, not 'web'$"):
        StackConfig.from_env({"API_PORT": "web"})


def test_sandbox_takes_back_browsers_of_every_application_of_this_machine(tmp_path: Path) -> None:
    config = StackConfig(tmp_path)
    config.write_catalog()
    (tmp_path / "catalog" / "acme.yaml").touch()
    known = config.environment()["SANDBOX_REDIRECT_URIS"].split()
    assert {f"http://127.0.0.1:8080/api/v1/{slug}/callback" for slug in ("acme", "sandbox", "own-acme")} <= set(known)
