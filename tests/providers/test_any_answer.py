"""Whatever a provider answers, it is judged, and what it grants can be kept."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from everlink.contract import Verdict
from providers.catalog import Catalog
from providers.credential import OAuthCredential, to_bytes
from providers.entry import Identity, OAuth2, Probe
from providers.identity import identify
from providers.verdict import judge_probe_answer, judge_token_answer
from tests.providers.test_verdict import BEFORE, OAUTH2, answer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
FIELDS = ("access_token", "refresh_token", "token_type", "expires_in", "scope", "error", "instance_url")
ENTRIES = [OAUTH2, *(entry.oauth2 for entry in Catalog.load() if entry.oauth2 is not None)]


def said_by(oauth2: OAuth2) -> st.SearchStrategy[tuple[int, dict[str, Any]]]:
    """Answers that come close to what the entry's rules look for, and anything else."""
    rules = (*oauth2.transient, *oauth2.dead, *oauth2.application_errors)
    names = sorted({rule.field for rule in rules} | {rule.contains_in for rule in rules} | {*FIELDS, "ok"})
    words = sorted({text for rule in rules for text in (rule.code, rule.contains) if text is not None})
    values = st.sampled_from(words) | st.sampled_from(words).map(lambda word: int(word) if word.isdecimal() else [word])
    statuses = st.sampled_from([200, 201, 302, 400, 401, 403, 429, 500, 503])
    return st.tuples(statuses, st.dictionaries(st.sampled_from(names), values | JSON, max_size=5))


@settings(database=None, deadline=None, max_examples=400)
@given(st.data())
def test_no_answer_is_a_success_without_a_token_nor_a_death_without_a_rule(data: st.DataObject) -> None:
    oauth2 = data.draw(st.sampled_from(ENTRIES))
    status, body = data.draw(said_by(oauth2))
    judged = judge_token_answer(answer(status, body), oauth2, BEFORE)
    if judged.verdict is Verdict.OK:
        assert 200 <= status < 300 and judged.credential is not None and judged.credential.access_token
        assert judged.credential.access_token == answer(status, body).json["access_token"]  # type: ignore[index]
    else:
        assert judged.credential is judged.expires_in is judged.ends_in is None
    if judged.verdict is Verdict.DEAD:
        assert judged.reason in {rule.reason for rule in oauth2.dead}
        assert status in (200, 201, 400, 401, 403)
    without = judge_token_answer(answer(status, body), oauth2.model_copy(update={"dead": ()}), BEFORE)
    assert without.verdict is not Verdict.DEAD
    assert without == judged or judged.verdict is Verdict.DEAD


@settings(database=None, deadline=None)
@given(status=st.integers(100, 599), body=st.dictionaries(st.sampled_from(FIELDS), JSON), header=st.binary())
def test_no_answer_breaks_the_judgement_and_what_it_grants_can_be_kept(
    status: int, body: dict[str, Any], header: bytes
) -> None:
    """After a rotation, an error here would lose the grant."""
    judged = judge_token_answer(answer(status, body, retry_after=header), OAUTH2, BEFORE)
    if judged.credential is not None:
        kept = OAuthCredential.model_validate_json(to_bytes(judged.credential))
        assert (kept.access_token, kept.refresh_token) == (
            judged.credential.access_token,
            judged.credential.refresh_token,
        )


@settings(database=None, deadline=None)
@given(body=st.binary())
def test_no_bytes_break_the_judgement(body: bytes) -> None:
    assert judge_token_answer(answer(200, body), OAUTH2, BEFORE).verdict is Verdict.TRANSIENT
    probed = judge_probe_answer(answer(200, body), Probe(url="https://a.example/"))
    identify(Identity(id="probe.a.b", name="probe.c"), BEFORE, probed.said)
