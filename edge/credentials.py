"""The credentials of every caller, as the policy core streamed them, and whether they still count."""

import math
from typing import Final

from edge.model import ApiKey, CredentialSnapshot, InstanceKey, IntegrationKey

CUT_OFF_SECONDS: Final = 10.0
"""How long the edge serves on credentials that nobody confirms."""

_NOTHING: Final = CredentialSnapshot(version=-1, integrations={}, api_keys={}, instances={})


class CredentialCache:
    """The latest snapshot. Instants are readings of one monotonic clock, in seconds."""

    def __init__(self, cut_off_seconds: float = CUT_OFF_SECONDS) -> None:
        self._cut_off_seconds = cut_off_seconds
        self._snapshot = _NOTHING
        self._heard_at = -math.inf

    def replace(self, snapshot: CredentialSnapshot, heard_at: float) -> None:
        """Takes a new whole set."""
        self._snapshot = snapshot
        self._heard_at = heard_at

    def confirm(self, heard_at: float) -> None:
        """Notes that the policy core still stands by the set."""
        self._heard_at = heard_at

    def age_seconds(self, now: float) -> float:
        """Seconds since the policy core was last heard; infinite before it ever was."""
        return now - self._heard_at

    def fresh(self, now: float) -> bool:
        """Whether callers may be judged by what is here."""
        return self.age_seconds(now) < self._cut_off_seconds

    @property
    def version(self) -> int:
        """Version of the set; -1 before the first."""
        return self._snapshot.version

    def integration(self, integration_id: str) -> IntegrationKey | None:
        """The integration's key, or None if it is unknown."""
        return self._snapshot.integrations.get(integration_id)

    def sms_integration(self, integration_id: str) -> IntegrationKey | None:
        """The key of the integration's SMS-provider connector, or None if there is no such."""
        return self._snapshot.sms_integrations.get(integration_id)

    def api_key(self, digest: bytes) -> ApiKey | None:
        """The API key with this SHA-256, or None if it is unknown."""
        return self._snapshot.api_keys.get(digest)

    def neighbours(self, instance: InstanceKey) -> list[InstanceKey]:
        """Other instances of the account that the same back end serves under the same secret.

        A Meta app posts the events of all its numbers to one address, and so does a global webhook of Evolution API.
        """
        return [
            each
            for each in self._snapshot.instances.values()
            if each.account_id == instance.account_id
            and each.backend == instance.backend
            and not each.webhook_secrets.isdisjoint(instance.webhook_secrets)
            and each.enabled
            and each.instance_id != instance.instance_id
        ]

    def instance(self, instance_id: str) -> InstanceKey | None:
        """The instance's key, or None if it is unknown."""
        return self._snapshot.instances.get(instance_id)
