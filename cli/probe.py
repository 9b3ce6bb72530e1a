"""Owns the question whether a gRPC service of ours serves, for the probes of containers.

Run as `python -m cli.probe NAME HOST:PORT`; NAME is the service's, as in its certificate. Exit code 0 if it serves.
It loads as little as it can: a probe runs every few seconds.
"""

import os
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_SECONDS = 3.0


def open_channel(address: str, name: str, tls_folder: str) -> grpc.Channel:
    """A channel to the service `name`, with the certificate in `tls_folder` or, if that is empty, without one.

    Errors: OSError if a file cannot be read.
    """
    # An internal address is never behind the proxy that the environment may name; and whoever waits for a policy
    # core that is just starting should not wait for gRPC's own patience on top.
    options = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    if not tls_folder:
        return grpc.insecure_channel(address, options)
    authorities, key, chain = (
        Path(tls_folder, file).read_bytes() for file in ("ca.crt", "tls.key", "tls.crt")
    )
    credentials = grpc.ssl_channel_credentials(authorities, key, chain)
    return grpc.secure_channel(address, credentials, [*options, ("grpc.ssl_target_name_override", name)])


def serves(address: str, name: str, tls_folder: str) -> bool:
    """Whether the standard health service says SERVING within 3 s. Errors: OSError."""
    with open_channel(address, name, tls_folder) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    sys.exit(0 if serves(sys.argv[2], sys.argv[1], os.environ.get("HUBGATE_TLS_FOLDER", "")) else 1)
