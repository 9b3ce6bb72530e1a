"""Owns the account half of the AdminService: accounts, API keys, service tokens; wire <-> registry."""

from typing import Any

from hubgate.policy.v1 import accounts_pb2 as pb
from policycore.registry.registry import Registry
from policycore.registry.rows import AccountRow, ApiKeyRow, ServiceTokenRow
from policycore.rpc.admin_calls import (
    Readers,
    answered,
    optional,
    plain,
    read_all,
    read_named,
    read_page,
    set_moment,
)
from policycore.rpc.identity import current_identity

_FIELDS: Readers[pb.Account] = {
    **plain("name", "time_zone", "plan"),
    **optional("daily_limit", "monthly_limit"),
    **plain("threecx_module_enabled", "language"),
}


class AccountMethods:
    """Accounts, API keys and service tokens."""

    _registry: Registry

    @answered
    async def CreateAccount(self, request: pb.CreateAccountRequest, context: Any) -> pb.CreateAccountResponse:
        row = await self._registry.accounts.create(current_identity(), read_all(request.account, _FIELDS))
        return pb.CreateAccountResponse(account=account_to_wire(row))

    @answered
    async def UpdateAccount(self, request: pb.UpdateAccountRequest, context: Any) -> pb.UpdateAccountResponse:
        values = read_named(request.account, request.fields, _FIELDS)
        row = await self._registry.accounts.update(current_identity(), request.account.account_id, values)
        return pb.UpdateAccountResponse(account=account_to_wire(row))

    @answered
    async def ListAccounts(self, request: pb.ListAccountsRequest, context: Any) -> pb.ListAccountsResponse:
        page = await self._registry.accounts.page(current_identity(), read_page(request))
        accounts = [account_to_wire(row) for row in page.rows]
        return pb.ListAccountsResponse(accounts=accounts, next_page_token=page.next_token)

    @answered
    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Any) -> pb.CreateApiKeyResponse:
        row, key = await self._registry.api_keys.create(
            current_identity(), request.account_id, request.name, test=request.test
        )
        return pb.CreateApiKeyResponse(api_key=api_key_to_wire(row), key=key)

    @answered
    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Any) -> pb.RevokeApiKeyResponse:
        row = await self._registry.api_keys.revoke(current_identity(), request.api_key_id)
        return pb.RevokeApiKeyResponse(api_key=api_key_to_wire(row))

    @answered
    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Any) -> pb.ListApiKeysResponse:
        page = await self._registry.api_keys.page(current_identity(), request.account_id, read_page(request))
        keys = [api_key_to_wire(row) for row in page.rows]
        return pb.ListApiKeysResponse(api_keys=keys, next_page_token=page.next_token)

    @answered
    async def CreateServiceToken(
        self, request: pb.CreateServiceTokenRequest, context: Any
    ) -> pb.CreateServiceTokenResponse:
        row, token = await self._registry.service_tokens.create(
            current_identity(), request.name, request.rights, request.account_ids
        )
        return pb.CreateServiceTokenResponse(service_token=service_token_to_wire(row), token=token)

    @answered
    async def RevokeServiceToken(
        self, request: pb.RevokeServiceTokenRequest, context: Any
    ) -> pb.RevokeServiceTokenResponse:
        row = await self._registry.service_tokens.revoke(current_identity(), request.token_id)
        return pb.RevokeServiceTokenResponse(service_token=service_token_to_wire(row))

    @answered
    async def ListServiceTokens(
        self, request: pb.ListServiceTokensRequest, context: Any
    ) -> pb.ListServiceTokensResponse:
        page = await self._registry.service_tokens.page(current_identity(), read_page(request))
        tokens = [service_token_to_wire(row) for row in page.rows]
        return pb.ListServiceTokensResponse(service_tokens=tokens, next_page_token=page.next_token)


def account_to_wire(row: AccountRow) -> pb.Account:
    """An account."""
    wire = pb.Account(
        account_id=row.id,
        name=row.name,
        time_zone=row.time_zone,
        plan=row.plan,  # type: ignore[arg-type]
        threecx_module_enabled=row.threecx_module_enabled,
        language=row.language,
    )
    if row.daily_limit is not None:
        wire.daily_limit = row.daily_limit
    if row.monthly_limit is not None:
        wire.monthly_limit = row.monthly_limit
    set_moment(wire.created_at, row.created_at)
    return wire


def api_key_to_wire(row: ApiKeyRow) -> pb.ApiKey:
    """An API key, without its text."""
    wire = pb.ApiKey(
        api_key_id=row.id, account_id=row.account_id, prefix=row.prefix, name=row.name, test=row.test
    )
    set_moment(wire.created_at, row.created_at)
    set_moment(wire.revoked_at, row.revoked_at)
    set_moment(wire.last_used_at, row.last_used_at)
    return wire


def service_token_to_wire(row: ServiceTokenRow) -> pb.ServiceToken:
    """A service token, without its text."""
    wire = pb.ServiceToken(token_id=row.id, name=row.name, rights=row.rights, account_ids=row.account_ids)
    set_moment(wire.created_at, row.created_at)
    set_moment(wire.revoked_at, row.revoked_at)
    set_moment(wire.last_used_at, row.last_used_at)
    return wire
