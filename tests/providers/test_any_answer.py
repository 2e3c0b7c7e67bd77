"""Whatever a provider answers, it is judged, and what it grants can be kept."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from everlink.contract import Verdict
from providers.catalog import Probe
from providers.credential import OAuthCredential, to_bytes
from providers.verdict import judge_probe_answer, judge_token_answer
from tests.providers.test_verdict import BEFORE, OAUTH2, answer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
FIELDS = ("access_token", "refresh_token", "token_type", "expires_in", "scope", "error", "instance_url")


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
    judge_probe_answer(answer(200, body), Probe(url="https://a.example/", identifier="a.b"))
