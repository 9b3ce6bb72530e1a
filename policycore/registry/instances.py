"""Owns WhatsApp instances: making, changing, listing and probing them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from policycore.errors import Malformed
from policycore.ids import RandomBytes, new_id
from policycore.ports import SenderProbe
from policycore.registry.fields import check_name, check_phone, check_text, check_url
from policycore.registry.instance_secrets import InstanceSecrets, pack, rotated, unpack
from policycore.registry.integration_parts import LONGEST_OVERLAP
from policycore.registry.lookups import find_account, find_owned, within
from policycore.registry.pages import Page, PageRequest
from policycore.registry.ports import RegistryStore
from policycore.registry.rights import Identity
from policycore.registry.rows import InstanceRow
from policycore.registry.sealing import INSTANCE_SECRETS, Sealing
from policycore.registry.snapshot import InstanceConfig

BACKENDS = ("evolution", "cloud_api", "waha", "sandbox")
STATES = ("open", "connecting", "close")
SECRET_FIELDS = ("api_token", "webhook_secret", "verify_token")
_MAX_SECRET_CHARACTERS = 4096
_MOST_PER_SECOND = 1000.0


class Instances:
    """The connected WhatsApp numbers. `values` are columns of `InstanceRow` and the secrets, by name."""

    def __init__(
        self, store: RegistryStore, sealing: Sealing, probe: SenderProbe, random_bytes: RandomBytes
    ) -> None:
        self._store = store
        self._sealing = sealing
        self._probe = probe
        self._random_bytes = random_bytes

    async def create(self, caller: Identity, account_id: str, values: Mapping[str, Any]) -> InstanceRow:
        """Makes an instance. The sandbox is open at once; others are `connecting` until their back end says
        more.

        Errors: `NotPermittedError`, `NotFound`, `Malformed`, `AlreadyExistsError`.
        """
        columns, secrets = _split(values, InstanceSecrets())
        async with self._store.changing() as rows:
            await find_account(rows, account_id, caller)
            instance_id = new_id("ins_", self._random_bytes)
            row = InstanceRow(
                id=instance_id,
                account_id=account_id,
                secrets_sealed=self._seal(instance_id, secrets),
                state="open" if columns["backend"] == "sandbox" else "connecting",
                state_reason="",
                state_changed_at=rows.now,
                replies_only_until=None,
                created_at=rows.now,
                **columns,
            )
            row = _checked(row, secrets)
            await rows.instances.add(row)
            await rows.write_audit(caller.name, "CreateInstance", row.id, account_id, _shown(values))
            await rows.raise_version()
        return row

    async def update(
        self,
        caller: Identity,
        instance_id: str,
        values: Mapping[str, Any],
        overlap: timedelta = timedelta(0),
    ) -> InstanceRow:
        """Changes an instance; its back end stays what it is. Secrets that are replaced count for the `overlap`.

        Errors: `NotFound`, `Malformed`, `AlreadyExistsError`.
        """
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise Malformed("secret_overlap", "must lie between 0 and 14 days.")
        async with self._store.changing() as rows:
            before = await find_owned(rows.instances, instance_id, caller, "instance")
            if values.get("backend", before.backend) != before.backend:
                raise Malformed("instance.backend", "cannot be changed; make another instance.")
            held = self._open(before)
            columns, secrets = _split(values, held)
            changes: dict[str, object] = dict(columns)
            row = _checked(replace(before, **columns), secrets)
            changes = {name: getattr(row, name) for name in columns}
            if set(values) & set(SECRET_FIELDS):
                until = rows.now + overlap if overlap else None
                changes["secrets_sealed"] = self._seal(row.id, rotated(held, secrets, until))
            await rows.instances.change(row.id, changes)
            await rows.write_audit(caller.name, "UpdateInstance", row.id, row.account_id, _shown(values))
            await rows.raise_version()
        return row

    async def page(
        self, caller: Identity, account_id: str, instance_id: str, request: PageRequest
    ) -> Page[InstanceRow]:
        """Instances, oldest first. Errors: `NotPermittedError`."""
        async with self._store.reading() as rows:
            return await rows.instances.page(request, within(caller, account_id, id=instance_id))

    async def probe(self, caller: Identity, instance_id: str) -> tuple[InstanceRow, str]:
        """Asks the back end now. Returns the row as it stands then, and why it could not be asked, if so.

        A state that could not be read stays as it was. Errors: `NotFound`.
        """
        async with self._store.reading() as rows:
            row = await find_owned(rows.instances, instance_id, caller, "instance")
        state, reason, problem = await self._probe.probe(self._config(row))
        if state not in STATES:
            return row, problem or "The back end answered with a state the gateway does not know."
        async with self._store.changing() as rows:
            row = await find_owned(rows.instances, instance_id, caller, "instance")
            if (row.state, row.state_reason) == (state, reason):
                return row, problem
            changes: dict[str, object] = {"state": state, "state_reason": reason[:64]}
            if row.state != state:
                changes["state_changed_at"] = rows.now
            await rows.instances.change(row.id, changes)
            await rows.write_audit(caller.name, "ProbeInstance", row.id, row.account_id, {"state": state})
            await rows.raise_version()
            return await find_owned(rows.instances, instance_id, caller, "instance"), problem

    def _seal(self, instance_id: str, secrets: InstanceSecrets) -> bytes:
        return self._sealing.seal(pack(secrets), INSTANCE_SECRETS, instance_id)

    def _open(self, row: InstanceRow) -> InstanceSecrets:
        if row.secrets_sealed is None:
            return InstanceSecrets()
        return unpack(self._sealing.unseal(row.secrets_sealed, INSTANCE_SECRETS, row.id))

    def _config(self, row: InstanceRow) -> InstanceConfig:
        secrets = self._open(row)
        return InstanceConfig(
            instance_id=row.id,
            account_id=row.account_id,
            name=row.name,
            backend=row.backend,
            base_url=row.base_url,
            external_name=row.external_name,
            api_token=secrets.api_token,
            webhook_secret=secrets.webhook_secret,
            verify_token=secrets.verify_token,
            phone=row.phone,
            state=row.state,
            state_changed_at=row.state_changed_at,
            replies_only_until=row.replies_only_until,
            messages_per_second=row.messages_per_second or 0.0,
            burst=row.burst or 0,
        )


def _split(values: Mapping[str, Any], secrets: InstanceSecrets) -> tuple[dict[str, Any], InstanceSecrets]:
    given = {name: values[name] for name in SECRET_FIELDS if name in values}
    for name, secret in given.items():
        if len(secret) > _MAX_SECRET_CHARACTERS:
            raise Malformed(f"instance.{name}", f"may have at most {_MAX_SECRET_CHARACTERS} characters.")
    columns = {name: value for name, value in values.items() if name not in SECRET_FIELDS}
    return columns, replace(secrets, **given)


def _shown(values: Mapping[str, Any]) -> dict[str, object]:
    """What the audit log may say about a change: secrets by name only."""
    return {name: "changed" if name in SECRET_FIELDS else value for name, value in values.items()}


def _checked(row: InstanceRow, secrets: InstanceSecrets) -> InstanceRow:
    if row.backend not in BACKENDS:
        raise Malformed(
            "instance.backend", f"must be one of {', '.join(BACKENDS)}, and is {row.backend[:32]!r}."
        )
    name = check_name("instance.name", row.name)
    if name.startswith("ins_"):
        raise Malformed("instance.name", "must not begin with ins_, which is how ids begin.")
    base_url = row.base_url.strip()
    if base_url:
        # A back end may well run on the same machine or network; the sender judges its address again.
        base_url = check_url("instance.base_url", base_url, plain_http=True)
    elif row.backend in {"evolution", "waha"}:
        raise Malformed("instance.base_url", f"is required for {row.backend}.")
    external_name = check_text("instance.external_name", row.external_name.strip(), 200)
    if not external_name and row.backend != "sandbox":
        raise Malformed("instance.external_name", f"is required for {row.backend}.")
    if row.backend == "cloud_api" and not (external_name.isascii() and external_name.isdigit()):
        raise Malformed("instance.external_name", "must be the phone number id, which is digits only.")
    if row.backend in {"evolution", "cloud_api"} and not secrets.api_token:
        raise Malformed("instance.api_token", f"is required for {row.backend}.")
    rate = row.messages_per_second
    if rate is not None and not 0 <= rate <= _MOST_PER_SECOND:
        raise Malformed("instance.messages_per_second", f"must lie between 0 and {_MOST_PER_SECOND:g}.")
    if row.burst is not None and not 1 <= row.burst <= 100_000:
        raise Malformed("instance.burst", "must lie between 1 and 100000.")
    phone = check_phone("instance.phone", row.phone)
    return replace(row, name=name, base_url=base_url, external_name=external_name, phone=phone)
