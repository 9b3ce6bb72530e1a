"""A service reads its folder whole or not at all."""

import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certificates.folder import Certificates, CertificatesError
from cli.certificate_folder import CertificateFolder


@pytest.fixture
def folder(tmp_path: Path) -> CertificateFolder:
    """With one certificate."""
    made = CertificateFolder(tmp_path, lambda: datetime.now(UTC), secrets.token_bytes)
    made.create(["edge", "sender"], {}, days=30)
    return made


def test_what_is_renewed_counts_once(folder: CertificateFolder) -> None:
    certificates = Certificates(folder.path / "edge")
    assert not certificates.renewed()
    before = certificates.material
    folder.renew(["edge"], days=30)
    assert certificates.renewed()
    assert certificates.material.chain != before.chain
    assert not certificates.renewed()


def test_another_authority_is_something_new(folder: CertificateFolder) -> None:
    certificates = Certificates(folder.path / "edge")
    folder.add_authority()
    assert certificates.renewed()
    assert certificates.material.authorities.count(b"BEGIN CERTIFICATE") == 2


def test_half_of_a_renewal_is_waited_out(folder: CertificateFolder) -> None:
    own = folder.path / "edge"
    certificates = Certificates(own)
    before = certificates.material
    chain, key = ((folder.path / "sender" / name).read_bytes() for name in ("tls.crt", "tls.key"))
    (own / "tls.key").write_bytes(key)
    assert not certificates.renewed()
    (own / "tls.crt").unlink()
    assert not certificates.renewed()
    assert certificates.material is before
    (own / "tls.crt").write_bytes(chain)
    assert certificates.renewed()
    assert certificates.material.chain == chain


@pytest.mark.parametrize("name", ["ca.crt", "tls.crt", "tls.key"])
@pytest.mark.parametrize("content", [None, b"", b"not PEM"])
def test_a_folder_that_cannot_be_used_is_named(
    folder: CertificateFolder, name: str, content: bytes | None
) -> None:
    file = folder.path / "edge" / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CertificatesError, match=r"HUBGATE_TLS_FOLDER: .*edge"):
        Certificates(folder.path / "edge")


def test_a_key_of_another_certificate_is_refused(folder: CertificateFolder) -> None:
    (folder.path / "edge" / "tls.key").write_bytes((folder.path / "sender" / "tls.key").read_bytes())
    with pytest.raises(CertificatesError, match=r"tls\.key in .* is not the key of tls\.crt"):
        Certificates(folder.path / "edge")


def test_a_key_shows_in_no_representation(folder: CertificateFolder) -> None:
    assert "PRIVATE" not in repr(Certificates(folder.path / "edge").material)
