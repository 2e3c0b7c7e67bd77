"""docker-compose.yml and the image, held against the code, since no test starts them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from store.settings import Settings
from tests.test_architecture import SERVICE
from worker import GRACEFUL_SHUTDOWN

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
EVERLINK = ("migrate", "api", "worker")
JOBS = ("temporal-schema", "temporal-namespace", "migrate")
SETTINGS = {f"EVERLINK_{name.upper()}" for name in Settings.model_fields}
COMPOSE_ONLY = {"EVERLINK_DB_PASSWORD"}  # becomes part of EVERLINK_DATABASE_URL


def variables(text: str) -> set[str]:
    return set(re.findall(r"EVERLINK_[A-Z_]+", text))


@pytest.mark.parametrize("file", ["docker-compose.yml", ".env.example"])
def test_every_variable_is_a_setting(file: str) -> None:
    assert variables((ROOT / file).read_text()) <= SETTINGS | COMPOSE_ONLY


def test_development_is_never_on() -> None:
    assert "EVERLINK_DEV" not in TEXT + (ROOT / "Dockerfile").read_text()


def test_settings_from_compose_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES["worker"]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{[A-Z_]+:?[-?]([^}]*)\}", r"\1", value))
    settings = Settings()
    assert settings.temporal_address == "temporal:7233" and not settings.dev
    assert settings.database_url.get_secret_value().startswith("postgresql+asyncpg://everlink:")


@pytest.mark.parametrize("name", EVERLINK)
def test_everlink_services_share_image_and_environment(name: str) -> None:
    for part in ("build", "image", "environment"):
        assert SERVICES[name][part] == SERVICES["worker"][part]


@pytest.mark.parametrize("name", ["api", "worker"])
def test_nothing_starts_before_the_schema_is_there(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_worker_can_be_scaled_and_has_time_to_finish() -> None:
    worker = SERVICES["worker"]
    assert "container_name" not in worker and "ports" not in worker
    assert int(worker["stop_grace_period"].removesuffix("s")) > GRACEFUL_SHUTDOWN.total_seconds()


def test_secrets_come_from_the_environment_only() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if name.startswith("EVERLINK_CODEC_"):
                assert value == f"${{{name}:-}}"  # off by default
            elif re.search("PASSWORD|PWD|_KEY$", name):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value), name
            if name == "EVERLINK_DATABASE_URL":
                assert re.search(r"://everlink:\$\{EVERLINK_DB_PASSWORD:\?[^}]+\}@", value)
    assert not re.search(r"PASSWORD '(?!\$\{)", TEXT)  # in the inline SQL
    for line in (ROOT / ".env.example").read_text().splitlines():
        if re.search("PASSWORD|KEY|TOKEN", line.split("=")[0]):
            assert line.startswith("#") or line.endswith("="), line


def test_web_ui_knows_the_codec_server_where_there_is_one() -> None:
    told, settings = SERVICES["temporal-ui"]["environment"], SERVICES["api"]["environment"]
    public_url = settings["EVERLINK_PUBLIC_URL"]
    assert told["TEMPORAL_CODEC_ENDPOINT"] == f"${{EVERLINK_CODEC_TOKEN:+{public_url}/codec}}"
    assert told["TEMPORAL_CODEC_INCLUDE_CREDENTIALS"] == "true"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_checked_or_waited_for(name: str) -> None:
    waited = [other for other in SERVICES.values() if name in other.get("depends_on", {})]
    if name in JOBS:
        assert any(o["depends_on"][name]["condition"] == "service_completed_successfully" for o in waited)
    else:
        assert "healthcheck" in SERVICES[name]


def test_images_are_pinned() -> None:
    for service in SERVICES.values():
        _, _, tag = service["image"].rpartition(":")
        assert tag and tag != "latest" and tag[0].isdigit()


def test_server_completes_nexus_operations_without_configuration() -> None:
    """Since 1.31 it calls back by itself; before, `await_active` would never end."""
    _, _, tag = SERVICES["temporal"]["image"].rpartition(":")
    assert tuple(int(part) for part in tag.split(".")) >= (1, 31)


def test_image_holds_every_room_of_the_service() -> None:
    copied = set(re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M))
    names = {name.removesuffix(".py") for line in copied for name in line.split()}
    assert set(SERVICE) <= names
    allowed = {line.removeprefix("!").removesuffix(".py") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    assert set(SERVICE) <= allowed


def test_service_lock_holds_what_async_databases_need() -> None:
    """The development lock has greenlet through another package; the image has only its own lock."""
    pinned = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements-service.txt").read_text(), re.M)
    assert {"greenlet", "aiosqlite", "asyncpg", "cryptography", "temporalio"} <= set(pinned)
    assert not {"django", "pytest", "playwright"} & set(pinned)
