"""The schema of a request to a provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from providers.rules import AnswerRule, Part
from providers.templates import PLACE, names

# The connection's own, which a request shares with those of other tenants.
FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2


def _address(url: str) -> str:
    """An http or https address, with no user in it. Places may stand in it."""
    plain = PLACE.sub("place", url)
    if PLACE.match(url):
        plain = "https://" + plain
    parts = urlsplit(plain)
    is_whole = parts.hostname and parts.username is None and not parts.fragment and parts.port != 0
    if parts.scheme not in ("http", "https") or not is_whole:
        raise ValueError("an address is http:// or https://, with a host and without a user or a fragment")
    return url


def _header(name: str) -> str:
    if HEADER_NAME.fullmatch(name) is None or name.lower() in FRAMING:
        raise ValueError("no header of this name can be set")
    return name


Address = Annotated[str, AfterValidator(_address)]
Header = Annotated[str, AfterValidator(_header)]


class Request(Part):
    """A request to the provider. In its texts `{name}` stands for a value of the connection.

    That is a field that the customer gave, `access_token`, `refresh_token`, or what else the token answer said, by
    its path (`{instance_url}`, `{team.id}`); in a revocation also the application's `client_id` and `client_secret`.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"  # of HTTP
    url: Address  # where the request goes
    headers: Mapping[Header, str] = Field(default_factory=dict)  # sent with it
    basic: tuple[str, str] | None = None  # user and password
    form: Mapping[str, str] = Field(default_factory=dict)  # sent as a form
    body: Mapping[str, str] = Field(default_factory=dict)  # sent as a JSON object
    success: AnswerRule | None = None  # what a success must show beside its status

    def model_post_init(self, _: Any) -> None:
        if self.form and self.body:
            raise ValueError("a request has a `form` or a JSON `body`")

    @property
    def names(self) -> frozenset[str]:
        """The values that it needs."""
        texts = (self.url, *self.headers.values(), *(self.basic or ()), *self.form.values(), *self.body.values())
        return frozenset[str]().union(*(names(text) for text in texts))
