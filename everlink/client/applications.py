"""The client's part that concerns applications: the organization's own clients at the providers."""

from __future__ import annotations

from collections.abc import Iterable

from everlink.client.transport import Transport, segment
from everlink.models import Application, Removal

APPLICATIONS = "/v1/applications"


class Applications:
    """`client.applications`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def all(self) -> list[Application]:
        listed = await self._transport.send("GET", APPLICATIONS)
        return [Application.model_validate(item) for item in listed]

    async def get(self, slug: str) -> Application:
        return await self._transport.get(_path(slug), Application)

    async def enable(
        self,
        slug: str,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        signing_secret: str | None = None,
        scopes: Iterable[str] | None = None,
        required_scopes: Iterable[str] | None = None,
        previous_secret_seconds: int | None = None,
    ) -> Application:
        """Enable an application of the catalog, or change its client. What is not given stays as it is.

        `signing_secret` is what the provider signs its events with. A grant that lacks one of `required_scopes` is not
        kept, and its customer reads which. A secret that is replaced is tried for another
        day, or for as long as is said here, where the new one does not work.
        """
        given = {
            "client_id": client_id,
            "client_secret": client_secret,
            "signing_secret": signing_secret,
            "scopes": None if scopes is None else list(scopes),
            "required_scopes": None if required_scopes is None else list(required_scopes),
            "previous_secret_seconds": previous_secret_seconds,
        }
        body = {name: value for name, value in given.items() if value is not None}
        return await self._transport.ask("PUT", _path(slug), Application, json=body)

    async def remove(self, slug: str) -> Removal:
        """Take it away; its connections stay, and need it again (`application_deleted`). See `client.removal`."""
        return await self._transport.ask("DELETE", _path(slug), Removal)


def _path(slug: str) -> str:
    return f"{APPLICATIONS}/{segment(slug)}"
