"""Owns what rotating a signing secret looks like, for integrations and customers' systems alike."""

from typing import Annotated

import typer

from cli.client import connect
from cli.output import print_json, say, words
from cli.values import read_span, span_to_wire
from hubgate.policy.v1 import integrations_pb2 as pb

After = Annotated[
    str, typer.Option("--after", help="When the new secret begins to sign, 0s to 14d from now.")
]


def rotate(request: pb.RotateSigningSecretRequest, after: str, *, json: bool) -> None:
    """Makes a new secret for the destination in the request, and shows it. Errors: `CliError`."""
    request.begins_after.CopyFrom(span_to_wire(read_span("--after", after)))
    made = connect().call("RotateSigningSecret", request)
    if json:
        print_json(made)
        return
    say(f"signing secret, shown this once: {made.signing_secret}")
    say(f"it signs from {words(made.signs_from)}; let the receiver accept both until then")
