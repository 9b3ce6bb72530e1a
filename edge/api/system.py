"""For operators: `/healthz`, `/readyz`, and the smoke test at `/`."""

import math
from typing import Any

from edge import answers
from edge.answers import HttpAnswer
from edge.credential_feed import CredentialFeed
from edge.gate import Gate
from edge.http import HttpRequest


class SystemState:
    """Tells whether the process runs and whether it can serve. `leaving` is set when it is about to stop."""

    def __init__(self, gate: Gate, feed: CredentialFeed, environment: str) -> None:
        self._gate = gate
        self._feed = feed
        self._environment = environment
        self.leaving = False

    async def hello(self, request: HttpRequest) -> HttpAnswer:
        """A smoke test of reachability and TLS."""
        scheme = request.headers.get("x-forwarded-proto", "http")
        return answers.ok(
            {
                "success": True,
                "service": "hubgate",
                "message": "The gateway is reachable. It is not affiliated with WhatsApp, Meta or 3CX.",
                "tls": scheme == "https",
                "openapi": "/openapi.json",
                "postman": "/postman.json",
            }
        )

    async def healthy(self, request: HttpRequest) -> HttpAnswer:
        """The process runs."""
        return answers.ok({"status": "ok"})

    async def ready(self, request: HttpRequest) -> HttpAnswer:
        """200 if callers are served, else 503 with the reasons."""
        age = self._gate.credentials.age_seconds(self._gate.monotonic())
        reasons: list[str] = []
        if math.isinf(age):
            reasons.append("No credentials have come from the policy core yet.")
        elif not self._gate.credentials_fresh():
            reasons.append(f"The policy core was last heard {age:.0f} seconds ago.")
        if not self._feed.connected:
            reasons.append("The policy core is out of reach.")
        if self.leaving:
            reasons.append("This process is about to stop.")
        body: dict[str, Any] = {
            "status": "unready" if reasons else "ready",
            "environment": self._environment,
            "reasons": reasons,
        }
        if reasons:
            return answers.ok(body, status=503, code="unready")
        return answers.ok(body)
