"""Connects an application by the fields that a customer types in: a key, or a client of their own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from api.errors import ApiError
from api.fields import complete
from api.lifecycle import NOBODY, Grant, Target, establish
from api.services import Services
from everlink.contract import AuthType, ConnectionView, ReauthReason, Verdict
from providers.credential import Credential, KeyCredential
from providers.entry import CatalogEntry
from providers.http import RequestFailed
from providers.identity import identify
from providers.oauth2 import Client, customers_client, trade_client
from providers.probe import ask
from providers.verdict import judge_token_answer
from store.scope import Scope


async def save_key(
    made: Services,
    scope: Scope,
    account_id: str,
    entry: CatalogEntry,
    fields: Mapping[str, str],
    ends_at: datetime | None = None,
    connection_id: str | None = None,
) -> ConnectionView:
    """Keep a key, after the provider accepted it; `ends_at` is its end, where one is known.

    `connection_id` is the connection that it mends, by default the one of the account that the key opens.

    A customer's own client is traded for its first token.

    Raises:
        ApiError: 422 `credentials_refused`, `invalid_fields` or `already_expired`, and nothing is stored; 409
            `different_account` where it opens another account than the connection's; 502 where nobody answers.
    """
    if ends_at is not None and ends_at <= made.clock():
        raise ApiError(422, "already_expired", "the key has ended already")
    if entry.auth_type is not AuthType.KEY_BASED:
        raise ApiError(400, "not_keybased", "this application does not connect by a key")
    if await made.tenants.application(scope, entry.slug) is None:
        raise ApiError(400, "application_not_configured", "the application is not enabled here")
    given = complete(entry, fields)
    credential, client, expires_in = await _usable(made, entry, given)
    answer = await ask(made.http, entry, credential, client)
    if answer is not None and answer.verdict is Verdict.DEAD:
        raise _refused(entry, answer.reason, answer.fields)
    if answer is not None and answer.verdict is not Verdict.OK:
        raise _unreachable(answer.retry_after)
    whose = identify(entry.identity, credential, answer.said if answer else None) if entry.identity else NOBODY
    if whose is None:
        raise _unreachable(None)
    grant = Grant(credential, entry.oauth2 is not None, expires_in, whose, ends_at)
    return await establish(made, Target(scope, account_id, connection_id), entry, grant)


async def _usable(
    made: Services, entry: CatalogEntry, given: dict[str, str]
) -> tuple[Credential, Client | None, float | None]:
    """What requests can be made with: the key, or what the customer's own client gets, with its seconds."""
    oauth2 = entry.oauth2
    if oauth2 is None:
        return KeyCredential(fields=given), None, None
    client = customers_client(given)
    try:
        verdict = judge_token_answer(await trade_client(made.http, oauth2, client, given), oauth2, None)
    except RequestFailed:
        raise _unreachable(None) from None
    if verdict.verdict is Verdict.DEAD:
        raise _refused(entry, verdict.reason, verdict.fields)
    if verdict.credential is None:
        raise _unreachable(verdict.retry_after)
    return verdict.credential.model_copy(update={"given": given}), client, verdict.expires_in


def _refused(entry: CatalogEntry, reason: ReauthReason | None, fields: tuple[str, ...]) -> ApiError:
    """In our words: what the provider says may hold a secret. Where no rule names a field, those that are secret do."""
    secret = tuple(field.name for field in entry.fields if field.type == "password")
    words = "the provider does not accept these credentials"
    named = fields or secret or tuple(field.name for field in entry.fields)
    return ApiError(422, "credentials_refused", words, fields=list(named), reason=reason)


def _unreachable(retry_after: float | None) -> ApiError:
    headers = {} if retry_after is None else {"retry-after": str(round(retry_after))}
    words = "the provider could not check these credentials; try again in a moment"
    return ApiError(502, "provider_unreachable", words, headers=headers)
