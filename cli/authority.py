"""Owns how certificates are made: an authority of our own, and certificates for the names it vouches for."""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

RandomBytes = Callable[[int], bytes]

_EARLIER = timedelta(minutes=5)
"""Certificates count from a little before now, for machines whose clocks are behind."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def certificate_pem(self) -> str:
        """The certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode("ascii")

    def key_pem(self) -> str:
        """The private key as PEM, not encrypted."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def new_authority(authority_id: str, now: datetime, days: int, random_bytes: RandomBytes) -> Issued:
    """An authority that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(f"hubgate authority {authority_id}", authority_id)
    builder = (
        _begin(subject, subject, key, now, days, random_bytes)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return Issued(builder.sign(key, hashes.SHA256()), key)


def issue(
    authority: Issued, names: Sequence[str], now: datetime, days: int, random_bytes: RandomBytes
) -> Issued:
    """A certificate for `names`, host names or addresses, the first of which is its owner's; never outlives its
    authority.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(names[0], random_bytes(6).hex())
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    left = (authority.certificate.not_valid_after_utc - now).days
    builder = (
        _begin(subject, authority.certificate.subject, key, now, min(days, left), random_bytes)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(authority_key, critical=False)
    )
    return Issued(builder.sign(authority.key, hashes.SHA256()), key)


def read_issued(certificate_pem: bytes, key_pem: bytes) -> Issued:
    """What was written before. Errors: ValueError."""
    key = load_pem_private_key(key_pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not a key of an elliptic curve")
    return Issued(x509.load_pem_x509_certificate(certificate_pem), key)


def certificate_id(certificate: x509.Certificate) -> str:
    """The id that the certificate was made with; else its serial number."""
    found = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    return str(found[0].value) if found else format(certificate.serial_number, "x")


def issuer_id(certificate: x509.Certificate) -> str:
    """The id of the authority that made the certificate; empty if it is none of ours."""
    found = certificate.issuer.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    return str(found[0].value) if found else ""


def certified_names(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses that the certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress)]


def _subject(common_name: str, own_id: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, own_id),
        ]
    )


def _begin(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    days: int,
    random_bytes: RandomBytes,
) -> x509.CertificateBuilder:
    # 159 bits, so that the number is positive and fits into 20 bytes (RFC 5280, 4.1.2.2).
    serial = int.from_bytes(random_bytes(20)) >> 1 | 1
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
