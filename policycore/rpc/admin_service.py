"""Owns the servicer of the AdminService, composed of its parts."""

from hubgate.policy.v1 import admin_service_pb2_grpc
from policycore.registry.registry import Registry
from policycore.rpc.admin_accounts import AccountMethods
from policycore.rpc.admin_business_hours import BusinessHoursMethods
from policycore.rpc.admin_connections import ConnectionMethods
from policycore.rpc.admin_controls import ControlMethods
from policycore.rpc.admin_instances import InstanceMethods
from policycore.rpc.admin_integrations import IntegrationMethods
from policycore.rpc.admin_records import RecordMethods
from policycore.rpc.admin_threecx_api import ThreecxApiMethods
from policycore.rpc.admin_threecx_sms import ThreecxSmsMethods
from policycore.rpc.admin_unknowns import UnknownMethods


class AdminServicer(
    AccountMethods,
    InstanceMethods,
    IntegrationMethods,
    ThreecxSmsMethods,
    ConnectionMethods,
    BusinessHoursMethods,
    ControlMethods,
    RecordMethods,
    UnknownMethods,
    ThreecxApiMethods,
    admin_service_pb2_grpc.AdminServiceServicer,
):
    """Every RPC of the AdminService over the registry. Runs behind `IdentityInterceptor`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
