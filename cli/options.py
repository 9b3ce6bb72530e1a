"""Owns the options that several commands share."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most this many rows.")]
AccountOption = Annotated[str, typer.Option("--account", help="Account id (acc_…).")]
PersonOption = Annotated[str, typer.Option("--person", help="Phone number in international form.")]
