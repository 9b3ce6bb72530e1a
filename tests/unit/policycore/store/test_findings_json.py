"""Findings in the policy log: written without what they do not say, and read back as they were."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from policycore.model import Finding
from policycore.reasons import CheckName, ReasonCode, Verdict
from policycore.store.findings import decode_findings, encode_findings

NOW = datetime(2026, 5, 8, 10, tzinfo=UTC)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FINDINGS = st.builds(
    Finding,
    check=st.sampled_from(CheckName),
    verdict=st.sampled_from(Verdict),
    reason=st.sampled_from(ReasonCode),
    explanation=WORDS,
    shadow=st.booleans(),
    limit=st.none() | st.integers(0, 10**9),
    used=st.none() | st.integers(0, 10**9),
    passes_at=st.none() | st.integers(0, 10**9).map(lambda each: NOW + timedelta(microseconds=each)),
    facts=st.dictionaries(WORDS, WORDS, max_size=3),
)


@given(st.lists(FINDINGS, max_size=13))
def test_findings_come_back_as_they_were(findings: list[Finding]) -> None:
    assert decode_findings(encode_findings(findings)) == tuple(findings)


def test_a_finding_without_values_is_its_three_numbers() -> None:
    plain = Finding(CheckName.PHONE, Verdict.ALLOW, ReasonCode.ALLOWED)
    assert encode_findings([plain]) == '[{"check":2,"verdict":1,"reason":1}]'


def test_a_finding_with_every_value_is_written_as_ever() -> None:
    whole = Finding(
        CheckName.QUOTA,
        Verdict.DENY,
        ReasonCode.DAILY_QUOTA_SPENT,
        "Spent.",
        shadow=True,
        limit=0,
        used=0,
        passes_at=NOW,
        facts={"period": "day"},
    )
    assert encode_findings((whole,)) == (
        '[{"check":10,"verdict":2,"reason":100,"explanation":"Spent.","shadow":true,"limit":0,"used":0,'
        '"passes_at":"2026-05-08T10:00:00Z","facts":{"period":"day"}}]'
    )
