"""Owns who may call what: one row for each RPC, the groups a service token may name, the caller's
identity. Pure.

A new RPC is refused to everybody until it has a row here; a test compares the table with the contracts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from policycore.errors import Malformed
from policycore.registry.errors import NotPermittedError

EVERY_ACCOUNT = "*"
EDGE_NAME = "edge"
REVEAL = "reveal"
"""The right to see texts and whole phone numbers, beside the RPC that shows them."""


class CallerKind(StrEnum):
    """What kind of caller an identity is."""

    EDGE = "edge"
    ADMIN = "admin"
    SERVICE = "service"


_EDGE_ONLY = frozenset({CallerKind.EDGE})
_ADMIN = frozenset({CallerKind.ADMIN, CallerKind.SERVICE})
_ADMIN_AND_EDGE = frozenset({CallerKind.ADMIN, CallerKind.SERVICE, CallerKind.EDGE})
_NOT_ADMIN = frozenset({CallerKind.EDGE, CallerKind.SERVICE})

# Who may ever hold the right. A service token holds those of its rights that name SERVICE here.
RPC_RIGHTS: Mapping[str, frozenset[CallerKind]] = {
    # PolicyService. An administrator submits with validate_only; see `may_submit_for_real`.
    "Submit": _ADMIN_AND_EDGE,
    "SubmitStream": _NOT_ADMIN,
    "AdmitRequest": _EDGE_ONLY,
    "LookUpContact": _EDGE_ONLY,
    "RecordEvents": _EDGE_ONLY,
    "Explain": _ADMIN,
    "GetMessage": _ADMIN_AND_EDGE,
    "WatchEvents": _ADMIN_AND_EDGE,
    "WatchCredentials": _EDGE_ONLY,
    "RecordRefusals": _EDGE_ONLY,
    # AdminService
    "CreateAccount": _ADMIN,
    "UpdateAccount": _ADMIN,
    "ListAccounts": _ADMIN,
    "CreateApiKey": _ADMIN,
    "RevokeApiKey": _ADMIN,
    "ListApiKeys": _ADMIN,
    "CreateInstance": _ADMIN,
    "UpdateInstance": _ADMIN,
    "ListInstances": _ADMIN,
    "ProbeInstance": _ADMIN,
    "CreateIntegration": _ADMIN,
    "UpdateIntegration": _ADMIN,
    "ListIntegrations": _ADMIN,
    "CheckIntegration": _ADMIN,
    "RotateSecret": _ADMIN,
    "RotateSigningSecret": _ADMIN,
    "ListSecrets": _ADMIN,
    "UpdateTemplate": _ADMIN,
    "ListTemplates": _ADMIN,
    "GetThreecxSms": _ADMIN,
    "SetThreecxSms": _ADMIN,
    "RotateThreecxSmsKey": _ADMIN,
    "GetBusinessHours": _ADMIN,
    "UpdateBusinessHours": _ADMIN,
    "CreateCustomerWebhook": _ADMIN,
    "DeleteCustomerWebhook": _ADMIN,
    "ListCustomerWebhooks": _ADMIN,
    "CreateSuppression": _ADMIN,
    "LiftSuppression": _ADMIN,
    "ListSuppressions": _ADMIN,
    "CreatePause": _ADMIN,
    "LiftPause": _ADMIN,
    "ListPauses": _ADMIN,
    "GetRules": _ADMIN,
    "UpdateRules": _ADMIN,
    "CreateServiceToken": _ADMIN,
    "RevokeServiceToken": _ADMIN,
    "ListServiceTokens": _ADMIN,
    # The policy log is read with the administrator's own token, which the edge hands on.
    "ListDecisions": _ADMIN,
    # The edge shows the sandbox's phone and 3CX inbox.
    "ListMessages": _ADMIN_AND_EDGE,
    "ListDeliveries": _ADMIN_AND_EDGE,
    "ReplayDelivery": _ADMIN,
    "ListUnknownMessages": _ADMIN,
    "SettleMessage": _ADMIN,
    "DiscardDelivery": _ADMIN,
    "ListRefusals": _ADMIN,
    "ListAuditEntries": _ADMIN,
    "GetSystemState": _ADMIN,
    "GetThreecxApi": _ADMIN,
    "SetThreecxApi": _ADMIN,
    "RemoveThreecxApi": _ADMIN,
    "GetThreecxApiState": _ADMIN,
    "DiscoverThreecxWebhooks": _ADMIN,
}

_POLICY_RPCS = frozenset(
    {
        "Submit",
        "SubmitStream",
        "AdmitRequest",
        "LookUpContact",
        "RecordEvents",
        "Explain",
        "GetMessage",
        "WatchEvents",
        "WatchCredentials",
        "RecordRefusals",
    }
)

RIGHT_GROUPS: Mapping[str, frozenset[str]] = {
    "submit": frozenset({"Submit", "SubmitStream", "GetMessage"}),
    "read": frozenset(
        {
            "GetMessage",
            "WatchEvents",
            "Explain",
            "ListDecisions",
            "ListMessages",
            "ListDeliveries",
            "ListSuppressions",
            "ListPauses",
            "ListInstances",
            "ListIntegrations",
        }
    ),
    "admin": frozenset(RPC_RIGHTS) - _POLICY_RPCS | {"Explain", "GetMessage", "WatchEvents"},
}
"""Names a service token may carry in place of a list of RPCs."""


def rights_of_kind(kind: CallerKind) -> frozenset[str]:
    """Every RPC that a caller of this kind may ever call."""
    return frozenset(rpc for rpc, kinds in RPC_RIGHTS.items() if kind in kinds)


def expand_rights(named: Iterable[str]) -> frozenset[str]:
    """The RPCs (and `reveal`) behind a service token's rights.

    Whatever no service may hold is left out, whoever wrote it into the token's row.
    """
    wanted: set[str] = set()
    for name in named:
        wanted |= RIGHT_GROUPS.get(name, frozenset({name}))
    return frozenset(wanted) & (rights_of_kind(CallerKind.SERVICE) | {REVEAL})


def check_rights(named: Iterable[str]) -> None:
    """Errors: `Malformed` for the first right that does not exist or that no service token may hold."""
    for name in named:
        if name in RIGHT_GROUPS or name == REVEAL:
            continue
        kinds = RPC_RIGHTS.get(name)
        if kinds is None:
            groups = ", ".join(sorted(RIGHT_GROUPS))
            raise Malformed("rights", f"{name[:64]!r} is neither an RPC nor one of {groups}, {REVEAL}.")
        if CallerKind.SERVICE not in kinds:
            raise Malformed("rights", f"{name} is the edge's alone; no service token may hold it.")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls. `rights` are RPC names and `reveal`; `account_ids` those it may act for, or `*`.

    `token_id` is the service token's, and empty for the identities that are built in.
    """

    name: str
    kind: CallerKind
    rights: frozenset[str]
    account_ids: frozenset[str]
    token_id: str = ""

    @property
    def every_account(self) -> bool:
        """Whether it may act for every account, and so for the platform."""
        return EVERY_ACCOUNT in self.account_ids

    @property
    def reveals(self) -> bool:
        """Whether it may see texts and whole phone numbers."""
        return REVEAL in self.rights

    @property
    def may_submit_for_real(self) -> bool:
        """Whether its `Submit` may send; an administrator's may only validate."""
        return self.kind is not CallerKind.ADMIN

    def may_act_for(self, account_id: str) -> bool:
        """Whether it may act for this account."""
        return self.every_account or account_id in self.account_ids

    def require_account(self, account_id: str) -> None:
        """Errors: `NotPermittedError` if it may not act for the account, whether that exists or not."""
        if not self.may_act_for(account_id):
            raise NotPermittedError(f"{self.name} may not act for account {account_id[:64]!r}.")

    def require_platform(self) -> None:
        """Errors: `NotPermittedError` if it may act for some accounts only."""
        if not self.every_account:
            raise NotPermittedError(f"{self.name} may not act for the whole platform.")


def edge_identity() -> Identity:
    """The edge: brings requests and events in, and shows the sandbox."""
    return _built_in(EDGE_NAME, CallerKind.EDGE)


def admin_identity() -> Identity:
    """The administrator's token: the command line, and the edge on an administrator's behalf."""
    return _built_in("admin", CallerKind.ADMIN)


def certificate_names(identity: Identity) -> frozenset[str]:
    """Certificates under which this caller may come, where connections have them.

    Its own; and the edge's, which hands on the tokens that administrators and services show to it. Nobody but the
    edge comes as the edge.
    """
    return (
        frozenset({EDGE_NAME}) if identity.kind is CallerKind.EDGE else frozenset({EDGE_NAME, identity.name})
    )


def _built_in(name: str, kind: CallerKind) -> Identity:
    return Identity(name, kind, rights_of_kind(kind) | {REVEAL}, frozenset({EVERY_ACCOUNT}))
