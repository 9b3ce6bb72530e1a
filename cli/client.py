"""Owns the command line's connection to the policy core; the only file that sees stubs."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cli.data_folder import DEMO_FILE, RUN_FILE, DataFolder, data_folder
from cli.errors import CliError, ExitCode
from cli.probe import open_channel
from hubgate.policy.v1 import admin_service_pb2_grpc, policy_service_pb2_grpc

DEFAULT_ADDRESS = "127.0.0.1:8071"
TIMEOUT_SECONDS = 15.0
_PAGE = 500

_EXIT_CODES = {
    grpc.StatusCode.UNAVAILABLE: ExitCode.UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: ExitCode.UNREACHABLE,
    grpc.StatusCode.INVALID_ARGUMENT: ExitCode.USAGE,
    grpc.StatusCode.NOT_FOUND: ExitCode.REFUSED,
    grpc.StatusCode.ALREADY_EXISTS: ExitCode.REFUSED,
    grpc.StatusCode.FAILED_PRECONDITION: ExitCode.REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: ExitCode.REFUSED,
    grpc.StatusCode.UNAUTHENTICATED: ExitCode.REFUSED,
}


class Core:
    """The policy core at one address, under one token; with a certificate if `tls_folder` names where it is.

    Errors of the constructor: `CliError`.
    """

    def __init__(self, address: str, token: str, tls_folder: str = "") -> None:
        self.address = address
        try:
            self._channel = open_channel(address, "policycore", tls_folder)
        except OSError as error:
            raise CliError(
                ExitCode.USAGE, f"HUBGATE_TLS_FOLDER: {error.filename} cannot be read: {error.strerror}."
            ) from error
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._stubs: tuple[Any, ...] = (
            admin_service_pb2_grpc.AdminServiceStub(self._channel),
            policy_service_pb2_grpc.PolicyServiceStub(self._channel),
        )

    def call(self, rpc: str, request: Message, timeout: float = TIMEOUT_SECONDS) -> Any:
        """The answer to an RPC of either service. Errors: `CliError`."""
        try:
            return self._method(rpc)(request, metadata=self._metadata, timeout=timeout)
        except grpc.RpcError as error:
            raise failure(error, self.address) from None

    def answers(self, timeout: float) -> bool:
        """Whether the policy core takes calls within `timeout` seconds."""
        try:
            grpc.channel_ready_future(self._channel).result(timeout=timeout)
        except grpc.FutureTimeoutError:
            return False
        return True

    def begin(self, rpc: str, request: Message) -> Any:
        """The same without waiting; `.result()` raises grpc.RpcError."""
        return self._method(rpc).future(request, metadata=self._metadata, timeout=TIMEOUT_SECONDS)

    def rows(self, rpc: str, request: Any, field: str, limit: int) -> list[Any]:
        """The first `limit` rows of a list, page by page. Errors: `CliError`."""
        return list(self._rows(rpc, request, field, limit))

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def _rows(self, rpc: str, request: Any, field: str, limit: int) -> Iterator[Any]:
        left = limit
        while left > 0:
            request.page_size = min(left, _PAGE)
            page = self.call(rpc, request)
            rows = getattr(page, field)
            yield from rows
            left -= len(rows)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _method(self, rpc: str) -> Any:
        return next(getattr(stub, rpc) for stub in self._stubs if hasattr(stub, rpc))


def connect(environ: Mapping[str, str] | None = None) -> Core:
    """The policy core that the environment or the data folder names. Errors: `CliError` without a token."""
    environ = os.environ if environ is None else environ
    folder = data_folder(environ)
    token = environ.get("HUBGATE_TOKEN", "").strip() or folder.admin_token()
    if token is None:
        raise CliError(
            ExitCode.USAGE,
            f"There is no token: set HUBGATE_TOKEN, or HUBGATE_DATA to a data folder with an admin.token"
            f" that you may read (looked in {folder.path}).",
        )
    return Core(core_address(environ, folder), token, environ.get("HUBGATE_TLS_FOLDER", "").strip())


def core_address(environ: Mapping[str, str], folder: DataFolder) -> str:
    """Where the policy core is reached: by the environment, by what runs in the data folder, by default."""
    named = environ.get("HUBGATE_POLICYCORE_ADDRESS", "").strip()
    if named:
        return named
    for name in (RUN_FILE, DEMO_FILE):
        found = (folder.read_json(name) or {}).get("policycore_address")
        if isinstance(found, str) and found:
            return found
    return DEFAULT_ADDRESS


def failure(error: Any, address: str) -> CliError:
    """A failed call as one sentence with an exit code."""
    code: grpc.StatusCode = error.code()
    details = error.details() or ""
    exit_code = _EXIT_CODES.get(code, ExitCode.PROBLEM)
    if exit_code is ExitCode.UNREACHABLE and not _reason(error):
        return CliError(
            exit_code,
            f"The policy core at {address} cannot be reached. Is it running? (`hubgate up`, or"
            " HUBGATE_POLICYCORE_ADDRESS names another one)",
        )
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return CliError(exit_code, f"The policy core at {address} does not know this token (HUBGATE_TOKEN).")
    return CliError(exit_code, details or f"The policy core answered {code.name}.")


def _reason(error: Any) -> str:
    """The reason in google.rpc.ErrorInfo; empty if the policy core did not answer itself."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    if status is None or not any(detail.Unpack(info) for detail in status.details):
        return ""
    return str(info.reason)
