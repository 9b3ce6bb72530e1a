"""Owns the controls of the AdminService: suppressions, pauses and rules; wire <-> registry."""

from collections.abc import Sequence
from typing import Any

from hubgate.policy.v1 import controls_pb2 as pb
from hubgate.policy.v1 import events_pb2, reasons_pb2
from policycore.model import Rules
from policycore.phone import mask_phone
from policycore.reasons import CheckName
from policycore.registry.pauses import NewPause
from policycore.registry.registry import Registry
from policycore.registry.rows import PauseRow, PauseScope, PersonKey, SuppressionSource
from policycore.registry.rule_sets import RuleSet
from policycore.registry.suppressions import SuppressionView
from policycore.rpc.admin_calls import answered, read_moment, read_page, read_span, set_moment
from policycore.rpc.identity import current_identity
from policycore.rpc.times import to_duration

_SOURCES = {
    SuppressionSource.PERSON: pb.SUPPRESSION_SOURCE_PERSON,
    SuppressionSource.ADMINISTRATOR: pb.SUPPRESSION_SOURCE_ADMINISTRATOR,
    SuppressionSource.IMPORT: pb.SUPPRESSION_SOURCE_IMPORT,
    SuppressionSource.WHATSAPP: pb.SUPPRESSION_SOURCE_WHATSAPP,
}
_SOURCE_NAMES = {number: name for name, number in _SOURCES.items()}
_SCOPES = {
    PauseScope.PLATFORM: pb.PAUSE_SCOPE_PLATFORM,
    PauseScope.ACCOUNT: pb.PAUSE_SCOPE_ACCOUNT,
    PauseScope.INSTANCE: pb.PAUSE_SCOPE_INSTANCE,
    PauseScope.INTEGRATION: pb.PAUSE_SCOPE_INTEGRATION,
    PauseScope.PERSON: pb.PAUSE_SCOPE_PERSON,
}
_SCOPE_NAMES = {number: name for name, number in _SCOPES.items()}


class ControlMethods:
    """Suppressions, pauses and rules."""

    _registry: Registry

    @answered
    async def CreateSuppression(
        self, request: pb.CreateSuppressionRequest, context: Any
    ) -> pb.CreateSuppressionResponse:
        caller = current_identity()
        view = await self._registry.suppressions.create(
            caller,
            request.account_id,
            read_person(request.person),
            _SOURCE_NAMES.get(request.source, ""),
            request.reason,
        )
        return pb.CreateSuppressionResponse(suppression=_suppression_to_wire(view, reveal=caller.reveals))

    @answered
    async def LiftSuppression(
        self, request: pb.LiftSuppressionRequest, context: Any
    ) -> pb.LiftSuppressionResponse:
        caller = current_identity()
        view = await self._registry.suppressions.lift(
            caller, request.suppression_id, request.reason, request.evidence
        )
        return pb.LiftSuppressionResponse(suppression=_suppression_to_wire(view, reveal=caller.reveals))

    @answered
    async def ListSuppressions(
        self, request: pb.ListSuppressionsRequest, context: Any
    ) -> pb.ListSuppressionsResponse:
        caller = current_identity()
        page = await self._registry.suppressions.page(
            caller,
            request.account_id,
            read_person(request.person) if request.HasField("person") else None,
            read_page(request),
            include_lifted=request.include_lifted,
        )
        found = [_suppression_to_wire(view, reveal=caller.reveals) for view in page.rows]
        return pb.ListSuppressionsResponse(suppressions=found, next_page_token=page.next_token)

    @answered
    async def CreatePause(self, request: pb.CreatePauseRequest, context: Any) -> pb.CreatePauseResponse:
        wanted = NewPause(
            scope=_SCOPE_NAMES.get(request.scope, ""),
            scope_id=request.scope_id,
            account_id=request.account_id,
            person=read_person(request.person) if request.HasField("person") else None,
            reason=request.reason,
            until=read_moment("until", request.until) if request.HasField("until") else None,
        )
        row, confirmed = await self._registry.pauses.create(current_identity(), wanted)
        return pb.CreatePauseResponse(pause=_pause_to_wire(row), senders_confirmed=confirmed)

    @answered
    async def LiftPause(self, request: pb.LiftPauseRequest, context: Any) -> pb.LiftPauseResponse:
        row = await self._registry.pauses.lift(current_identity(), request.pause_id)
        return pb.LiftPauseResponse(pause=_pause_to_wire(row))

    @answered
    async def ListPauses(self, request: pb.ListPausesRequest, context: Any) -> pb.ListPausesResponse:
        page = await self._registry.pauses.page(
            current_identity(), request.account_id, read_page(request), include_ended=request.include_ended
        )
        pauses = [_pause_to_wire(row) for row in page.rows]
        return pb.ListPausesResponse(pauses=pauses, next_page_token=page.next_token)

    @answered
    async def GetRules(self, request: pb.GetRulesRequest, context: Any) -> pb.GetRulesResponse:
        view = await self._registry.rules.get(current_identity(), request.account_id)
        return pb.GetRulesResponse(
            rules=_rules_to_wire(view.own, view.version), effective=_effective_to_wire(view.effective)
        )

    @answered
    async def UpdateRules(self, request: pb.UpdateRulesRequest, context: Any) -> pb.UpdateRulesResponse:
        rules = _read_rules(request.rules)
        view = await self._registry.rules.update(current_identity(), request.account_id, rules)
        return pb.UpdateRulesResponse(rules=_rules_to_wire(view.own, view.version))


def read_person(wire: events_pb2.PersonRef) -> PersonKey:
    """Someone on WhatsApp, by whichever identity is given."""
    return PersonKey(phone=wire.phone, lid=wire.lid, bsuid=wire.business_scoped_id)


def _person_to_wire(person: PersonKey, *, reveal: bool) -> events_pb2.PersonRef:
    if reveal:
        return events_pb2.PersonRef(phone=person.phone, lid=person.lid, business_scoped_id=person.bsuid)
    return events_pb2.PersonRef(phone=mask_phone(person.phone) if person.phone else "")


def _suppression_to_wire(view: SuppressionView, *, reveal: bool) -> pb.Suppression:
    row = view.row
    wire = pb.Suppression(
        suppression_id=row.id,
        account_id=row.account_id,
        person=_person_to_wire(view.person, reveal=reveal),
        source=_SOURCES[SuppressionSource(row.source)],
        scope=pb.SUPPRESSION_SCOPE_ALL if row.scope == "all" else pb.SUPPRESSION_SCOPE_MARKETING,
        reason=row.reason,
        evidence_message_id=row.evidence_message_id or "",
        evidence_rule=row.evidence_rule,
        lifted_reason=row.lifted_reason or "",
        clarification_pending=view.asked_back,
    )
    set_moment(wire.created_at, row.created_at)
    set_moment(wire.lifted_at, row.lifted_at)
    return wire


def _pause_to_wire(row: PauseRow) -> pb.Pause:
    wire = pb.Pause(
        pause_id=row.id,
        scope=_SCOPES[PauseScope(row.scope)],
        scope_id=row.scope_id,
        author=row.author,
        reason=row.reason,
        lifted_by=row.lifted_by or "",
    )
    set_moment(wire.until, row.until)
    set_moment(wire.created_at, row.created_at)
    set_moment(wire.lifted_at, row.lifted_at)
    return wire


def _read_rules(wire: pb.Rules) -> RuleSet:
    names = (_check_name(number) for number in wire.shadow_checks)
    return RuleSet(
        content_block_score=wire.content_block_score if wire.HasField("content_block_score") else None,
        content_advice_score=wire.content_advice_score if wire.HasField("content_advice_score") else None,
        shadow_checks=tuple(sorted(set(names))),
        window_seconds=(
            read_span("rules.window", wire.window).total_seconds() if wire.HasField("window") else None
        ),
        pair_messages_per_minute=(
            wire.pair_messages_per_minute if wire.HasField("pair_messages_per_minute") else None
        ),
        pair_burst=wire.pair_burst if wire.HasField("pair_burst") else None,
        quota_shares=tuple((share.caller.strip(), share.percent) for share in wire.quota_shares),
    )


def _check_name(number: int) -> str:
    try:
        return CheckName(number).name
    except ValueError:
        return f"CheckName {number}"


def _rules_to_wire(rules: RuleSet, version: int) -> pb.Rules:
    wire = pb.Rules(version=version, shadow_checks=_shadow_to_wire(rules.shadow_checks))
    if rules.content_block_score is not None:
        wire.content_block_score = rules.content_block_score
    if rules.content_advice_score is not None:
        wire.content_advice_score = rules.content_advice_score
    if rules.window_seconds is not None:
        wire.window.CopyFrom(to_duration(rules.window_seconds))
    if rules.pair_messages_per_minute is not None:
        wire.pair_messages_per_minute = rules.pair_messages_per_minute
    if rules.pair_burst is not None:
        wire.pair_burst = rules.pair_burst
    wire.quota_shares.extend(_shares_to_wire(rules.quota_shares))
    return wire


def _effective_to_wire(rules: Rules) -> pb.Rules:
    return pb.Rules(
        version=rules.version,
        content_block_score=rules.content_block_score,
        content_advice_score=rules.content_advice_score,
        shadow_checks=_shadow_to_wire(tuple(sorted(check.name for check in rules.shadow))),
        window=to_duration(rules.window.total_seconds()),
        pair_messages_per_minute=rules.pair_messages_per_minute,
        pair_burst=rules.pair_burst,
        quota_shares=_shares_to_wire(rules.quota_shares),
    )


def _shares_to_wire(shares: Sequence[tuple[str, int]]) -> list[pb.QuotaShare]:
    return [pb.QuotaShare(caller=caller, percent=percent) for caller, percent in shares]


def _shadow_to_wire(names: tuple[str, ...]) -> list[reasons_pb2.CheckName.ValueType]:
    return [reasons_pb2.CheckName.Value(f"CHECK_NAME_{name}") for name in names]
