"""Every route of the application, as it is served: what it takes and who may call it, read from the route itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from api import auth
from api.app import create_app
from dev.api_reference import example
from store.settings import Settings

KEY, SESSION, EITHER = "API key", "session token", "either"
GUARDS = {auth.by_key: KEY, auth.by_key_itself: KEY, auth.by_session: SESSION, auth.by_either: EITHER}


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    guard: str | None  # none: anybody may call it
    scopes: frozenset[str]
    names: frozenset[str]  # of the path's parameters
    names_account: bool  # by the header linked_account_id
    body: Any = field(compare=False)  # an example
    query: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def address(self, ids: Mapping[str, str]) -> str:
        return re.sub(r"\{(\w+)(:\w+)?\}", lambda name: ids[name[1]], self.path)


def every_route() -> Iterator[Route]:
    app = create_app(Settings())
    description = app.openapi()
    for context in iter_route_contexts(app.routes):
        dependant = getattr(context, "dependant", None)
        if dependant is None:  # the description itself, and its page
            continue
        assert context.path is not None
        parts = list(_parts(dependant))
        guards = {GUARDS[part.call] for part in parts if part.call in GUARDS}
        assert len(guards) <= 1, context.path
        described = re.sub(r":\w+\}", "}", context.path)
        for method in sorted(context.methods or ()):
            operation = description["paths"].get(described, {}).get(method.lower(), {})
            yield Route(
                method=method,
                path=context.path,
                guard=next(iter(guards), None),
                scopes=frozenset(str(one) for part in parts for one in part.own_oauth_scopes or ()),
                names=frozenset(re.findall(r"\{(\w+)", context.path)),
                names_account=any(part.call is auth.linked_account for part in parts),
                body=_body(operation, description),
                query=frozenset(one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"),
            )


def _parts(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for part in dependant.dependencies:
        yield from _parts(part)


def _body(operation: dict[str, Any], description: dict[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return example(content["schema"], description, whole=False) if content else None
