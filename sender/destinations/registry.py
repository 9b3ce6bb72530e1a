"""Which kinds of destination there are. A new one is its file and one line here. Pure."""

from collections.abc import Mapping

from sender.destinations.customer_webhook import CUSTOMER_WEBHOOK
from sender.destinations.sandbox_inbox import SANDBOX_INBOX
from sender.destinations.signed_event import Destination
from sender.destinations.threecx_json import THREECX_JSON
from sender.destinations.threecx_sms import THREECX_SMS

DESTINATIONS: Mapping[str, Destination] = {
    destination.kind: destination
    for destination in (THREECX_JSON, THREECX_SMS, CUSTOMER_WEBHOOK, SANDBOX_INBOX)
}
"""Destinations by the word that `PostEventRequest.destination_kind` carries."""
