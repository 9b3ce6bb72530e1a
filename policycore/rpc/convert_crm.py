"""Reports of CRM templates and lookups: wire <-> model, and nothing else."""

from hubgate.policy.v1 import policy_service_pb2 as pb
from policycore.crm_identity import CrmReport, ReportedCall
from policycore.errors import Malformed
from policycore.rpc.times import nearest_datetime, to_duration
from policycore.usecases.look_up_contact import LookedUp


def report_from_wire(request: pb.SubmitRequest) -> CrmReport:
    """The report of a request. Raises Malformed if no integration's template can have made it."""
    wire = request.report
    if not request.integration_id:
        raise Malformed("report", "belongs to an integration.")
    try:
        call = ReportedCall(wire.call)
    except ValueError:
        raise Malformed("report.call", "is of no kind known here.") from None
    started_at = nearest_datetime(wire.started_at) if wire.HasField("started_at") else None
    return CrmReport(call, started_at)


def look_up_to_wire(looked_up: LookedUp) -> pb.LookUpContactResponse:
    """The answer to one lookup."""
    wire = pb.LookUpContactResponse(reason=looked_up.reason.value)  # type: ignore[arg-type]
    if looked_up.wait_seconds > 0:
        wire.retry_after.CopyFrom(to_duration(looked_up.wait_seconds))
    if (found := looked_up.contact) is not None:
        wire.contact.person_id = found.person_id
        wire.contact.name = found.name
        wire.contact.phone = found.phone
    return wire
