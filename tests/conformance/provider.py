"""A provider that does what a catalog entry says of it, and no more: what it is sent must be so to the letter."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from providers.entry import CatalogEntry, OAuth2
from providers.events import SecurityEventToken
from providers.request import Request
from providers.rules import AnswerRule
from tests.conformance.answers import filled, mark, put, refusal
from tests.conformance.given import given
from tests.conformance.wire import Said, Sent
from tests.providers.signing import jwks

CLIENT = {"client_id": "our-client", "client_secret": "our secret, which is long enough to sign with"}
SECONDS = 3600
NO = Said(400, b"that is not how this provider is asked")


class Wrong(AssertionError):
    """A request is not what the entry says."""


@dataclass
class Grant:
    """What a customer has allowed."""

    account: str
    challenge: str | None = None
    redirect_uri: str = ""
    number: int = 0
    refresh_tokens: list[str] = field(default_factory=list)  # the last one is good, those before were used
    access_token: str = ""
    alive: bool = True


class Provider:
    """One application, whose customers allow and take back. It notes what is not asked as its entry says."""

    def __init__(self, entry: CatalogEntry) -> None:
        self.entry = entry
        self.given = given(entry)
        self.wrong: list[str] = []
        self.token_says: Said | None = None  # in place of what it would answer
        self.probe_says: Said | None = None
        self.ended: list[str] = []  # how grants were ended from our side
        self._codes: dict[str, Grant] = {}
        self._grants: list[Grant] = []
        self._issued = 0

    # What a test sees and does

    @property
    def oauth2(self) -> OAuth2:
        assert self.entry.oauth2 is not None
        return self.entry.oauth2

    @property
    def client(self) -> dict[str, str]:
        """Whose requests the token endpoint answers: the organization's, or the customer's own."""
        return self.given if self.oauth2.grant == "client_credentials" else CLIENT

    @property
    def grant(self) -> Grant:
        """The newest."""
        return self._grants[-1]

    def account(self, account: str) -> tuple[str, str | None]:
        """Identifier and name that a connection to this account must have."""
        identity = self.entry.identity
        if identity is None:
            return "default", None
        return self._said_at(identity.id, account), self._said_at(identity.name, account) if identity.name else None

    def key(self, name: str) -> str:
        """By what an event names the first account."""
        identity = self.entry.identity
        assert identity is not None
        return self._said_at(identity.id if name == "account" else identity.keys[name], "first")

    def consent(self, url: str, account: str = "first") -> str:
        """A customer allows what the address asks for; answers where the browser goes then."""
        asked = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
        redirect_uri, state = asked.pop("redirect_uri", ""), asked.pop("state", "")
        challenge, oauth2 = asked.pop("code_challenge", None), self.oauth2
        assert oauth2.authorize_url is not None
        place = filled(oauth2.authorize_url, self.given)
        wanted = {
            **dict(parse_qsl(urlsplit(place).query, keep_blank_values=True)),
            "response_type": "code",
            oauth2.client_id_param: CLIENT["client_id"],
            **self._filled(oauth2.authorize_params),
            **({"scope": oauth2.scope_separator.join(oauth2.scopes)} if oauth2.scopes else {}),
            **({"code_challenge_method": "S256"} if oauth2.pkce else {}),
        }
        self._same("the address of consent", url.partition("?")[0], place.partition("?")[0])
        self._same("what consent is asked with", asked, wanted)
        self._same("the challenge", challenge is not None, oauth2.pkce)
        self._same("a state", bool(state), True)
        code = f"code-{len(self._codes)}"
        self._codes[code] = Grant(account, challenge, redirect_uri)
        back = {"code": code, "state": state, **self._from("callback", account)}
        if oauth2.issuer is not None:
            back["iss"] = filled(oauth2.issuer, self.given)
        return f"{redirect_uri}?{urlencode(back)}"

    def take_back(self) -> None:
        """The customer ends the access at the provider."""
        self.grant.alive = False

    def allow_again(self) -> None:
        """The customer's own client is let in again."""
        self.grant.alive = True

    def forget(self, but: Grant) -> None:
        """Only this grant was ever kept."""
        self._grants = [but]
        self.ended.clear()

    # Requests

    def answer(self, sent: Sent) -> Said:
        try:
            return self._answer(sent)
        except (AssertionError, KeyError, ValueError) as error:
            self.wrong.append(f"{sent.method} {sent.url}: {error!r}")
            return NO

    def _answer(self, sent: Sent) -> Said:
        oauth2, probe, events = self.entry.oauth2, self.entry.probe, self.entry.events
        signature = events.signature if events is not None else None
        if isinstance(signature, SecurityEventToken) and sent.url == signature.jwks_url:
            return Said.json(200, jwks())
        is_known = oauth2 is None or bool(self._grants)
        if is_known and probe is not None and self._is(probe, sent):
            return self._probe(sent)
        if oauth2 is None:
            raise Wrong("nothing is there")
        ends = (oauth2.revoke, oauth2.uninstall) if is_known else ()
        ending = next((request for request in ends if request is not None and self._is(request, sent)), None)
        return self._endpoint(oauth2, sent) if ending is None else self._end(ending, sent)

    def _endpoint(self, oauth2: OAuth2, sent: Sent) -> Said:
        """The application's own addresses: of tokens, of their end."""
        kind = sent.said.get("grant_type")
        if sent.url == filled(oauth2.token_url, self.given):
            if oauth2.grant == "client_credentials":
                return self._trade_client(sent)
            if kind == "authorization_code":
                return self._trade_code(sent)
        if sent.url == filled(oauth2.refresh_url or oauth2.token_url, self.given) and kind == "refresh_token":
            return self._refresh(sent)
        if oauth2.revoke_url is not None and sent.url == filled(oauth2.revoke_url, self.given):
            return self._revoke_token(sent)
        if oauth2.introspect_url is not None and sent.url == filled(oauth2.introspect_url, self.given):
            return self._introspect(sent)
        raise Wrong("nothing is there")

    def _trade_client(self, sent: Sent) -> Said:
        scopes = {"scope": self.oauth2.scope_separator.join(self.oauth2.scopes)} if self.oauth2.scopes else {}
        self._token_request(sent, {"grant_type": "client_credentials", **scopes})
        if not self._grants:
            self._grants.append(Grant("first"))
        return self._granted(self.grant)

    def _trade_code(self, sent: Sent) -> Said:
        grant, said = self._codes.pop(sent.said["code"]), {"code": sent.said["code"]}
        if self.oauth2.pkce:
            said["code_verifier"] = sent.said["code_verifier"]
            digest = hashlib.sha256(said["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            self._same("the challenge of the verifier", challenge, grant.challenge)
        said |= {"grant_type": "authorization_code", "redirect_uri": grant.redirect_uri}
        self._token_request(sent, said)
        self._grants.append(grant)
        return self._granted(grant)

    def _refresh(self, sent: Sent) -> Said:
        shown = sent.said["refresh_token"]
        self._token_request(sent, {"grant_type": "refresh_token", "refresh_token": shown})
        grant = next(grant for grant in self._grants if shown in grant.refresh_tokens)
        if shown != grant.refresh_tokens[-1]:
            grant.alive = False
            raise Wrong("a refresh token was used twice")
        return self._granted(grant)

    def _token_request(self, sent: Sent, said: dict[str, str]) -> None:
        """A token request says this and what the entry adds, and is our client's."""
        oauth2 = self.oauth2
        self._same("the kind of body", "json" in sent.headers["content-type"], oauth2.token_body == "json")
        self._same("what is sent", self._of_client(sent), {**said, **self._filled(oauth2.token_params)})
        for name, value in self._filled(oauth2.token_headers).items():
            self._same(f"the header {name}", sent.headers.get(name.lower()), value)

    def _of_client(self, sent: Sent) -> dict[str, Any]:
        """What a request says beside who sends it, which must be our client."""
        said, oauth2 = sent.said, self.oauth2
        client_id, secret = self.client["client_id"], self.client["client_secret"]
        if oauth2.client_auth == "basic":
            shown = base64.b64encode(f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()).decode()
            self._same("the client", sent.headers.get("authorization"), f"Basic {shown}")
        elif oauth2.client_auth == "secret":
            shown = base64.b64encode(f"{secret}:".encode()).decode()
            self._same("the client", sent.headers.get("authorization"), f"Basic {shown}")
        else:
            named = {oauth2.client_id_param: client_id, "client_secret": secret}
            self._same("the client", {name: said.pop(name, None) for name in named}, named)
            self._same("no other client", sent.headers.get("authorization"), None)
        return said

    def _granted(self, grant: Grant) -> Said:
        """Tokens, where the entry says that they stand."""
        places, oauth2 = self.oauth2.answer, self.oauth2
        if self.token_says is not None:
            return self.token_says
        if not grant.alive:
            return Said.json(*refusal(oauth2.dead[0], places.success))
        grant.number += 1
        self._issued += 1
        name = f"{grant.account}-{self._issued}"
        body: dict[str, Any] = {}
        grant.access_token = f"access-{name}"
        put(body, places.access_token, grant.access_token)
        if oauth2.grant == "authorization_code" and (oauth2.rotates or not grant.refresh_tokens):
            grant.refresh_tokens.append(f"refresh-{name}")
            put(body, places.refresh_token, grant.refresh_tokens[-1])
        if places.expires_at is not None:
            put(body, places.expires_at, "2999-01-01T00:00:00Z")
        elif oauth2.access_token_seconds is None:
            put(body, places.expires_in, SECONDS)
        for path, value in {**self._learnt(), **self._from("token", grant.account)}.items():
            put(body, path, value)
        claims = self._from("id_token", grant.account)
        if claims:
            body["id_token"] = _unsigned(claims)
        if places.success is not None:
            mark(body, places.success)
        return Said.json(200, body)

    def _probe(self, sent: Sent) -> Said:
        probe = self.entry.probe
        assert probe is not None
        self._as_described(probe, sent)
        if self.probe_says is not None:
            return self.probe_says
        if self._grants and not self.grant.alive:
            return Said.json(*refusal(probe.dead[0], probe.success))
        body: dict[str, Any] = {}
        for path, value in self._from("probe", self.grant.account if self._grants else "first").items():
            put(body, path, value)
        if probe.success is not None:
            mark(body, probe.success)
        return Said.json(200, body)

    def _introspect(self, sent: Sent) -> Said:
        self._same("what is asked about", self._of_client(sent).get("token"), self.grant.access_token)
        return Said.json(200, {"active": self.grant.alive})

    def _revoke_token(self, sent: Sent) -> Said:
        kind = "refresh_token" if self.grant.refresh_tokens else "access_token"
        wanted = {"token": self._values()[kind], "token_type_hint": kind}
        self._same("what is revoked", self._of_client(sent), wanted)
        return self._ended("revoked", None)

    def _end(self, request: Request, sent: Sent) -> Said:
        self._as_described(request, sent)
        return self._ended("uninstalled" if request == self.oauth2.uninstall else "revoked", request.success)

    def _ended(self, how: str, success: AnswerRule | None) -> Said:
        self.ended.append(how)
        self.grant.alive = False
        body: dict[str, Any] = {}
        if success is not None:
            mark(body, success)
        return Said.json(200, body)

    # What the entry says

    def _is(self, request: Request, sent: Sent) -> bool:
        place = filled(request.url, self._values()).partition("?")[0]
        return (sent.method, sent.place) == (request.method, place)

    def _as_described(self, request: Request, sent: Sent) -> None:
        """Whether a request is what the entry says: its query, headers, Basic and body."""
        values = self._values()
        query = dict(parse_qsl(urlsplit(filled(request.url, values)).query, keep_blank_values=True))
        self._same("the query", sent.query, query)
        for name, text in request.headers.items():
            self._same(f"the header {name}", sent.headers.get(name.lower()), filled(text, values))
        if request.basic is not None:
            shown = base64.b64encode(":".join(filled(text, values) for text in request.basic).encode()).decode()
            self._same("the user", sent.headers.get("authorization"), f"Basic {shown}")
        body = {**request.form, **request.body}
        self._same("the body", sent.said, {name: filled(text, values) for name, text in body.items()})

    def _values(self) -> dict[str, str]:
        """What may stand in the requests of the newest connection."""
        if not self._grants:
            return self.given
        account = self.grant.account
        back = {f"callback.{path}": value for path, value in self._from("callback", account).items()}
        said = {**self._learnt(), **back, **self._from("token", account)}
        tokens = {"access_token": self.grant.access_token}
        if self.grant.refresh_tokens:
            tokens["refresh_token"] = self.grant.refresh_tokens[-1]
        return {**CLIENT, **said, **self.given, **tokens}

    def _learnt(self) -> dict[str, str]:
        """Values that requests need, and that neither the customer nor the identity has: the token answer says them."""
        described = (self.entry.probe, self.oauth2.revoke, self.oauth2.uninstall)
        requests = [request for request in described if request is not None]
        known = {
            *self.given,
            *CLIENT,
            "access_token",
            "refresh_token",
            *self._from("token", ""),
            *self._from("callback", ""),
        }
        needed = sorted(frozenset[str]().union(*(request.names for request in requests)) - known)
        needed = [name for name in needed if not name.startswith("callback.")]
        begins = {name for name in needed if any(one.url.startswith("{" + name + "}") for one in requests)}
        return {name: "https://instance.example" if name in begins else f"said-{_safe(name)}" for name in needed}

    def _from(self, place: str, account: str) -> dict[str, str]:
        """What this place says of an account, by the paths of the identity."""
        paths = self.entry.identity.paths() if self.entry.identity else ()
        return {path.partition(".")[2]: self._said_at(path, account) for path in paths if path.startswith(f"{place}.")}

    def _said_at(self, path: str, account: str) -> str:
        place, _, rest = path.partition(".")
        return self.given[rest] if place == "given" else f"{account}-{_safe(rest)}"

    def _filled(self, named: Any) -> dict[str, str]:
        return {name: filled(text, self.given) for name, text in named.items()}

    def _same(self, what: str, found: Any, wanted: Any) -> None:
        if found != wanted:
            raise Wrong(f"{what}: {found!r}, and the entry says {wanted!r}")


def _safe(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def _unsigned(claims: dict[str, str]) -> str:
    body: dict[str, Any] = {}
    for path, value in claims.items():
        put(body, path, value)
    payload = base64.urlsafe_b64encode(json.dumps(body).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.none"
