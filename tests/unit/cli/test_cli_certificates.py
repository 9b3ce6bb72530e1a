"""`hubgate certificates` and `hubgate secrets`: what they make, and that they replace nothing by themselves."""

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from cli.authority import certified_names
from cli.certificate_folder import CertificateFolder
from cli.errors import CliError, ExitCode
from cli.installation import make_secrets
from cli.main import main
from policycore.settings import read_settings as core_settings
from sender.settings import read_settings as sender_settings

NOW = datetime(2026, 3, 14, 9, tzinfo=UTC)


class Numbers:
    """Random bytes that are never the same and always known."""

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, count: int) -> bytes:
        self._calls += 1
        return self._calls.to_bytes(count)


@pytest.fixture
def folder(tmp_path: Path) -> CertificateFolder:
    """Empty, at a fixed time."""
    return CertificateFolder(tmp_path / "certificates", lambda: NOW, Numbers())


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_certificate_names_its_owner_and_ends_in_time(folder: CertificateFolder) -> None:
    folder.create(["edge"], {"edge": ["edge.example.com", "192.0.2.7"]}, days=90)
    made = _certificate(folder.path / "edge" / "tls.crt")
    assert certified_names(made) == ["edge", "edge.example.com", "192.0.2.7"]
    assert made.not_valid_after_utc == NOW + timedelta(days=90)
    assert made.not_valid_before_utc < NOW
    purposes = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(purposes) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    (authority,) = x509.load_pem_x509_certificates((folder.path / "edge" / "ca.crt").read_bytes())
    made.verify_directly_issued_by(authority)


def test_a_certificate_does_not_outlive_its_authority(folder: CertificateFolder, tmp_path: Path) -> None:
    folder.create(["edge"], {}, days=30)
    much_later = CertificateFolder(folder.path, lambda: NOW + timedelta(days=3_600), Numbers())
    much_later.renew(["edge"], days=365)
    made = _certificate(folder.path / "edge" / "tls.crt")
    (authority,) = x509.load_pem_x509_certificates((folder.path / "edge" / "ca.crt").read_bytes())
    assert made.not_valid_after_utc <= authority.not_valid_after_utc


def test_keys_are_for_their_owner_only(folder: CertificateFolder) -> None:
    folder.create(["edge"], {}, days=90)
    keys = list(folder.path.rglob("*.key"))
    assert len(keys) == 2
    for key in keys:
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700


def test_nothing_is_replaced(folder: CertificateFolder) -> None:
    folder.create(["edge"], {}, days=90)
    before = {path: path.read_bytes() for path in folder.path.rglob("*.*")}
    with pytest.raises(CliError, match="edge holds a certificate already") as caught:
        folder.create(["edge"], {}, days=90)
    assert caught.value.code is ExitCode.REFUSED
    with pytest.raises(CliError):
        folder.create(["sender", "edge"], {}, days=90)
    assert {path: path.read_bytes() for path in folder.path.rglob("*.*")} == before


def test_a_renewal_keeps_the_names_and_changes_the_key(folder: CertificateFolder) -> None:
    folder.create(["edge"], {"edge": ["edge.example.com"]}, days=90)
    key = (folder.path / "edge" / "tls.key").read_bytes()
    before = folder.listed()[0]
    assert folder.renew([], days=30) == ["edge"]
    after = folder.listed()[0]
    assert (after.names, after.issuer_id) == (before.names, before.issuer_id)
    assert after.id != before.id
    assert (folder.path / "edge" / "tls.key").read_bytes() != key


def test_a_change_of_the_authority_has_both_trusted_until_it_ends(folder: CertificateFolder) -> None:
    folder.create(["edge", "sender"], {}, days=90)
    (old,) = folder.authority_ids()
    new = folder.add_authority()
    assert folder.authority_ids() == [old, new]
    for name in ("edge", "sender"):
        assert (folder.path / name / "ca.crt").read_text().count("BEGIN") == 2
    with pytest.raises(CliError, match="edge, sender would no longer be trusted"):
        folder.remove_authority(old)
    folder.renew([], days=90)
    assert {each.issuer_id for each in folder.listed()} == {new}
    folder.remove_authority(old)
    assert folder.authority_ids() == [new]
    for name in ("edge", "sender"):
        assert (folder.path / name / "ca.crt").read_text().count("BEGIN") == 1
    with pytest.raises(CliError, match="the only authority"):
        folder.remove_authority(new)
    with pytest.raises(CliError, match="no authority"):
        folder.remove_authority(old)


@pytest.mark.parametrize("name", ["", "authority", "../edge", "a/b", "A", "-a", "a b", ".", ".."])
def test_a_name_is_one_that_a_certificate_and_a_folder_can_have(folder: CertificateFolder, name: str) -> None:
    with pytest.raises(CliError, match="cannot be in a certificate"):
        folder.create([name], {}, days=90)
    assert not folder.path.exists()


def test_the_command_makes_lists_and_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = str(tmp_path / "kept")
    assert main(["certificates", "create", "--folder", kept, "--host", "policycore=10.0.0.8"]) == 0
    assert main(["certificates", "create", "--folder", kept]) == ExitCode.REFUSED
    assert main(["certificates", "create", "--missing", "edge", "crm", "--folder", kept]) == 0
    capsys.readouterr()
    assert main(["certificates", "list", "--json", "--folder", kept]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in listed["certificates"]] == [
        "admin",
        "crm",
        "edge",
        "policycore",
        "sender",
    ]
    assert listed["certificates"][3]["names"] == ["policycore", "10.0.0.8"]
    assert main(["certificates", "list", "--within", "400", "--folder", kept]) == ExitCode.PROBLEM
    assert main(["certificates", "add-authority", "--folder", kept]) == 0
    assert main(["certificates", "renew", "--folder", kept]) == 0
    assert main(["certificates", "remove-authority", listed["authorities"][0], "--folder", kept]) == 0
    assert main(["certificates", "create", "x", "--host", "y", "--folder", kept]) == ExitCode.USAGE


def test_secrets_are_ones_that_the_services_start_with() -> None:
    made = dict(make_secrets(Numbers()))
    environ = {**made, "HUBGATE_DATABASE_URL": f"postgresql://hubgate:{made['POSTGRES_PASSWORD']}@db/hubgate"}
    core = core_settings(environ)
    sender = sender_settings(environ)
    assert set(sender.permit_public_keys) == {core.permit_key.key_id}
    assert len(set(made.values())) == len(made)
    assert not any(set(value) & set("$'\" \\#\n") for value in made.values())


def test_a_file_of_secrets_is_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / ".env"
    assert main(["secrets", "create", "--file", str(file)]) == 0
    text = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert main(["secrets", "create", "--file", str(file)]) == ExitCode.REFUSED
    assert file.read_text() == text
    assert main(["secrets", "create", "--file", str(tmp_path / "no" / ".env")]) == ExitCode.USAGE
    assert "HUBGATE_MASTER_KEY=" not in capsys.readouterr().out
    assert main(["secrets", "create"]) == 0
    printed = capsys.readouterr().out
    assert [line.partition("=")[0] for line in printed.splitlines() if not line.startswith("#")] == [
        line.partition("=")[0] for line in text.splitlines() if not line.startswith("#")
    ]
