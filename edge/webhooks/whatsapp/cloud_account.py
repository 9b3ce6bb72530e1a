"""What Meta says about the WhatsApp Business Account itself -> state changes.

Pure. Events and restrictions as in
https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/account_update.
They concern every number of the account, and name none.
"""

from collections.abc import Mapping

from edge.webhooks.whatsapp.fields import (
    Json,
    as_object,
    child,
    digest,
    elements,
    event_key,
    identifier,
    moment,
)
from edge.webhooks.whatsapp.model import InboundEvent, InstanceState, InstanceStateChange

_STATES: Mapping[str, tuple[InstanceState, str]] = {
    "ACCOUNT_DELETED": (InstanceState.CLOSE, "removed"),
    "ACCOUNT_OFFBOARDED": (InstanceState.CLOSE, "offboarded"),
    "ACCOUNT_RECONNECTED": (InstanceState.OPEN, "reconnected"),
    "PARTNER_REMOVED": (InstanceState.CLOSE, "partner_removed"),
    "PARTNER_APP_UNINSTALLED": (InstanceState.CLOSE, "app_uninstalled"),
}
_BAN_STATES: Mapping[str, tuple[InstanceState, str]] = {
    "DISABLE": (InstanceState.CLOSE, "banned"),
    "REINSTATE": (InstanceState.OPEN, "reinstated"),
}
_NO_ANSWERS = "RESTRICTED_CUSTOMER_INITIATED_MESSAGING"
_ANSWERS_ONLY = "RESTRICTED_BIZ_INITIATED_MESSAGING"


def read_account_update(value: Json, entry: Json) -> InboundEvent | None:
    """The state an `account_update` puts the instance into; None if it changes nothing about sending."""
    change = _state_change(value)
    if change is None:
        return None
    return InboundEvent(
        # The account gives such an event no id; the entry's time tells it from the next one like it.
        event_key=event_key("state", "account_update", digest([entry.get("id"), entry.get("time"), value])),
        event=change,
        provider_time=moment(entry.get("time")),
    )


def _state_change(value: Json) -> InstanceStateChange | None:
    word = identifier(value, "event").upper()
    if word == "ACCOUNT_RESTRICTION":
        return _restriction(value)
    if word == "DISABLED_UPDATE":
        found = _BAN_STATES.get(identifier(child(value, "ban_info"), "waba_ban_state").upper())
    else:
        found = _STATES.get(word)
    return InstanceStateChange(*found) if found else None


def _restriction(value: Json) -> InstanceStateChange | None:
    restrictions = {
        identifier(entry, "restriction_type").upper(): moment(entry.get("expiration"))
        for entry in map(as_object, elements(value, "restriction_info"))
    }
    if _NO_ANSWERS in restrictions:
        return InstanceStateChange(InstanceState.CLOSE, "restricted")
    if _ANSWERS_ONLY in restrictions:
        return InstanceStateChange(InstanceState.OPEN, "replies_only", restrictions[_ANSWERS_ONLY])
    return None
