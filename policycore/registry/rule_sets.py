"""Owns what an administrator may tune: how rules are written, checked, and laid over the platform's. Pure."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from msgspec.structs import replace

from policycore.errors import Malformed
from policycore.model import Rules, Source
from policycore.reasons import SHADOWABLE, CheckName

_LONGEST_WINDOW_SECONDS = 24 * 3600.0
_DOORS = tuple(source.value for source in Source)
_ONE_CALLER = ("int_", "key_", "service:")
_LONGEST_CALLER = 208
_MOST_SHARES = 100


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules of an account or of the platform. None, no shadow checks, or no shares leave the level below as it is."""

    content_block_score: int | None = None
    content_advice_score: int | None = None
    shadow_checks: tuple[str, ...] = ()
    window_seconds: float | None = None
    pair_messages_per_minute: float | None = None
    pair_burst: int | None = None
    quota_shares: tuple[tuple[str, int], ...] = ()


def write_rule_set(rules: RuleSet) -> str:
    """The JSON text that is stored."""
    return json.dumps({name: value for name, value in asdict(rules).items() if value not in (None, ())})


def read_rule_set(text: str) -> RuleSet:
    """What `write_rule_set` wrote; names that a later version added are left out."""
    stored = json.loads(text)
    known = {name: stored[name] for name in RuleSet.__slots__ if name in stored}
    known["shadow_checks"] = tuple(known.get("shadow_checks", ()))
    known["quota_shares"] = tuple((caller, percent) for caller, percent in known.get("quota_shares", ()))
    return RuleSet(**known)


def check_rule_set(rules: RuleSet) -> None:
    """Errors: `Malformed` for the first value that may not be."""
    for name in ("content_block_score", "content_advice_score"):
        score = getattr(rules, name)
        if score is not None and not 0 <= score <= 100:
            raise Malformed(f"rules.{name}", f"must lie between 0 and 100, and is {score}.")
    window = rules.window_seconds
    if window is not None and not 0 < window <= _LONGEST_WINDOW_SECONDS:
        raise Malformed("rules.window", "must be more than 0 and at most 24 hours.")
    rate = rules.pair_messages_per_minute
    if rate is not None and not 0 <= rate <= 6000:
        raise Malformed("rules.pair_messages_per_minute", f"must lie between 0 and 6000, and is {rate:g}.")
    if rules.pair_burst is not None and not 1 <= rules.pair_burst <= 10_000:
        raise Malformed("rules.pair_burst", f"must lie between 1 and 10000, and is {rules.pair_burst}.")
    _check_shares(rules.quota_shares)
    allowed = sorted(check.name for check in SHADOWABLE)
    for name in rules.shadow_checks:
        if name not in allowed:
            raise Malformed(
                "rules.shadow_checks", f"{name} cannot be in shadow; only {', '.join(allowed)} can."
            )


def _check_shares(shares: Sequence[tuple[str, int]]) -> None:
    if len(shares) > _MOST_SHARES:
        raise Malformed(
            "rules.quota_shares", f"may name at most {_MOST_SHARES} callers, and names {len(shares)}."
        )
    if len(dict(shares)) != len(shares):
        raise Malformed("rules.quota_shares", "must name each caller once.")
    for caller, percent in shares:
        named = caller.startswith(_ONE_CALLER) and not caller.endswith((":", "_"))
        if (caller not in _DOORS and not named) or len(caller) > _LONGEST_CALLER:
            doors = ", ".join(_DOORS)
            raise Malformed(
                "rules.quota_shares",
                f"must name {doors}, int_…, key_… or service:NAME, and names {caller[:64]!r}.",
            )
        if not 0 <= percent <= 100:
            raise Malformed("rules.quota_shares", f"must lie between 0 and 100 percent, and has {percent}.")


def check_effective(rules: Rules) -> None:
    """Errors: `Malformed` if the rules contradict each other once every default is filled in."""
    if rules.content_advice_score > rules.content_block_score:
        raise Malformed(
            "rules.content_advice_score",
            f"must not be above the score that blocks, {rules.content_block_score}.",
        )


def effective_rules(platform: RuleSet, account: RuleSet, version: int) -> Rules:
    """The rules that hold for an account: its own over the platform's over the defaults."""
    rules = Rules(version=version)
    for level in (platform, account):
        rules = _lay_over(rules, level)
    return rules


def _lay_over(rules: Rules, level: RuleSet) -> Rules:
    if level.content_block_score is not None:
        rules = replace(rules, content_block_score=level.content_block_score)
    if level.content_advice_score is not None:
        rules = replace(rules, content_advice_score=level.content_advice_score)
    if level.shadow_checks:
        rules = replace(rules, shadow=frozenset(CheckName[name] for name in level.shadow_checks))
    if level.window_seconds is not None:
        rules = replace(rules, window=timedelta(seconds=level.window_seconds))
    if level.pair_messages_per_minute is not None:
        rules = replace(rules, pair_messages_per_minute=level.pair_messages_per_minute)
    if level.pair_burst is not None:
        rules = replace(rules, pair_burst=level.pair_burst)
    if level.quota_shares:
        rules = replace(rules, quota_shares=level.quota_shares)
    return rules
