"""`make compose-check`: brings the compose stack up for real, puts the public example through it, kills and stops
everything once, and takes it down again. Needs a Docker engine and, for kills that look at processes, nothing else.

The stack is a project of its own (`hubgate-check`), with secrets and volumes of its own; ports 18443 and 18080.
"""

import json
import os
import sys
import time
from argparse import ArgumentParser
from typing import Any

import httpx

from cli.installation import make_secrets
from compose.desk import Desk, Traffic
from compose.stack import LONG_RUNNING, ONCE, SERVICES, Stack, docker

HTTPS_PORT, HTTP_PORT = 18_443, 18_080


def main() -> int:
    """Runs everything; 0 if every promise held. `--keep` leaves the stack running, `--only kills` and the like
    leaves out the other parts that take long.
    """
    arguments = ArgumentParser(prog="make compose-check")
    arguments.add_argument("--keep", action="store_true", help="leave the stack running")
    arguments.add_argument("--only", choices=("kills", "stops", "certificates"))
    chosen = arguments.parse_args()
    secrets = dict(make_secrets(os.urandom))
    ports = {"HUBGATE_HTTPS_PORT": str(HTTPS_PORT), "HUBGATE_HTTP_PORT": str(HTTP_PORT)}
    settings = {"HUBGATE_SANDBOX": "admin", "HUBGATE_ACME_THUMBPRINT": "thumb-print"}
    stack = Stack("hubgate-check", {**secrets, **ports, **settings})
    try:
        began = time.monotonic()
        stack.compose("build", "--quiet", timeout=1200)
        stack.compose("up", "--detach", timeout=600)
        stack.wait_healthy()
        _say(f"everything is healthy after {time.monotonic() - began:.0f} s")
        _check(stack, secrets, chosen.only)
    except SystemExit:
        sys.stderr.write(stack.compose("logs", "--no-color", "--tail=60"))
        raise
    finally:
        if not chosen.keep:
            stack.compose("down", "--volumes", "--timeout", "5")
    _say("every promise held")
    return 0


def _check(stack: Stack, secrets: dict[str, str], only: str | None) -> None:
    _containers_may_little(stack)
    desk = Desk(stack, f"https://localhost:{HTTPS_PORT}", secrets["HUBGATE_ADMIN_TOKEN"])
    _public_example(desk)
    _addresses_are_seen(stack, desk)
    _plain_http()
    for service in LONG_RUNNING if only in {None, "kills"} else ():
        _survives_a_kill(stack, desk, service)
    for service in SERVICES if only in {None, "stops"} else ():
        _drains(stack, desk, service)
    if only in {None, "certificates"}:
        _certificates_are_renewed(stack, desk)
    _expect(stack.stop("proxy") == 0, "the proxy ends with exit code 0 on SIGTERM")


def _public_example(desk: Desk) -> None:
    refused = _until(desk.reply, lambda answer: answer.status_code != 401)
    _expect(
        refused.status_code == 409 and refused.json()["error"] == "conversation_window_closed",
        f"nobody is written to who has not written: {refused.status_code} {refused.json().get('error')}",
    )
    _expect(desk.customer_writes().status_code < 300, "the customer writes")
    answer = desk.reply()
    _expect(
        (answer.status_code, answer.json().get("status")) == (200, "sent"),
        f"the same request is sent now: {answer.status_code} {answer.json().get('status')}",
    )
    _expect(len(desk.phone_shows()) == 2, "the phone shows both messages")


def _addresses_are_seen(stack: Stack, desk: Desk) -> None:
    """Address lists judge where the connection to the proxy came from, whatever the caller says about itself."""
    elsewhere, secret = desk.integrate("Elsewhere", "--allow", "203.0.113.9")
    time.sleep(1.5)
    forged = desk.reply(elsewhere, secret, X_Forwarded_For="203.0.113.9")
    _expect(forged.status_code == 401, f"a forged X-Forwarded-For counts for nothing: {forged.status_code}")
    outside = next(
        name for name in stack.inspect("proxy")["NetworkSettings"]["Networks"] if "outside" in name
    )
    gateway = stack.inspect("proxy")["NetworkSettings"]["Networks"][outside]["Gateway"]
    here, secret = desk.integrate("Here", "--allow", gateway, "--allow", "127.0.0.1")
    allowed = _until(lambda: desk.reply(here, secret), lambda answer: answer.status_code != 401)
    _expect(allowed.status_code == 200, f"the real address is allowed: {allowed.status_code}")


def _plain_http() -> None:
    with httpx.Client(base_url=f"http://localhost:{HTTP_PORT}", trust_env=False) as client:
        challenge = client.get("/.well-known/acme-challenge/some-token")
        _expect(
            challenge.text == "some-token.thumb-print", f"an ACME challenge is answered: {challenge.text}"
        )
        _expect(client.get("/").status_code == 308, "pages are redirected to https")
        _expect(client.post("/api/send-message").status_code == 403, "a secret over plain http is refused")


def _survives_a_kill(stack: Stack, desk: Desk, service: str) -> None:
    stack.kill(service)
    if service in SERVICES or service == "redis":
        answer = _until(desk.reply, lambda found: found.status_code == 200)
        _expect(answer.status_code == 200, f"without {service} a reply passes")
    elif service == "postgres":
        answer = desk.reply()
        _expect(answer.status_code == 503, f"without {service} nothing is accepted: {answer.status_code}")
        _expect("retry-after" in answer.headers, "and the caller is told when to try again")
    stack.start(service)
    stack.wait_healthy()
    answer = _until(desk.reply, lambda found: found.status_code == 200)
    _expect(answer.status_code == 200, f"kill -9 of {service}: up again, and a reply passes")


def _drains(stack: Stack, desk: Desk, service: str) -> None:
    with Traffic(desk) as traffic:
        code = stack.stop(service)
    sent = traffic.outcomes["200 sent"]
    _expect(
        code == 0 and sent > 0 and sent == traffic.outcomes.total(),
        f"SIGTERM to {service}: exit code {code}, {dict(traffic.outcomes)} meanwhile",
    )
    stack.start(service)
    stack.wait_healthy()


def _certificates_are_renewed(stack: Stack, desk: Desk) -> None:
    """A new authority and new certificates for everybody, without a restart and without a lost reply."""
    with Traffic(desk) as traffic:
        before = _listed(stack)
        for command in (["add-authority"], ["renew"]):
            stack.compose("run", "--rm", "-T", "certificates", "hubgate", "certificates", *command)
            time.sleep(7)
            desk.trust_the_proxy()
        removed = before["authorities"][0]
        command = ["hubgate", "certificates", "remove-authority", removed]
        stack.compose("run", "--rm", "-T", "certificates", *command)
        time.sleep(7)
    lost = sum(count for word, count in traffic.outcomes.items() if not word.startswith("200"))
    _expect(lost == 0, f"certificates changed while everything ran: {dict(traffic.outcomes)}")
    after = _listed(stack)
    _expect(removed not in after["authorities"], "the old authority is gone")
    stack.kill("policycore-1")
    stack.start("policycore-1")
    stack.wait_healthy()
    doctor = stack.hubgate("doctor")
    senders = [check for check in doctor["checks"] if check["name"].startswith("sender")]
    _expect(len(senders) == 2 and all(check["healthy"] for check in senders), "new connections use them")


def _listed(stack: Stack) -> Any:
    command = ["hubgate", "certificates", "list", "--json"]
    return json.loads(stack.compose("run", "--rm", "-T", "certificates", *command))


def _containers_may_little(stack: Stack) -> None:
    """What Docker was told is what holds: asked of the running containers."""
    for service in ("proxy", *SERVICES):
        found = stack.inspect(service)
        host = found["HostConfig"]
        user = docker("exec", stack.container(service), "id", "-u").strip()
        _expect(
            user == "10001"
            and host["ReadonlyRootfs"]
            and host["CapDrop"] == ["ALL"]
            and not host["CapAdd"]
            and host["Memory"] > 0
            and host["NanoCpus"] > 0
            and host["PidsLimit"] > 0
            and "no-new-privileges:true" in host["SecurityOpt"],
            f"{service}: user {user}, read-only, no capabilities, {host['Memory'] >> 20} MiB",
        )
    for service in ONCE:
        _expect(stack.inspect(service)["State"]["ExitCode"] == 0, f"{service} did its work and ended")


def _until(call: Any, done: Any, seconds: float = 40) -> httpx.Response:
    """The first answer that is `done`, or the last one when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer: httpx.Response = call()
            if done(answer) or time.monotonic() > deadline:
                return answer
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def _expect(held: bool, sentence: str) -> None:
    _say(("ok      " if held else "FAILED  ") + sentence)
    if not held:
        raise SystemExit(1)


def _say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
