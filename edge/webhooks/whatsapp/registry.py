"""Which parser belongs to which back end. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from edge.webhooks.whatsapp import cloud_api, evolution, sandbox, waha
from edge.webhooks.whatsapp.model import Delivery

PARSERS: Mapping[str, Callable[[bytes, str], Delivery]] = MappingProxyType(
    {
        "evolution": evolution.parse,
        "cloud_api": cloud_api.parse,
        "waha": waha.parse,
        "sandbox": sandbox.parse,
    }
)
"""Parser by back end, as the back end is called in the webhook's path."""


def parse(backend: str, raw: bytes, external_name: str) -> Delivery:
    """Parse the body of a webhook; `external_name` is what the back end calls the instance.

    Raises KeyError for a back end that is not in `PARSERS`, and NotJson for a body that cannot be read as a
    whole.
    """
    return PARSERS[backend](raw, external_name)
