"""Owns the folder that the authorities and certificates of an installation are kept in.

| Path | Holds |
|---|---|
| `authority/ID.crt`, `authority/ID.key` | an authority; the newest one issues. No service needs these |
| `NAME/ca.crt` | every authority: what the owner of the name trusts |
| `NAME/tls.crt`, `NAME/tls.key` | the certificate of the name, and its key. The folder a service is given |
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from cli.authority import (
    Issued,
    RandomBytes,
    certificate_id,
    certified_names,
    issue,
    issuer_id,
    new_authority,
    read_issued,
)
from cli.errors import CliError, ExitCode

AUTHORITY_DAYS = 3_650
_AUTHORITY = "authority"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"ca(\d+)-[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Listed:
    """One certificate of the folder."""

    name: str
    id: str
    names: tuple[str, ...]
    issuer_id: str
    not_after: datetime


class CertificateFolder:
    """One folder of certificates. Every method's expected failures are `CliError`."""

    def __init__(self, path: Path, now: Callable[[], datetime], random_bytes: RandomBytes) -> None:
        self.path = path
        self._now = now
        self._random_bytes = random_bytes

    def create(self, names: Sequence[str], hosts: dict[str, list[str]], days: int) -> None:
        """Makes a certificate for each name, and the first authority if there is none. Replaces nothing."""
        for name in names:
            _check_name(name)
            if self.has(name):
                raise CliError(
                    ExitCode.REFUSED,
                    f"{self.path / name} holds a certificate already; `hubgate certificates renew {name}` makes"
                    " the next one.",
                )
        if not self.authority_ids():
            self.add_authority()
        for name in names:
            self._issue(name, [name, *hosts.get(name, [])], days)

    def renew(self, names: Sequence[str], days: int) -> list[str]:
        """New keys and certificates, from the newest authority, for these names or for all; returns whose."""
        for name in names:
            if not self.has(name):
                raise CliError(ExitCode.REFUSED, f"{self.path} holds no certificate of {name}.")
        chosen = list(names) or [each.name for each in self.listed()]
        for name in chosen:
            self._issue(name, certified_names(self._certificate(name)), days)
        return chosen

    def add_authority(self) -> str:
        """Makes an authority that everybody trusts beside the others, and that issues from now on; its id."""
        found = [int(number[1]) for each in self.authority_ids() if (number := _NUMBER.fullmatch(each))]
        own_id = f"ca{max(found, default=0) + 1}-{self._random_bytes(3).hex()}"
        made = new_authority(own_id, self._now(), AUTHORITY_DAYS, self._random_bytes)
        folder = self.path / _AUTHORITY
        _write(folder / f"{own_id}.key", made.key_pem(), 0o600)
        _write(folder / f"{own_id}.crt", made.certificate_pem(), 0o644)
        self._tell_everybody()
        return own_id

    def remove_authority(self, own_id: str) -> None:
        """Has nobody trust this authority any more. Refused while a certificate of the folder comes from it."""
        if own_id not in self.authority_ids():
            raise CliError(ExitCode.REFUSED, f"{self.path} holds no authority {own_id}.")
        if len(self.authority_ids()) == 1:
            raise CliError(ExitCode.REFUSED, f"{own_id} is the only authority.")
        users = [each.name for each in self.listed() if each.issuer_id == own_id]
        if users:
            raise CliError(
                ExitCode.REFUSED,
                f"{', '.join(users)} would no longer be trusted: renew them first (`hubgate certificates renew`).",
            )
        for ending in ("crt", "key"):
            (self.path / _AUTHORITY / f"{own_id}.{ending}").unlink(missing_ok=True)
        self._tell_everybody()

    def authority_ids(self) -> list[str]:
        """The authorities, oldest first."""
        found = [path.stem for path in (self.path / _AUTHORITY).glob("*.crt")]
        return sorted(found, key=lambda own_id: (int((_NUMBER.fullmatch(own_id) or ("", "0"))[1]), own_id))

    def listed(self) -> list[Listed]:
        """The certificates, by name."""
        names = sorted(path.parent.name for path in self.path.glob("*/tls.crt"))
        return [_listed(name, self._certificate(name)) for name in names]

    def has(self, name: str) -> bool:
        """Whether there is a certificate, or a part of one."""
        return any((self.path / name / file).exists() for file in ("tls.crt", "tls.key"))

    def _issue(self, name: str, names: Sequence[str], days: int) -> None:
        made = issue(self._newest_authority(), names, self._now(), days, self._random_bytes)
        # In this order, whoever reads in between finds a key that does not fit, and waits.
        _write(self.path / name / "ca.crt", self._authorities(), 0o644)
        _write(self.path / name / "tls.key", made.key_pem(), 0o600)
        _write(self.path / name / "tls.crt", made.certificate_pem(), 0o644)

    def _newest_authority(self) -> Issued:
        own_id = self.authority_ids()[-1]
        paths = [self.path / _AUTHORITY / f"{own_id}.{ending}" for ending in ("crt", "key")]
        try:
            return read_issued(*(path.read_bytes() for path in paths))
        except (OSError, ValueError) as error:
            raise CliError(
                ExitCode.USAGE, f"The authority {own_id} in {self.path / _AUTHORITY} cannot be read."
            ) from error

    def _authorities(self) -> str:
        return "".join(
            (self.path / _AUTHORITY / f"{each}.crt").read_text("ascii") for each in self.authority_ids()
        )

    def _tell_everybody(self) -> None:
        for path in self.path.glob("*/tls.crt"):
            _write(path.parent / "ca.crt", self._authorities(), 0o644)

    def _certificate(self, name: str) -> x509.Certificate:
        path = self.path / name / "tls.crt"
        try:
            return x509.load_pem_x509_certificates(path.read_bytes())[0]
        except (OSError, ValueError) as error:
            raise CliError(ExitCode.USAGE, f"{path} cannot be read as a certificate.") from error


def _listed(name: str, certificate: x509.Certificate) -> Listed:
    names = tuple(certified_names(certificate))
    ends = certificate.not_valid_after_utc
    return Listed(name, certificate_id(certificate), names, issuer_id(certificate), ends)


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None or name == _AUTHORITY:
        raise CliError(
            ExitCode.USAGE,
            f"{name[:64]!r} cannot be in a certificate: letters a to z, digits, hyphens and dots.",
        )


def _write(path: Path, text: str, mode: int) -> None:
    """Replaces a file in one step. Errors: `CliError`."""
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise CliError(ExitCode.USAGE, f"{path} cannot be written: {error.strerror}.") from error
