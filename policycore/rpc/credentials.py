"""What the edge needs to know callers by, as one message."""

from hubgate.policy.v1 import policy_service_pb2
from policycore.registry.snapshot import InstanceConfig, IntegrationConfig, Snapshot
from policycore.rpc.times import to_timestamp


def credentials_to_wire(snapshot: Snapshot) -> policy_service_pb2.WatchCredentialsResponse:
    """Every credential of the configuration."""
    return policy_service_pb2.WatchCredentialsResponse(
        version=snapshot.version,
        snapshot=True,
        integrations=[_integration(each) for each in snapshot.integrations.values()],
        api_keys=[
            policy_service_pb2.ApiKeyCredential(
                api_key_id=key.api_key_id,
                key_digest=key.key_digest,
                account_id=key.account_id,
                revoked=key.revoked,
                test=key.test,
            )
            for key in snapshot.api_keys.values()
        ],
        instances=[_instance(each) for each in snapshot.instances.values()],
    )


def _integration(config: IntegrationConfig) -> policy_service_pb2.IntegrationCredential:
    secrets = []
    for secret in config.secrets:
        wire = policy_service_pb2.SecretCredential(secret_id=secret.secret_id, secret=secret.secret)
        if secret.valid_until is not None:
            wire.valid_until.CopyFrom(to_timestamp(secret.valid_until))
        secrets.append(wire)
    keys = []
    for key in config.sms.keys if config.sms is not None else ():
        named = policy_service_pb2.KeyCredential(key_id=key.key_id, key_digest=key.key_digest)
        if key.valid_until is not None:
            named.valid_until.CopyFrom(to_timestamp(key.valid_until))
        keys.append(named)
    return policy_service_pb2.IntegrationCredential(
        integration_id=config.integration_id,
        enabled=config.enabled,
        secrets=secrets,
        signature_required=config.signature_required,
        allowed_addresses=config.allowed_addresses,
        query_token_enabled=config.query_token_enabled,
        account_id=config.account_id,
        sms_keys=keys,
    )


def _instance(config: InstanceConfig) -> policy_service_pb2.InstanceCredential:
    wire = policy_service_pb2.InstanceCredential(
        instance_id=config.instance_id,
        backend=config.backend,
        webhook_secret=config.webhook_secret,
        verify_token=config.verify_token,
        external_name=config.external_name,
        account_id=config.account_id,
        enabled=True,
    )
    former = config.former
    if former is not None:
        for field, secret in (
            (wire.previous_webhook_secret, former.webhook_secret),
            (wire.previous_verify_token, former.verify_token),
        ):
            field.secret = secret
            field.valid_until.CopyFrom(to_timestamp(former.valid_until))
    return wire
