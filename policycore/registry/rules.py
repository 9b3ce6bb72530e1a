"""Owns reading and changing the rules of an account or of the platform; every change is a new version."""

from dataclasses import dataclass

from policycore.model import Rules
from policycore.registry.lookups import find_account
from policycore.registry.ports import RegistryRows, RegistryStore
from policycore.registry.rights import Identity
from policycore.registry.rule_sets import (
    RuleSet,
    check_effective,
    check_rule_set,
    effective_rules,
    write_rule_set,
)

PLATFORM = ""
_FIRST_VERSION = 1


@dataclass(frozen=True, slots=True)
class RulesView:
    """Rules as set, their version, and what holds once every default is filled in."""

    version: int
    own: RuleSet
    effective: Rules


class RulesRegistry:
    """The rules. The account '' is the platform."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store

    async def get(self, caller: Identity, account_id: str) -> RulesView:
        """Errors: `NotPermittedError`, `NotFound`."""
        async with self._store.reading() as rows:
            await _require(rows, caller, account_id)
            return await _view(rows, account_id)

    async def update(self, caller: Identity, account_id: str, rules: RuleSet) -> RulesView:
        """Replaces the whole set. Errors: `NotPermittedError`, `NotFound`, `Malformed`."""
        check_rule_set(rules)
        async with self._store.changing() as rows:
            await _require(rows, caller, account_id)
            version = await rows.rules.add(account_id, rules, caller.name)
            view = await _view(rows, account_id)
            check_effective(view.effective)
            target = account_id or "platform"
            detail = {"version": version, "rules": write_rule_set(rules)}
            await rows.write_audit(caller.name, "UpdateRules", target, account_id or None, detail)
            await rows.raise_version()
        return view


async def _require(rows: RegistryRows, caller: Identity, account_id: str) -> None:
    if account_id == PLATFORM:
        caller.require_platform()
    else:
        await find_account(rows, account_id, caller)


async def _view(rows: RegistryRows, account_id: str) -> RulesView:
    platform = await rows.rules.newest(PLATFORM) or (_FIRST_VERSION, RuleSet())
    if account_id == PLATFORM:
        return RulesView(platform[0], platform[1], effective_rules(platform[1], RuleSet(), platform[0]))
    own = await rows.rules.newest(account_id) or (_FIRST_VERSION, RuleSet())
    return RulesView(own[0], own[1], effective_rules(platform[1], own[1], max(platform[0], own[0])))
