"""Who gets in where connections have certificates: real servers, real handshakes."""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import pytest
from integration.certificates.certified_core import (
    ADMIN_TOKEN,
    CRM_TOKEN,
    EDGE_TOKEN,
    NAMES,
    Caller,
    folder_at,
    now,
    serving,
)

from cli.certificate_folder import CertificateFolder
from cli.probe import serves

SHAPES = ("single", "watch", "both_ways")


@pytest.fixture
def folder(tmp_path: Path) -> CertificateFolder:
    """Everybody's certificates."""
    return folder_at(tmp_path / "certificates")


@pytest.fixture
async def address(folder: CertificateFolder) -> AsyncIterator[str]:
    """A policy core with its certificate."""
    async with serving(folder.path / "policycore") as found:
        yield found


async def _refusal(caller: Caller, token: str, shape: str = "single") -> grpc.aio.AioRpcError:
    async with caller:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await getattr(caller, shape)(token)
    return caught.value


@pytest.mark.parametrize(
    ("certificate", "token", "shape", "name"),
    [
        ("edge", EDGE_TOKEN, "single", "edge"),
        ("edge", EDGE_TOKEN, "both_ways", "edge"),
        ("admin", ADMIN_TOKEN, "single", "admin"),
        ("admin", ADMIN_TOKEN, "watch", "admin"),
        ("crm", CRM_TOKEN, "single", "crm"),
        ("crm", CRM_TOKEN, "watch", "crm"),
        ("crm", CRM_TOKEN, "both_ways", "crm"),
        # The edge hands on the tokens that are shown to it.
        ("edge", ADMIN_TOKEN, "single", "admin"),
        ("edge", CRM_TOKEN, "single", "crm"),
    ],
)
async def test_the_right_certificate_gets_in(
    folder: CertificateFolder, address: str, certificate: str, token: str, shape: str, name: str
) -> None:
    async with Caller(address, folder.path / certificate) as caller:
        assert await getattr(caller, shape)(token) == name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("certificate", "token"),
    [
        # Whoever could be the edge could forge a customer's message.
        ("admin", EDGE_TOKEN),
        ("crm", EDGE_TOKEN),
        ("sender", EDGE_TOKEN),
        ("policycore", EDGE_TOKEN),
        ("admin", CRM_TOKEN),
        ("sender", CRM_TOKEN),
    ],
)
async def test_a_token_is_worth_nothing_under_another_ones_certificate(
    folder: CertificateFolder, address: str, shape: str, certificate: str, token: str
) -> None:
    error = await _refusal(Caller(address, folder.path / certificate), token, shape)
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    if shape != "watch" or token == CRM_TOKEN:
        assert (
            error.details() == "The certificate of this connection may not speak for the owner of the token."
        )


async def test_a_certificate_is_worth_nothing_without_a_token(
    folder: CertificateFolder, address: str
) -> None:
    error = await _refusal(Caller(address, folder.path / "edge"), "wrong")
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_without_a_certificate_nobody_gets_in(folder: CertificateFolder, address: str) -> None:
    edge = folder.path / "edge"
    assert (
        await _refusal(Caller(address, None, trusts=edge), EDGE_TOKEN)
    ).code() is grpc.StatusCode.UNAVAILABLE
    assert (await _refusal(Caller(address, None), EDGE_TOKEN)).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_authority_does_not_count(
    folder: CertificateFolder, address: str, tmp_path: Path
) -> None:
    foreign = folder_at(tmp_path / "foreign").path / "edge"
    error = await _refusal(Caller(address, foreign, trusts=folder.path / "edge"), EDGE_TOKEN)
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_of_another_authority_is_not_spoken_to(
    folder: CertificateFolder, address: str, tmp_path: Path
) -> None:
    foreign = folder_at(tmp_path / "foreign").path / "edge"
    error = await _refusal(Caller(address, folder.path / "edge", trusts=foreign), EDGE_TOKEN)
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_expired_certificate_does_not_count(
    folder: CertificateFolder, address: str, tmp_path: Path
) -> None:
    def last_year() -> datetime:
        return now() - timedelta(days=365)

    old = CertificateFolder(folder.path, last_year, secrets.token_bytes)
    old.create(["late"], {"late": ["edge"]}, days=30)
    error = await _refusal(Caller(address, folder.path / "late"), EDGE_TOKEN)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    old.create(["early"], {"early": ["edge"]}, days=3_000)
    async with Caller(address, folder.path / "early") as caller:
        assert await caller.single(EDGE_TOKEN) == "edge", "only its age was wrong with the other one"


async def test_a_server_of_another_name_is_not_spoken_to(folder: CertificateFolder, address: str) -> None:
    error = await _refusal(Caller(address, folder.path / "edge", server="sender"), EDGE_TOKEN)
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_probe_shows_a_certificate(folder: CertificateFolder, address: str) -> None:
    assert await asyncio.to_thread(serves, address, "policycore", str(folder.path / "policycore"))
    assert not await asyncio.to_thread(serves, address, "policycore", "")
    assert not await asyncio.to_thread(serves, address, "sender", str(folder.path / "policycore"))


async def test_an_authority_is_changed_without_a_restart(
    folder: CertificateFolder, address: str, tmp_path: Path
) -> None:
    former = shutil.copytree(folder.path / "edge", tmp_path / "former-edge")
    async with Caller(address, folder.path / "edge") as settled:
        assert await settled.single(EDGE_TOKEN) == "edge"
        (old,) = folder.authority_ids()
        folder.add_authority()
        # Everybody trusts both; so each can get a certificate of the new one when it likes.
        for name in NAMES:
            folder.renew([name], days=30)
            for certificate in (former, folder.path / "edge"):
                async with Caller(address, certificate, trusts=folder.path / "edge") as caller:
                    assert await caller.single(EDGE_TOKEN) == "edge"
        folder.remove_authority(old)
        error = await _refusal(Caller(address, former, trusts=folder.path / "edge"), EDGE_TOKEN)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        async with Caller(address, folder.path / "edge") as after:
            assert await after.single(EDGE_TOKEN) == "edge"
        assert await settled.single(EDGE_TOKEN) == "edge", "a connection that stands is left alone"
