"""A customer's own webhook: events are posted in the signed format. Pure."""

from sender.destinations.signed_event import Destination, build, parse

CUSTOMER_WEBHOOK = Destination("customer_webhook", build, parse)
