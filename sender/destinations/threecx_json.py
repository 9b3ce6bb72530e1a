"""The generic JSON endpoint beside a 3CX phone system: events are posted in the signed format. Pure."""

from sender.destinations.signed_event import Destination, build, parse

THREECX_JSON = Destination("threecx_json", build, parse)
