"""The life that every application goes through, and what must be true at each step of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx

from everlink.contract import AuthType, ConnectionStatus, CredentialOutcome, ReauthReason, Verdict
from providers.entry import CatalogEntry
from providers.http import Answer
from providers.rules import AnswerRule, DeadRule
from providers.verdict import judge_probe_answer, judge_token_answer
from tests.conformance.answers import refusal
from tests.conformance.provider import CLIENT, Provider
from tests.conformance.told import told
from tests.conformance.wire import Said
from tests.conformance.world import World

PAGE = b"<html><body>Something went wrong.</body></html>"
TROUBLE = [Said.json(429, {}), Said(500, PAGE), Said(503, b""), Said(200, b"[]")]


@dataclass
class Life:
    """One connection to an application that behaves as the provider's entry says."""

    world: World
    provider: Provider
    id: str = field(default="", init=False)

    @property
    def entry(self) -> CatalogEntry:
        return self.provider.entry

    async def whole(self) -> None:
        self.world.internet.answer = self.provider.answer
        try:
            await self._whole()
        except BaseException:
            if self.id:  # or its workflow asks, in the middle of the next one's life
                await self._send("DELETE", f"/v1/connections/{self.id}")
                await self._receipt()
            raise

    async def _whole(self) -> None:
        assert self.entry.events is None or self.entry.auth_type is AuthType.OAUTH2, "events of keys are not tried here"
        await self.enabled()
        if self.entry.auth_type is AuthType.OAUTH2:
            await self.by_consent()
        elif self.entry.oauth2 is not None:
            await self.by_customers_client()
        else:
            await self.by_key()
        await self.disconnected()
        self.right()

    async def by_consent(self) -> None:
        await self.consented()
        await self.refreshed()
        await self.probed()
        await self.token_rules()
        await self.refreshed()
        await self.taken_back()
        await self.reconnected()
        await self.other_account()
        await told(self)
        if self.provider.oauth2.uninstall is not None:
            await self.uninstalled()
            await self.consented()

    async def by_customers_client(self) -> None:
        await self.saved()
        await self.refreshed()
        await self.probed()
        await self.token_rules()
        await self.refreshed()
        await self.taken_back()
        await self.refused()
        self.provider.allow_again()
        await self.saved_again()

    async def by_key(self) -> None:
        await self.saved()
        await self.probed()
        await self.key_refused()
        await self.saved_again()

    def right(self) -> None:
        """Everything was asked as the entry says."""
        assert not self.provider.wrong, self.provider.wrong

    # Connecting

    async def enabled(self) -> None:
        client = CLIENT if self.entry.auth_type is AuthType.OAUTH2 else {}
        await self.ok("PUT", f"/v1/applications/{self.entry.slug}", json=client)

    async def consented(self) -> None:
        path = f"/api/v2/public/linked-account/integration/oauth-url/{self.entry.slug}"
        link = await self.ok("GET", path, params=self.provider.given)
        page = await self._through(link["auth_url"])
        assert page.status_code == 200 and "Connected" in page.text, self._words("consent", page)
        await self._lives("connected")

    async def saved(self) -> None:
        answer = await self._save()
        assert answer.status_code == 200, self._words("the fields", answer)
        await self._lives("connected by its fields")

    async def refused(self) -> None:
        answer = await self._save()
        assert answer.json().get("error_code") == "credentials_refused", self._words("fields that are refused", answer)

    async def _save(self) -> httpx.Response:
        path = f"/api/v2/public/linked-account/integration/save-key-credentials/{self.entry.slug}"
        return await self._send("PUT", path, json=self.provider.given)

    async def _lives(self, what: str) -> None:
        """There is one connection, to the account that the provider said, with what it granted."""
        self.right()
        listed = await self.ok("GET", f"/v1/connections?application={self.entry.slug}&status=active")
        [found] = listed["connections"]
        self.id = found["id"]
        assert (found["identifier"], found["display_name"]) == self.provider.account("first"), f"{what}: {found}"
        await self._token(what)

    async def _token(self, what: str) -> None:
        token = await self.ok("GET", f"/v1/connections/{self.id}/token")
        if self.entry.oauth2 is not None:
            assert token["access_token"] == self.provider.grant.access_token, f"{what}: another token"
        else:
            assert token["fields"] == self.provider.given, f"{what}: other fields"

    # Refreshing, probing, and what is answered to that

    async def refreshed(self) -> None:
        """The workflow refreshes; where the refresh token was replaced, the next refresh has the new one."""
        before = self.provider.grant.number
        said = await self.ok("POST", f"/v1/connections/{self.id}/refresh")
        self.right()
        assert (said["verdict"], said["status"]) == ("ok", "active"), f"refreshed: {said}"
        assert self.provider.grant.number == before + 1, "refreshed: no token was granted"
        await self._token("refreshed")

    async def probed(self) -> None:
        """What works is accepted, each dead answer is one with its reason, and trouble says nothing."""
        probe = self.entry.probe
        if probe is None:
            return
        outcome = await self.world.probe(self.id)
        self.right()
        assert outcome.verdict is Verdict.OK, f"probed: {outcome}"

        for rule in probe.dead:
            self.provider.probe_says = Said.json(*refusal(rule, probe.success))
            self._is_dead(await self.world.probe(self.id), rule)
        self.provider.probe_says = None
        for said in TROUBLE[: None if probe.success is not None else 3]:
            verdict = judge_probe_answer(_answer(said), probe).verdict
            assert verdict is Verdict.TRANSIENT, f"{said} is {verdict.value} to the probe"

    async def token_rules(self) -> None:
        """Each rule of the token endpoint, and trouble."""
        oauth2 = self.provider.oauth2
        success = oauth2.answer.success

        async def ask(rule: AnswerRule) -> CredentialOutcome:
            self.provider.token_says = Said.json(*refusal(rule, success))
            return await self.world.refresh(self.id)

        for dead in oauth2.dead:
            self._is_dead(await ask(dead), dead)
        for rule in oauth2.application_errors:
            outcome = await ask(rule)
            assert outcome.verdict is Verdict.APPLICATION_ERROR, f"{rule}: {outcome}"
            application = await self.ok("GET", f"/v1/applications/{self.entry.slug}")
            assert application["alarm"] is not None, f"{rule}: no alarm"
            await self.world.forgive(self.id)
        for rule in oauth2.transient:
            outcome = await ask(rule)
            assert outcome.verdict is Verdict.TRANSIENT, f"{rule}: {outcome}"
        for said in TROUBLE:
            verdict = judge_token_answer(_answer(said), oauth2, None).verdict
            assert verdict is Verdict.TRANSIENT, f"{said} is {verdict.value} to a refresh"
        self.provider.token_says = None
        self.right()
        assert (await self.status())["status"] == "active", "nobody was told of a refusal, and yet it is flagged"

    def _is_dead(self, outcome: CredentialOutcome, rule: DeadRule) -> None:
        self.right()
        assert (outcome.verdict, outcome.reason) == (Verdict.DEAD, rule.reason), f"{rule}: {outcome}"

    # Death and what mends it

    async def taken_back(self) -> None:
        """The customer ends the access at the provider: the next refresh finds it, and the product is told."""
        self.provider.take_back()
        await self.ok("POST", f"/v1/connections/{self.id}/refresh")
        await self._flagged(self.provider.oauth2.dead[0].reason)

    async def key_refused(self) -> None:
        assert self.entry.probe is not None
        rule = self.entry.probe.dead[0]
        self.provider.probe_says = Said.json(*refusal(rule, self.entry.probe.success))
        await self.ok("POST", f"/v1/connections/{self.id}/refresh")
        await self._flagged(rule.reason)
        await self.refused()
        self.provider.probe_says = None

    async def _flagged(self, reason: ReauthReason) -> None:
        self.right()
        found = await self.status()
        assert (found["status"], found["reason"]) == ("reauth_required", reason), f"taken back: {found}"

    async def reconnected(self) -> None:
        """Under its id."""
        page = await self._through(await self._reconnect_link())
        assert page.status_code == 200, self._words("reconnect", page)
        before = self.id
        await self._lives("reconnected")
        assert self.id == before, "reconnected: another id"

    async def other_account(self) -> None:
        """A reconnect that opens another account is refused, where accounts can be told apart."""
        if self.provider.account("first") == self.provider.account("second"):
            return
        good = self.provider.grant
        page = await self._through(await self._reconnect_link(), "second")
        assert page.status_code == 409, self._words("reconnect of another account", page)
        wanted = ["revoked"] if self._can_revoke() else []
        assert self.provider.ended == wanted, "what the refused account granted lives on"
        self.provider.forget(but=good)
        await self._token("another account was refused")

    async def saved_again(self) -> None:
        before = self.id
        await self.saved()
        assert self.id == before, "saved again: another id"

    async def uninstalled(self) -> None:
        """The application is taken from the customer's account, where that is asked."""
        note = await self._end("?uninstall=true")
        assert self.provider.ended == ["uninstalled"], f"uninstalled: {self.provider.ended}, {note}"
        self.provider.ended.clear()

    async def disconnected(self) -> None:
        """The grant is revoked at the provider, with a receipt in the timeline."""
        note = await self._end()
        wanted = ["revoked"] if self._can_revoke() else []
        assert self.provider.ended == wanted, f"disconnected: {note}, and the provider: {self.provider.ended}"
        assert (note == "revoked at the provider") == self._can_revoke(), f"disconnected: {note}"

    def _can_revoke(self) -> bool:
        oauth2 = self.entry.oauth2
        return oauth2 is not None and (oauth2.revoke_url is not None or oauth2.revoke is not None)

    async def _end(self, query: str = "") -> str:
        gone = await self.ok("DELETE", f"/v1/connections/{self.id}{query}")
        assert gone["status"] == "disconnected", f"disconnected: {gone}"
        note = await self._receipt()
        self.right()
        return note

    async def _receipt(self) -> str:
        """What the timeline says last, once the end itself is told."""
        async with asyncio.timeout(20):
            while True:
                told = await self.world.made.connections.timeline(self.world.scope, self.id)
                if [one.status for one in told[-2:]] == [ConnectionStatus.DISCONNECTED] * 2:
                    return told[-1].note
                await asyncio.sleep(0.02)

    # Talking

    async def _through(self, link: str, account: str = "first") -> httpx.Response:
        """A customer's browser opens a link, consents, and comes back."""
        self.world.browser.cookies.clear()
        door = await self.world.browser.get(link)
        assert door.status_code == 303, self._words("the link", door)
        return await self.world.browser.get(self.provider.consent(door.headers["location"], account))

    async def _reconnect_link(self) -> str:
        return str((await self.ok("POST", f"/v1/connections/{self.id}/reconnect"))["connect_url"])

    async def status(self) -> dict[str, Any]:
        return await self.ok("GET", f"/v1/connections/{self.id}")

    async def ok(self, method: str, path: str, **said: Any) -> dict[str, Any]:
        answer = await self._send(method, path, **said)
        assert answer.is_success, self._words(f"{method} {path}", answer)
        body: dict[str, Any] = answer.json()
        return body

    async def _send(self, method: str, path: str, **said: Any) -> httpx.Response:
        return await self.world.product.request(method, path, **said)

    def _words(self, what: str, answer: httpx.Response) -> str:
        return f"{what}: {answer.status_code} {answer.text[:600]}; the provider: {self.provider.wrong}"


def _answer(said: Said) -> Answer:
    return Answer(said.status, httpx.Headers(said.headers), said.body)
