"""Suppressions, pauses and rules through the AdminService, on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import insert, update

from hubgate.policy.v1 import accounts_pb2, events_pb2, instances_pb2, reasons_pb2, records_pb2
from hubgate.policy.v1 import controls_pb2 as pb
from policycore.reasons import CheckName
from policycore.store.tables import clarifications, suppressions
from support.admin_core import AdminCore, Caller, error_info

PHONE = "+966500000000"


async def refused(caller: Caller, rpc: str, request: Any) -> tuple[str, str, str]:
    """Code, reason and field a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller(rpc, request)
    return error_info(caught.value)


async def make_account(core: AdminCore, name: str = "Demo") -> str:
    account = accounts_pb2.Account(name=name)
    made = await core.admin("CreateAccount", accounts_pb2.CreateAccountRequest(account=account))
    return str(made.account.account_id)


async def make_token(core: AdminCore, account_id: str, *rights: str) -> Caller:
    request = accounts_pb2.CreateServiceTokenRequest(
        name=f"crm {'-'.join(rights)}", rights=rights, account_ids=[account_id]
    )
    made = await core.admin("CreateServiceToken", request)
    await core.snapshot()
    return core.caller(made.token)


def suppress(account_id: str, **values: Any) -> pb.CreateSuppressionRequest:
    values = {
        "person": events_pb2.PersonRef(phone=PHONE),
        "source": pb.SUPPRESSION_SOURCE_ADMINISTRATOR,
        **values,
    }
    return pb.CreateSuppressionRequest(account_id=account_id, **values)


async def test_suppressing_twice_is_suppressing_once(core: AdminCore) -> None:
    account_id = await make_account(core)
    first = (await core.admin("CreateSuppression", suppress(account_id, reason="asked by phone"))).suppression
    again = (await core.admin("CreateSuppression", suppress(account_id, reason="other"))).suppression
    assert again == first
    assert (first.reason, first.person.phone) == ("asked by phone", PHONE)
    assert first.scope == pb.SUPPRESSION_SCOPE_ALL
    # What was allowed just before is stopped at the senders, too.
    assert len(core.guards.guarded) == 2
    assert core.guards.guarded[0].startswith("per_")
    lifted = (
        await core.admin("LiftSuppression", pb.LiftSuppressionRequest(suppression_id=first.suppression_id))
    ).suppression
    assert lifted.HasField("lifted_at")
    assert core.guards.lifted == core.guards.guarded[:1]
    new = (await core.admin("CreateSuppression", suppress(account_id))).suppression
    assert new.suppression_id != first.suppression_id
    holding = await core.admin("ListSuppressions", pb.ListSuppressionsRequest(account_id=account_id))
    assert [each.suppression_id for each in holding.suppressions] == [new.suppression_id]
    every = pb.ListSuppressionsRequest(account_id=account_id, include_lifted=True, page_size=1)
    newest = await core.admin("ListSuppressions", every)
    assert newest.suppressions[0].suppression_id == new.suppression_id
    every.page_token = newest.next_page_token
    older = await core.admin("ListSuppressions", every)
    assert older.suppressions[0].suppression_id == first.suppression_id
    assert not older.next_page_token


async def test_accounts_do_not_share_suppressions(core: AdminCore) -> None:
    first, second = await make_account(core), await make_account(core, "Other")
    await core.admin("CreateSuppression", suppress(first))
    listed = await core.admin("ListSuppressions", pb.ListSuppressionsRequest(account_id=second))
    assert not listed.suppressions
    person = events_pb2.PersonRef(phone="00966 500 000 000")
    one = pb.ListSuppressionsRequest(account_id=first, person=person)
    assert len((await core.admin("ListSuppressions", one)).suppressions) == 1
    one.person.phone = "+966511111111"
    assert not (await core.admin("ListSuppressions", one)).suppressions


async def test_a_persons_own_wish_is_lifted_with_evidence_only(core: AdminCore) -> None:
    account_id = await make_account(core)
    made = (await core.admin("CreateSuppression", suppress(account_id))).suppression
    for source in ("person", "whatsapp"):
        async with core.database.transaction() as connection:
            await connection.execute(update(suppressions).values(source=source, lifted_at=None))
        bare = pb.LiftSuppressionRequest(suppression_id=made.suppression_id, reason="please")
        assert await refused(core.admin, "LiftSuppression", bare) == (
            "FAILED_PRECONDITION",
            "EVIDENCE_REQUIRED",
            "",
        )
        bare.evidence = "mail of 3 March, ticket 77"
        lifted = (await core.admin("LiftSuppression", bare)).suppression
        assert "ticket 77" in lifted.lifted_reason
    missing = pb.LiftSuppressionRequest(suppression_id="sup_none")
    assert (await refused(core.admin, "LiftSuppression", missing))[0] == "NOT_FOUND"


async def test_a_pending_question_shows(core: AdminCore) -> None:
    account_id = await make_account(core)
    made = (await core.admin("CreateSuppression", suppress(account_id))).suppression
    assert not made.clarification_pending
    async with core.database.transaction() as connection:
        row = {"account_id": account_id, "person_id": core.guards.guarded[0], "rule": "en:end"}
        await connection.execute(insert(clarifications).values(asked_at=datetime.now(UTC), **row))
    listed = await core.admin("ListSuppressions", pb.ListSuppressionsRequest(account_id=account_id))
    assert listed.suppressions[0].clarification_pending


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"person": events_pb2.PersonRef()}, "person"),
        ({"person": events_pb2.PersonRef(phone="0500000000")}, "person.phone"),
        ({"person": events_pb2.PersonRef(lid="12a")}, "person.lid"),
        ({"source": pb.SUPPRESSION_SOURCE_PERSON}, "source"),
        ({"source": pb.SUPPRESSION_SOURCE_UNSPECIFIED}, "source"),
        ({"reason": "x" * 1001}, "reason"),
    ],
)
async def test_a_wrong_suppression_is_refused(
    sqlite_core: AdminCore, values: dict[str, Any], field: str
) -> None:
    request = suppress(await make_account(sqlite_core), **values)
    assert await refused(sqlite_core.admin, "CreateSuppression", request) == (
        "INVALID_ARGUMENT",
        "MALFORMED",
        field,
    )


async def test_numbers_are_masked_without_the_right_to_see_them(sqlite_core: AdminCore) -> None:
    account_id = await make_account(sqlite_core)
    await sqlite_core.admin("CreateSuppression", suppress(account_id))
    request = pb.ListSuppressionsRequest(account_id=account_id)
    masked = await (await make_token(sqlite_core, account_id, "read"))("ListSuppressions", request)
    assert masked.suppressions[0].person.phone == "+9665•••••000"
    seeing = await make_token(sqlite_core, account_id, "read", "reveal")
    assert (await seeing("ListSuppressions", request)).suppressions[0].person.phone == PHONE


async def test_a_pause_names_its_author_and_reaches_the_senders(core: AdminCore) -> None:
    account_id = await make_account(core)
    request = pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_ACCOUNT, scope_id=account_id, reason="audit")
    made = await core.admin("CreatePause", request)
    assert (made.pause.author, made.pause.reason, made.senders_confirmed) == ("admin", "audit", 2)
    snapshot = await core.snapshot()
    assert core.guards.versions == [snapshot.version]
    assert [fact.pause_id for fact in snapshot.pauses_for(account_id, None, None, None)] == [
        made.pause.pause_id
    ]
    lift = pb.LiftPauseRequest(pause_id=made.pause.pause_id)
    lifted = (await core.admin("LiftPause", lift)).pause
    assert lifted.lifted_by == "admin"
    assert (await core.admin("LiftPause", lift)).pause == lifted
    assert (await core.snapshot()).pauses == ()
    assert not (await core.admin("ListPauses", pb.ListPausesRequest())).pauses
    ended = await core.admin("ListPauses", pb.ListPausesRequest(include_ended=True))
    assert [each.pause_id for each in ended.pauses] == [made.pause.pause_id]


async def test_every_scope_can_be_paused(core: AdminCore) -> None:
    account_id = await make_account(core)
    wire = instances_pb2.Instance(account_id=account_id, name="demo", backend="sandbox")
    instance = (
        await core.admin("CreateInstance", instances_pb2.CreateInstanceRequest(instance=wire))
    ).instance
    person = events_pb2.PersonRef(phone=PHONE)
    soon = Timestamp()
    soon.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    by_number = await core.admin(
        "CreatePause",
        pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_PERSON, account_id=account_id, person=person, until=soon),
    )
    requests = [
        pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_PLATFORM),
        pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_INSTANCE, scope_id=instance.instance_id),
        pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_PERSON, scope_id=by_number.pause.scope_id),
    ]
    for request in requests:
        made = (await core.admin("CreatePause", request)).pause
        assert made.scope == request.scope
        assert made.scope_id == request.scope_id
    assert len((await core.snapshot()).pauses) == 4
    mine = await core.admin("ListPauses", pb.ListPausesRequest(account_id=account_id))
    assert [each.scope for each in mine.pauses] == [
        pb.PAUSE_SCOPE_PERSON,
        pb.PAUSE_SCOPE_INSTANCE,
        pb.PAUSE_SCOPE_PERSON,
    ]


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (pb.CreatePauseRequest(), ("INVALID_ARGUMENT", "scope_id")),
        (pb.CreatePauseRequest(scope_id="x"), ("INVALID_ARGUMENT", "scope")),
        (
            pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_PLATFORM, scope_id="x"),
            ("INVALID_ARGUMENT", "scope_id"),
        ),
        (pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_ACCOUNT), ("INVALID_ARGUMENT", "scope_id")),
        (pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_ACCOUNT, scope_id="acc_none"), ("NOT_FOUND", "")),
        (pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_INSTANCE, scope_id="ins_none"), ("NOT_FOUND", "")),
        (pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_INTEGRATION, scope_id="int_none"), ("NOT_FOUND", "")),
        (pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_PERSON, scope_id="per_none"), ("NOT_FOUND", "")),
        (
            pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_PLATFORM, until=Timestamp(seconds=1)),
            ("INVALID_ARGUMENT", "until"),
        ),
    ],
)
async def test_a_wrong_pause_is_refused(
    sqlite_core: AdminCore, request_: pb.CreatePauseRequest, answer: tuple[str, str]
) -> None:
    code, _, field = await refused(sqlite_core.admin, "CreatePause", request_)
    assert (code, field) == answer
    assert sqlite_core.guards.versions == []


async def test_who_administers_one_account_pauses_that_one_only(sqlite_core: AdminCore) -> None:
    mine, other = await make_account(sqlite_core), await make_account(sqlite_core, "Other")
    crm = await make_token(sqlite_core, mine, "admin")
    platform = (
        await sqlite_core.admin("CreatePause", pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_PLATFORM))
    ).pause
    own = pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_ACCOUNT, scope_id=mine)
    assert (await crm("CreatePause", own)).pause.author == "crm admin"
    for request in (
        pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_PLATFORM),
        pb.CreatePauseRequest(scope=pb.PAUSE_SCOPE_ACCOUNT, scope_id=other),
    ):
        assert (await refused(crm, "CreatePause", request))[0] == "PERMISSION_DENIED"
    lift = pb.LiftPauseRequest(pause_id=platform.pause_id)
    assert (await refused(crm, "LiftPause", lift))[0] == "NOT_FOUND"
    seen = (await crm("ListPauses", pb.ListPausesRequest())).pauses
    assert [each.scope_id for each in seen] == [mine]


async def test_rules_of_account_and_platform(core: AdminCore) -> None:
    account_id = await make_account(core)
    nothing = await core.admin("GetRules", pb.GetRulesRequest(account_id=account_id))
    assert nothing.effective.content_block_score == 80
    assert not nothing.rules.HasField("content_block_score")
    platform = pb.Rules(content_block_score=90, shadow_checks=[reasons_pb2.CHECK_NAME_CONTENT])
    await core.admin("UpdateRules", pb.UpdateRulesRequest(rules=platform))
    own = pb.Rules(window=Duration(seconds=3600), pair_messages_per_minute=0.0)
    changed = await core.admin("UpdateRules", pb.UpdateRulesRequest(account_id=account_id, rules=own))
    assert changed.rules.version == 2
    found = await core.admin("GetRules", pb.GetRulesRequest(account_id=account_id))
    assert found.effective.content_block_score == 90
    assert found.effective.window.seconds == 3600
    assert list(found.effective.shadow_checks) == [reasons_pb2.CHECK_NAME_CONTENT]
    rules = (await core.snapshot()).accounts[account_id].rules
    assert rules.window == timedelta(hours=1)
    assert rules.pair_messages_per_minute == 0.0
    assert rules.shadow == {CheckName.CONTENT}
    await core.admin("UpdateRules", pb.UpdateRulesRequest(account_id=account_id, rules=pb.Rules()))
    back = await core.admin("GetRules", pb.GetRulesRequest(account_id=account_id))
    assert back.effective.window.seconds == 86_400
    assert back.effective.version == 3


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        (pb.Rules(content_block_score=101), "rules.content_block_score"),
        (pb.Rules(content_advice_score=90), "rules.content_advice_score"),
        (pb.Rules(window=Duration(seconds=86_401)), "rules.window"),
        (pb.Rules(window=Duration()), "rules.window"),
        (pb.Rules(pair_burst=0), "rules.pair_burst"),
        (pb.Rules(shadow_checks=[reasons_pb2.CHECK_NAME_SUPPRESSION]), "rules.shadow_checks"),
        (pb.Rules(shadow_checks=[99]), "rules.shadow_checks"),  # type: ignore[list-item]
    ],
)
async def test_wrong_rules_are_refused_and_not_kept(
    sqlite_core: AdminCore, rules: pb.Rules, field: str
) -> None:
    request = pb.UpdateRulesRequest(rules=rules)
    assert await refused(sqlite_core.admin, "UpdateRules", request) == (
        "INVALID_ARGUMENT",
        "MALFORMED",
        field,
    )
    found = await sqlite_core.admin("GetRules", pb.GetRulesRequest())
    assert found.effective.content_block_score == 80
    log = await sqlite_core.admin("ListAuditEntries", records_pb2.ListAuditEntriesRequest())
    assert not log.entries
