"""Owns API keys of customer systems and tokens of internal services: shown once, kept as digests."""

from collections.abc import Sequence

from policycore.errors import Malformed, NotFound
from policycore.ids import RandomBytes, new_id
from policycore.registry.credentials import new_api_key, new_service_token
from policycore.registry.fields import check_name
from policycore.registry.lookups import find_account, find_owned, within
from policycore.registry.pages import Filter, Page, PageRequest
from policycore.registry.ports import RegistryRows, RegistryStore
from policycore.registry.rights import EVERY_ACCOUNT, Identity, check_rights
from policycore.registry.rows import ApiKeyRow, ServiceTokenRow


class ApiKeys:
    """Keys of customer systems."""

    def __init__(self, store: RegistryStore, random_bytes: RandomBytes) -> None:
        self._store = store
        self._random_bytes = random_bytes

    async def create(
        self, caller: Identity, account_id: str, name: str, *, test: bool
    ) -> tuple[ApiKeyRow, str]:
        """Makes a key; returns its row and its text. Errors: `NotPermittedError`, `NotFound`, `Malformed`."""
        key = new_api_key(self._random_bytes, test=test)
        async with self._store.changing() as rows:
            await find_account(rows, account_id, caller)
            row = ApiKeyRow(
                id=new_id("key_", self._random_bytes),
                account_id=account_id,
                prefix=key.prefix,
                name=check_name("name", name),
                key_digest=key.digest,
                test=test,
                created_at=rows.now,
            )
            await rows.api_keys.add(row)
            detail = {"name": row.name, "prefix": row.prefix, "test": test}
            await rows.write_audit(caller.name, "CreateApiKey", row.id, account_id, detail)
            await rows.raise_version()
        return row, key.text

    async def revoke(self, caller: Identity, api_key_id: str) -> ApiKeyRow:
        """Revokes a key; one that was revoked stays as it is. Errors: `NotFound`."""
        async with self._store.changing() as rows:
            row = await find_owned(rows.api_keys, api_key_id, caller, "API key")
            if row.revoked_at is not None:
                return row
            await rows.api_keys.change(row.id, {"revoked_at": rows.now})
            await rows.write_audit(
                caller.name, "RevokeApiKey", row.id, row.account_id, {"prefix": row.prefix}
            )
            await rows.raise_version()
            return await find_owned(rows.api_keys, api_key_id, caller, "API key")

    async def page(self, caller: Identity, account_id: str, request: PageRequest) -> Page[ApiKeyRow]:
        """Keys, oldest first. Errors: `NotPermittedError`."""
        async with self._store.reading() as rows:
            return await rows.api_keys.page(request, within(caller, account_id))


class ServiceTokens:
    """Tokens of internal services. Only who may act for the whole platform makes them, or they would breed
    rights.
    """

    def __init__(self, store: RegistryStore, random_bytes: RandomBytes) -> None:
        self._store = store
        self._random_bytes = random_bytes

    async def create(
        self, caller: Identity, name: str, rights: Sequence[str], account_ids: Sequence[str]
    ) -> tuple[ServiceTokenRow, str]:
        """Makes a token; returns its row and its text.

        Errors: `NotPermittedError`, `Malformed`, `NotFound`, `AlreadyExistsError`.
        """
        caller.require_platform()
        if not rights:
            raise Malformed("rights", "must name at least one RPC or group.")
        check_rights(rights)
        token = new_service_token(self._random_bytes)
        async with self._store.changing() as rows:
            row = ServiceTokenRow(
                id=new_id("tok_", self._random_bytes),
                name=_token_name(name),
                token_digest=token.digest,
                rights=tuple(sorted(set(rights))),
                account_ids=await _accounts(rows, caller, account_ids),
                created_at=rows.now,
            )
            await rows.service_tokens.add(row)
            detail = {"name": row.name, "rights": list(row.rights), "account_ids": list(row.account_ids)}
            await rows.write_audit(caller.name, "CreateServiceToken", row.id, None, detail)
            await rows.raise_version()
        return row, token.text

    async def revoke(self, caller: Identity, token_ref: str) -> ServiceTokenRow:
        """Revokes a token by id or name. Errors: `NotPermittedError`, `NotFound`."""
        caller.require_platform()
        async with self._store.changing() as rows:
            row = await _find_token(rows, token_ref)
            if row.revoked_at is not None:
                return row
            await rows.service_tokens.change(row.id, {"revoked_at": rows.now})
            await rows.write_audit(caller.name, "RevokeServiceToken", row.id, None, {"name": row.name})
            await rows.raise_version()
            return await _find_token(rows, row.id)

    async def page(self, caller: Identity, request: PageRequest) -> Page[ServiceTokenRow]:
        """Tokens, oldest first. Errors: `NotPermittedError`."""
        caller.require_platform()
        async with self._store.reading() as rows:
            return await rows.service_tokens.page(request, Filter())


def _token_name(text: str) -> str:
    name = check_name("name", text)
    if name in {"edge", "admin"} or name.startswith("tok_"):
        raise Malformed("name", f"{name!r} is reserved.")
    return name


async def _accounts(rows: RegistryRows, caller: Identity, account_ids: Sequence[str]) -> tuple[str, ...]:
    if not account_ids:
        raise Malformed("account_ids", f"must name at least one account, or {EVERY_ACCOUNT} for all.")
    if EVERY_ACCOUNT in account_ids:
        return (EVERY_ACCOUNT,)
    for account_id in account_ids:
        await find_account(rows, account_id, caller)
    return tuple(sorted(set(account_ids)))


async def _find_token(rows: RegistryRows, token_ref: str) -> ServiceTokenRow:
    row = await rows.service_tokens.find(token_ref)
    if row is None:
        named = await rows.service_tokens.page(PageRequest(1), Filter(equal={"name": token_ref}))
        row = named.rows[0] if named.rows else None
    if row is None:
        raise NotFound(f"There is no service token {token_ref[:64]!r}.")
    return row
