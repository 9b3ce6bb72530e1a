"""The private port's one page: `GET /metrics`."""

from edge import answers, public_codes
from edge.answers import HttpAnswer
from edge.gate import Gate
from edge.http import Receive, Scope, Send, send_answer
from edge.metrics import EdgeMetrics


class MetricsApp:
    """An ASGI application of its own, so that metrics are never reachable on the public port."""

    def __init__(self, metrics: EdgeMetrics, gate: Gate) -> None:
        self._metrics = metrics
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a scrape; everything else is not found."""
        if scope["type"] != "http":
            return
        if scope["path"].rstrip("/") != "/metrics" or scope["method"] != "GET":
            await send_answer(send, answers.error(public_codes.NOT_FOUND))
            return
        age = self._gate.credentials.age_seconds(self._gate.monotonic())
        body, content_type = self._metrics.render(age, self._gate.credentials.version)
        await send_answer(send, HttpAnswer(200, body, "ok", content_type=content_type))
