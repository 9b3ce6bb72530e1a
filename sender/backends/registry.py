"""Which back ends there are. A new one is its file and one line here. Pure."""

from collections.abc import Mapping

from sender.backends.cloud_api import CLOUD_API
from sender.backends.evolution import EVOLUTION
from sender.backends.sandbox import SANDBOX
from sender.backends.waha import WAHA
from sender.backends.wire import Backend

BACKENDS: Mapping[str, Backend] = {backend.name: backend for backend in (EVOLUTION, CLOUD_API, WAHA, SANDBOX)}
"""Back ends by the name that `InstanceConnection.backend` carries."""
