"""Owns a service's certificate and the authorities it trusts: read from a folder, and again when that changes.

The folder holds `ca.crt` (one authority, or two while they are changed), `tls.crt` and `tls.key`, all PEM.
"""

import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

POLICYCORE_NAME = "policycore"
SENDER_NAME = "sender"
"""Names in the certificates of the servers; the policy core's is also the one that may instruct a sender."""

RENEWAL_LOOK_SECONDS = 5.0
"""How often a client looks whether its certificate was renewed."""

_FILES = ("ca.crt", "tls.crt", "tls.key")

_Marks = tuple[tuple[int, int, int], ...]

_log = structlog.get_logger(__name__)


class CertificatesError(ValueError):
    """The folder cannot be used. The text is one sentence that names the file and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Material:
    """What the files hold, as PEM; and when the certificate ends."""

    authorities: bytes
    chain: bytes
    key: bytes = field(repr=False)
    not_after: datetime


def read_material(folder: Path) -> Material:
    """The three files. Errors: `CertificatesError` if one is missing, is no PEM, or does not belong to the others."""
    try:
        authorities, chain, key = ((folder / name).read_bytes() for name in _FILES)
    except OSError as error:
        raise CertificatesError(
            f"HUBGATE_TLS_FOLDER: {error.filename} cannot be read ({error.strerror})."
        ) from None
    try:
        x509.load_pem_x509_certificates(authorities)
        leaf = x509.load_pem_x509_certificates(chain)[0]
        public = load_pem_private_key(key, None).public_key()
    except (ValueError, TypeError):
        raise CertificatesError(
            f"HUBGATE_TLS_FOLDER: a file in {folder} is not the PEM it should be."
        ) from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*form) != public.public_bytes(*form):
        raise CertificatesError(f"HUBGATE_TLS_FOLDER: tls.key in {folder} is not the key of tls.crt.")
    return Material(authorities, chain, key, leaf.not_valid_after_utc)


class Certificates:
    """A folder's material as it was when it was last whole. Each use (server, client) has one of its own.

    Errors of the constructor: `CertificatesError`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._marks = _marks(folder)
        self.material = read_material(folder)

    def renewed(self) -> bool:
        """Whether the folder holds something new, which counts from now on.

        Files that are missing or do not fit together, as while they are being replaced, count as nothing new.
        """
        with self._lock:
            marks = _marks(self._folder)
            if not marks or marks == self._marks:
                return False
            try:
                material = read_material(self._folder)
            except CertificatesError as error:
                _log.warning("certificates_unusable", explanation=str(error))
                return False
            self._marks, self.material = marks, material
            _log.info("certificates_renewed", not_after=material.not_after.isoformat())
            return True

    def server_credentials(self) -> grpc.ServerCredentials:
        """For a server that demands a certificate; every handshake looks whether the files are new ones."""
        # The stubs know nothing of None, which means that nothing has changed.
        fetch: Any = lambda: self._configuration() if self.renewed() else None  # noqa: E731
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(), fetch, require_client_authentication=True
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For a channel that shows the certificate; a channel keeps what it was made with."""
        material = self.material
        return grpc.ssl_channel_credentials(material.authorities, material.key, material.chain)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        material = self.material
        return grpc.ssl_server_certificate_configuration(
            [(material.key, material.chain)], root_certificates=material.authorities
        )


def _marks(folder: Path) -> _Marks:
    """What changes when a file is replaced; nothing if one is missing."""
    try:
        found = [(folder / name).stat() for name in _FILES]
    except OSError:
        return ()
    return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)


def expected_name(name: str) -> tuple[tuple[str, str], ...]:
    """Channel options: whoever answers there must have a certificate of this name, whatever its address is."""
    return (("grpc.ssl_target_name_override", name),)
