"""Owns the registry as one thing: every use case behind AdminService, built from what they need."""

from collections.abc import Callable
from dataclasses import dataclass

from policycore.ids import RandomBytes
from policycore.pbx import PbxSenders
from policycore.ports import InstanceHolds, SenderGuards, SenderProbe
from policycore.registry.access import ApiKeys, ServiceTokens
from policycore.registry.accounts import Accounts
from policycore.registry.business_hours import BusinessHoursDesk
from policycore.registry.connections import ConnectionDesk
from policycore.registry.instances import Instances
from policycore.registry.integration_parts import IntegrationSecrets, Templates
from policycore.registry.integrations import Integrations
from policycore.registry.log import PolicyLog
from policycore.registry.log_rows import DeliveryReplays, LogReader
from policycore.registry.pauses import Pauses
from policycore.registry.ports import RegistryStore
from policycore.registry.rules import RulesRegistry
from policycore.registry.sealing import Sealing
from policycore.registry.signing_secrets import SigningSecrets
from policycore.registry.suppressions import Suppressions
from policycore.registry.system_state import SystemWatch
from policycore.registry.threecx_api import ThreecxApis
from policycore.registry.threecx_sms import ThreecxSms
from policycore.registry.unknowns import UnknownDesk
from policycore.registry.webhooks import CustomerWebhooks


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything an administrator may do."""

    accounts: Accounts
    api_keys: ApiKeys
    service_tokens: ServiceTokens
    instances: Instances
    integrations: Integrations
    secrets: IntegrationSecrets
    signing_secrets: SigningSecrets
    threecx_sms: ThreecxSms
    templates: Templates
    webhooks: CustomerWebhooks
    suppressions: Suppressions
    pauses: Pauses
    rules: RulesRegistry
    log: PolicyLog
    unknowns: UnknownDesk
    system: SystemWatch
    holds: InstanceHolds
    threecx_apis: ThreecxApis
    connections: ConnectionDesk
    business_hours: BusinessHoursDesk


def build_registry(
    *,
    store: RegistryStore,
    log_reader: LogReader,
    replays: DeliveryReplays,
    unknowns: UnknownDesk,
    sealing: Sealing,
    probe: SenderProbe,
    guards: SenderGuards,
    system: SystemWatch,
    holds: InstanceHolds,
    pbx: PbxSenders,
    connections: ConnectionDesk,
    wake_outbox: Callable[[], None],
    random_bytes: RandomBytes,
    plain_http: bool,
) -> Registry:
    """The registry over these parts. `plain_http` allows customers' addresses without TLS, for development.

    `wake_outbox` is called after a delivery was made due again.
    """
    return Registry(
        accounts=Accounts(store, random_bytes),
        api_keys=ApiKeys(store, random_bytes),
        service_tokens=ServiceTokens(store, random_bytes),
        instances=Instances(store, sealing, probe, random_bytes),
        integrations=Integrations(store, sealing, random_bytes, plain_http=plain_http),
        secrets=IntegrationSecrets(store, sealing, random_bytes),
        signing_secrets=SigningSecrets(store, sealing, random_bytes),
        threecx_sms=ThreecxSms(store, sealing, random_bytes, plain_http=plain_http),
        templates=Templates(store),
        webhooks=CustomerWebhooks(store, sealing, random_bytes, plain_http=plain_http),
        suppressions=Suppressions(store, guards, random_bytes),
        pauses=Pauses(store, guards, random_bytes),
        rules=RulesRegistry(store),
        log=PolicyLog(log_reader, replays, wake_outbox),
        unknowns=unknowns,
        system=system,
        holds=holds,
        threecx_apis=ThreecxApis(store, sealing, pbx, plain_http=plain_http),
        connections=connections,
        business_hours=BusinessHoursDesk(store),
    )
