"""What must not be sent right now: pauses and fresh opt-outs, as every policy core says them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sender.model import GuardScope, PermitClaims, WithheldError

SILENCE_SECONDS = 1.0
"""With no word from any policy core for this long, nothing is attempted."""

DEPARTED_SECONDS = 120.0
"""What a policy core said holds this long after its last word: as long as a permit may live."""

_CODES = {scope: f"guarded_{scope.name.lower()}" for scope in GuardScope}


@dataclass(frozen=True, slots=True)
class GuardEntry:
    """Something that must not be sent to, or through. `until` None means for as long as it is named."""

    scope: GuardScope
    scope_id: str
    opt_out: bool = False
    until: datetime | None = None


@dataclass(slots=True)
class _Speaker:
    version: int = -1
    heard_at: float = 0.0
    began: bool = False
    entries: dict[tuple[GuardScope, str, bool], datetime | None] = field(default_factory=dict)


class Guard:
    """One guard for each policy core that speaks; all of them are obeyed. `monotonic` gives seconds."""

    def __init__(self, now: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._now = now
        self._monotonic = monotonic
        self._speakers: dict[str, _Speaker] = {}
        self._heard_at = float("-inf")
        self._named: set[str] = set()
        """The ids that anything in force may name, and maybe some more: whoever is not among them passes."""

    def hear(
        self,
        speaker_id: str,
        version: int,
        entries: Iterable[GuardEntry],
        *,
        snapshot: bool,
        first_on_stream: bool = False,
    ) -> bool:
        """Takes a speaker's word. A snapshot replaces, unless it is older than what is known; all else adds.

        The first snapshot on a stream replaces whatever its version: a speaker that restarted counts anew.
        Returns False if the speaker has not begun with a snapshot: what it names is obeyed, but it does not
        count as heard, because nobody knows what else it would have named.
        """
        speaker = self._speakers.setdefault(speaker_id, _Speaker())
        if snapshot and (first_on_stream or version >= speaker.version):
            speaker.entries = {}
            speaker.version = version
            speaker.began = True
            self._named = {key[1] for each in self._speakers.values() for key in each.entries}
        for entry in entries:
            speaker.entries[entry.scope, entry.scope_id, entry.opt_out] = entry.until
            self._named.add(entry.scope_id)
        speaker.version = max(speaker.version, version)
        speaker.heard_at = self._monotonic()
        if speaker.began:
            self._heard_at = speaker.heard_at
        self._forget_the_departed()
        return speaker.began

    def silent(self) -> bool:
        """True if no policy core has been heard lately."""
        return self._monotonic() - self._heard_at > SILENCE_SECONDS

    def ask(self, claims: PermitClaims) -> None:
        """Raises `WithheldError` if nothing may be attempted now, or not this."""
        if self.silent():
            raise WithheldError(
                "guard_silent", "No policy core has been heard for too long; nothing is attempted."
            )
        ids = ("", claims.account_id, claims.instance_id, claims.integration_id, claims.person_id)
        if not self._named.isdisjoint(ids):
            self._ask_all(claims)

    def _ask_all(self, claims: PermitClaims) -> None:
        asked = (
            (GuardScope.PLATFORM, ""),
            (GuardScope.ACCOUNT, claims.account_id),
            (GuardScope.INSTANCE, claims.instance_id),
            (GuardScope.INTEGRATION, claims.integration_id),
            (GuardScope.PERSON, claims.person_id),
        )
        for speaker in self._speakers.values():
            if not speaker.entries:
                continue
            for scope, scope_id in asked:
                self._ask_one(speaker, scope, scope_id, claims.confirms_opt_out)

    def _ask_one(self, speaker: _Speaker, scope: GuardScope, scope_id: str, confirms_opt_out: bool) -> None:
        if self._holds(speaker, (scope, scope_id, False)):
            raise WithheldError(_CODES[scope], f"A pause holds for this {scope.name.lower()}.")
        if not confirms_opt_out and self._holds(speaker, (scope, scope_id, True)):
            raise WithheldError(_CODES[scope], f"An opt-out holds for this {scope.name.lower()}.")

    def _holds(self, speaker: _Speaker, key: tuple[GuardScope, str, bool]) -> bool:
        if key not in speaker.entries:
            return False
        until = speaker.entries[key]
        return until is None or self._now() < until

    def _forget_the_departed(self) -> None:
        latest_useful = self._monotonic() - DEPARTED_SECONDS
        for speaker_id in [key for key, value in self._speakers.items() if value.heard_at < latest_useful]:
            del self._speakers[speaker_id]
