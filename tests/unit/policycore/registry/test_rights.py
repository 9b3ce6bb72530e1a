"""The table of rights: every RPC of the contracts has a row, and what is the edge's alone stays so."""

import pytest

from hubgate.policy.v1 import admin_service_pb2, policy_service_pb2
from policycore.errors import Malformed
from policycore.registry.errors import NotPermittedError
from policycore.registry.rights import (
    REVEAL,
    RIGHT_GROUPS,
    RPC_RIGHTS,
    CallerKind,
    Identity,
    admin_identity,
    certificate_names,
    check_rights,
    edge_identity,
    expand_rights,
)

ALWAYS_THE_EDGES = {"RecordEvents", "WatchCredentials", "RecordRefusals", "AdmitRequest"}


def _rpcs() -> set[str]:
    services = (
        policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"],
        admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
    )
    return {method.name for service in services for method in service.methods}


def test_every_rpc_is_decided() -> None:
    assert set(RPC_RIGHTS) == _rpcs()


def test_groups_name_rpcs() -> None:
    for rights in RIGHT_GROUPS.values():
        assert rights <= _rpcs()


def test_the_admin_group_holds_the_whole_admin_service() -> None:
    service = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]
    assert {method.name for method in service.methods} <= RIGHT_GROUPS["admin"]


@pytest.mark.parametrize("rpc", sorted(ALWAYS_THE_EDGES))
def test_what_is_the_edges_alone(rpc: str) -> None:
    assert RPC_RIGHTS[rpc] == {CallerKind.EDGE}
    assert rpc not in expand_rights([rpc, "admin", "submit", "read"])
    assert rpc not in admin_identity().rights
    with pytest.raises(Malformed, match="edge's alone"):
        check_rights(["submit", rpc])


def test_rights_are_checked_when_a_token_is_made() -> None:
    check_rights(["submit", "read", "admin", "Explain", REVEAL])
    with pytest.raises(Malformed, match="neither an RPC nor one of"):
        check_rights(["everything"])


def test_an_unknown_right_in_a_row_grants_nothing() -> None:
    assert expand_rights(["everything", "Submit"]) == {"Submit"}


def test_reveal_is_no_part_of_any_group() -> None:
    assert REVEAL not in expand_rights(RIGHT_GROUPS)
    assert REVEAL in expand_rights([REVEAL])


def test_who_may_act_for_which_account() -> None:
    service = Identity("crm", CallerKind.SERVICE, frozenset(), frozenset({"acc_1"}))
    assert service.may_act_for("acc_1")
    assert not service.may_act_for("acc_2")
    assert not service.every_account
    service.require_account("acc_1")
    with pytest.raises(NotPermittedError, match="acc_2"):
        service.require_account("acc_2")
    with pytest.raises(NotPermittedError, match="platform"):
        service.require_platform()


def test_only_an_administrator_may_not_send() -> None:
    assert edge_identity().may_submit_for_real
    assert not admin_identity().may_submit_for_real


def test_nobody_but_the_edge_comes_as_the_edge() -> None:
    crm = Identity("crm", CallerKind.SERVICE, frozenset(), frozenset(), token_id="tok_1")
    assert certificate_names(edge_identity()) == {"edge"}
    assert certificate_names(admin_identity()) == {"edge", "admin"}
    assert certificate_names(crm) == {"edge", "crm"}
