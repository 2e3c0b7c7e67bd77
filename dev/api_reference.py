"""Writes docs/api.md from the API's own description: `python -m dev.api_reference`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from api.app import create_app
from dev.config import ROOT

FILE = ROOT / "docs" / "api.md"
EVERYWHERE = {"401", "403", "413", "422", "429", "431", "503"}  # said once, at the top
MOMENT = "2030-01-01T00:00:00Z"

Json = dict[str, Any]


def reference(description: Json) -> str:
    """The whole page."""
    return "\n\n".join(_page(description)) + "\n"


def example(schema: Json, description: Json, *, whole: bool) -> Any:
    """A value as the schema has it: all of it, or the least that it asks for."""
    schema = resolved(schema, description)
    for given in ("examples", "enum"):
        if schema.get(given):
            return schema[given][0]
    if "const" in schema or "default" in schema:
        return schema.get("const", schema.get("default"))
    if schema.get("type") == "object":
        properties: Json = schema.get("properties", {})
        wanted = properties if whole else schema.get("required", ())
        return {name: example(properties[name], description, whole=whole) for name in wanted}
    if schema.get("type") == "array":
        return [example(schema["items"], description, whole=whole)]
    if schema.get("type") == "string":
        return MOMENT if schema.get("format") == "date-time" else "..."
    return {"integer": 1, "number": 1.0, "boolean": True}.get(schema.get("type", ""), {})


def resolved(schema: Json, description: Json) -> Json:
    """What a schema refers to; of several, the first, since the others say that it may be null."""
    while "examples" not in schema and ("$ref" in schema or "anyOf" in schema):
        name = schema.get("$ref", "").rpartition("/")[2]
        schema = description["components"]["schemas"][name] if name else schema["anyOf"][0]
    return schema


def _page(description: Json) -> Iterator[str]:
    yield "# API reference"
    yield "Generated from the API's own description (`make reference`); a running API shows the same under `/docs`."
    yield str(description["info"]["description"]).strip()
    for name, scheme in description["components"]["securitySchemes"].items():
        yield f"**{name}**: {scheme['description']}"
    yield "Any route may answer these; those of its own stand beside each:"
    yield "| status | meaning |\n|---|---|\n" + "\n".join(
        f"| {status} | {words} |" for status, words in sorted(_words(description).items()) if status in EVERYWHERE
    )
    for tag in description["tags"]:
        yield f"## {tag['name']}\n\n{tag['description']}"
        for path, methods in description["paths"].items():
            for method, operation in methods.items():
                if operation["tags"] == [tag["name"]]:
                    yield from _operation(f"{method.upper()} {path}", operation, description)


def _words(description: Json) -> dict[str, str]:
    return {
        status: response["description"]
        for methods in description["paths"].values()
        for operation in methods.values()
        for status, response in operation["responses"].items()
    }


def _operation(name: str, operation: Json, description: Json) -> Iterator[str]:
    yield f"### {name}\n\n{operation['description']}"
    yield f"Needs {_needs(operation)}."
    parameters = [one for one in operation["parameters"] if one["name"] not in ("Idempotency-Key", "If-None-Match")]
    if parameters:
        yield "| parameter | in | |\n|---|---|---|\n" + "\n".join(
            f"| `{one['name']}` | {one['in']} | {_about(one, description)} |" for one in parameters
        )
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]
        yield "Body:" + _json(next(iter(content.values()))["schema"], description)
    refusals = []
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            content = response.get("content", {})
            shown = _json(content["application/json"]["schema"], description) if "application/json" in content else ""
            yield f"Answers {status}" + (":" + shown if shown else f" ({', '.join(content) or 'no body'}).")
        elif status not in EVERYWHERE | {"304"}:
            refusals.append(status)
    if refusals:
        yield f"Or an error: {', '.join(sorted(refusals))}."


def _needs(operation: Json) -> str:
    ways = []
    for one in operation.get("security", ()):
        for scheme, scopes in one.items():
            rights = " and ".join(f"`{scope}`" for scope in scopes)
            ways.append(f"an API key that may {rights}" if scheme == "ApiKey" else "a session token")
    return " or ".join(ways) or "no authentication"


def _about(parameter: Json, description: Json) -> str:
    """What it is: in words, or what it may be."""
    schema = parameter["schema"]
    words = [parameter.get("description", schema.get("description", ""))]
    words.append(" or ".join(f"`{one}`" for one in resolved(schema, description).get("enum", ())))
    words.append(_bounds(resolved(schema, description)))
    if parameter["required"]:
        words.append("required")
    if schema.get("default") is not None:
        words.append(f"by default `{schema['default']}`")
    return "; ".join(word for word in words if word)


def _bounds(schema: Json) -> str:
    """How small and how great a number may be."""
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None:
        return "" if most is None else f"at most {most}"
    return f"at least {least}" if most is None else f"{least} to {most}"


def _json(schema: Json, description: Json) -> str:
    shown = json.dumps(example(schema, description, whole=True), indent=2, ensure_ascii=False)
    return f"\n\n```json\n{shown}\n```"


if __name__ == "__main__":
    FILE.write_text(reference(create_app().openapi()))
