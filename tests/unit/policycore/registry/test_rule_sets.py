"""Rules: what may be tuned, how far, and whose value holds."""

from datetime import timedelta

import pytest

from policycore.errors import Malformed
from policycore.model import Rules
from policycore.reasons import SHADOWABLE, CheckName
from policycore.registry.rule_sets import (
    RuleSet,
    check_effective,
    check_rule_set,
    effective_rules,
    read_rule_set,
    write_rule_set,
)


@pytest.mark.parametrize(
    "rules",
    [
        RuleSet(),
        RuleSet(content_block_score=0, pair_messages_per_minute=0.0),
        RuleSet(90, 10, ("CONTENT", "RATE"), 3600.0, 2.5, 7),
        RuleSet(quota_shares=(("threecx", 80), ("service:billing", 0))),
    ],
)
def test_rules_survive_being_stored(rules: RuleSet) -> None:
    assert read_rule_set(write_rule_set(rules)) == rules


def test_names_of_a_later_version_are_passed_over() -> None:
    assert read_rule_set('{"pair_burst": 3, "invented_later": 1}') == RuleSet(pair_burst=3)


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        (RuleSet(content_block_score=101), "rules.content_block_score"),
        (RuleSet(content_block_score=-1), "rules.content_block_score"),
        (RuleSet(content_advice_score=101), "rules.content_advice_score"),
        (RuleSet(window_seconds=0.0), "rules.window"),
        (RuleSet(window_seconds=24 * 3600 + 1), "rules.window"),
        (RuleSet(window_seconds=float("nan")), "rules.window"),
        (RuleSet(pair_messages_per_minute=-0.5), "rules.pair_messages_per_minute"),
        (RuleSet(pair_messages_per_minute=float("nan")), "rules.pair_messages_per_minute"),
        (RuleSet(pair_burst=0), "rules.pair_burst"),
        (RuleSet(shadow_checks=("CONTENT", "WINDOW")), "rules.shadow_checks"),
        (RuleSet(shadow_checks=("NONSENSE",)), "rules.shadow_checks"),
        (RuleSet(quota_shares=(("threecx", 101),)), "rules.quota_shares"),
        (RuleSet(quota_shares=(("threecx", -1),)), "rules.quota_shares"),
        (RuleSet(quota_shares=(("threecx", 1), ("threecx", 2))), "rules.quota_shares"),
        (RuleSet(quota_shares=(("agents", 1),)), "rules.quota_shares"),
        (RuleSet(quota_shares=(("service:", 1),)), "rules.quota_shares"),
        (RuleSet(quota_shares=tuple((f"int_{n}", 1) for n in range(101))), "rules.quota_shares"),
    ],
)
def test_what_may_not_be(rules: RuleSet, field: str) -> None:
    with pytest.raises(Malformed) as caught:
        check_rule_set(rules)
    assert caught.value.field == field


@pytest.mark.parametrize("check", sorted(set(CheckName) - SHADOWABLE))
def test_most_checks_cannot_be_shadowed(check: CheckName) -> None:
    with pytest.raises(Malformed, match=check.name):
        check_rule_set(RuleSet(shadow_checks=(check.name,)))


def test_the_bounds_themselves_may_be() -> None:
    check_rule_set(RuleSet(100, 0, ("CONTENT", "QUOTA", "COOL_DOWN", "RATE"), 24 * 3600.0, 0.0, 1))


def test_account_over_platform_over_default() -> None:
    platform = RuleSet(content_block_score=90, shadow_checks=("QUOTA",), pair_burst=5)
    account = RuleSet(content_block_score=70, window_seconds=3600.0)
    rules = effective_rules(platform, account, 7)
    assert rules == Rules(
        version=7,
        window=timedelta(hours=1),
        content_block_score=70,
        shadow=frozenset({CheckName.QUOTA}),
        pair_burst=5,
    )
    assert effective_rules(RuleSet(), RuleSet(), 1) == Rules(version=1)


def test_zero_is_a_value_and_not_unset() -> None:
    rules = effective_rules(RuleSet(pair_messages_per_minute=9.0), RuleSet(pair_messages_per_minute=0.0), 1)
    assert rules.pair_messages_per_minute == 0.0


def test_advice_above_blocking_is_a_contradiction() -> None:
    check_effective(effective_rules(RuleSet(), RuleSet(content_block_score=50), 1))
    with pytest.raises(Malformed, match="score that blocks, 40"):
        check_effective(effective_rules(RuleSet(), RuleSet(content_block_score=40), 1))
