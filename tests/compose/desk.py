"""A support desk behind the proxy: what 3CX posts, what the customer writes, and traffic while something breaks."""

import ssl
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any

import httpx

from compose.stack import Stack, docker

EXAMPLE = b"""{
  "event_type": "outbound_message",
  "to": "+966500000000",
  "message_text": "Your support ticket has been updated.",
  "message_purpose": "support",
  "conversation_id": "3cx-chat-123",
  "agent_extension": "101"
}"""
PHONE = "+966500000000"


class Desk:
    """An account with a sandbox number and an integration, reached over HTTPS."""

    def __init__(self, stack: Stack, base_url: str, admin_token: str) -> None:
        self._base_url = base_url
        self._admin = {"Authorization": f"Bearer {admin_token}"}
        self._stack = stack
        self.trust_the_proxy()
        # Limits that the traffic of a check does not come near.
        limits = ("--plan", "custom", "--daily-limit", "1000000", "--monthly-limit", "1000000")
        account = stack.hubgate("account", "create", "Check", "--time-zone", "Asia/Riyadh", *limits)
        self.account = account["account_id"]
        pace = ("--pair-messages-per-minute", "6000", "--pair-burst", "1000")
        stack.hubgate("rules", "set", "--account", self.account, *pace)
        sandbox = ("--backend", "sandbox", "--messages-per-second", "1000", "--burst", "1000")
        instance = stack.hubgate("instance", "create", "Phone", "--account", self.account, *sandbox)
        self.instance = instance["instance_id"]
        self.integration, self.secret = self.integrate("Office")

    def trust_the_proxy(self) -> None:
        """Trusts what the proxy trusts: its certificate is one of the stack's own authorities."""
        authorities = docker("exec", self._stack.container("proxy"), "cat", "/run/hubgate/tls/ca.crt")
        context = ssl.create_default_context(cadata=authorities)
        self._client = httpx.Client(base_url=self._base_url, verify=context, trust_env=False, timeout=30)

    def integrate(self, name: str, *options: str) -> tuple[str, str]:
        """A further integration; its id and secret."""
        made = self._stack.hubgate(
            *("integration", "create", name, "--account", self.account, "--instance", self.instance),
            *("--requests-per-minute", "100000", *options),
        )
        return made["integration"]["integration_id"], made["secret"]

    def reply(self, integration: str = "", secret: str = "", **headers: str) -> httpx.Response:
        """The public example, as 3CX posts it."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["X-WhatsApp-Gateway-3CX-Secret"] = secret or self.secret
        sent["Content-Type"] = "application/json"
        url = f"/integrations/3cx/webhook/{integration or self.integration}"
        return self._client.post(url, content=EXAMPLE, headers=sent)

    def customer_writes(self) -> httpx.Response:
        """The person writes."""
        body = {"from": PHONE, "text": "Where is my order?"}
        return self._client.post(f"/sandbox/{self.instance}/messages", json=body, headers=self._admin)

    def phone_shows(self) -> list[Any]:
        """The messages of the conversation."""
        answer = self._client.get(
            f"/sandbox/{self.instance}/messages", params={"person": PHONE}, headers=self._admin
        )
        answer.raise_for_status()
        found: list[Any] = answer.json()["messages"]
        return found


class Traffic:
    """Replies posted by several callers as long as the `with` lasts; `outcomes` counts what came of them."""

    def __init__(self, desk: Desk, callers: int = 3) -> None:
        self.outcomes: Counter[str] = Counter()
        self._desk = desk
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._post) for _ in range(callers)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        time.sleep(1)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        time.sleep(1)
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _post(self) -> None:
        while not self._stop.is_set():
            try:
                answer = self._desk.reply()
                word = str(answer.json().get("status") or answer.json().get("error"))
                self.outcomes[f"{answer.status_code} {word}"] += 1
            except httpx.TransportError as error:
                self.outcomes[type(error).__name__] += 1
            time.sleep(0.05)
