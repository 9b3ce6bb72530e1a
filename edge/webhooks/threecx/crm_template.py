"""The CRM template that a 3CX administrator uploads: lookup of callers, reports of calls and of ended chats.

Pure. Elements, attributes, reserved scenario ids and variables are those of 3CX's own description
(https://www.3cx.com/docs/crm-template-xml-description/) and of templates that others publish. What only a live system
can tell is in `docs/3cx/field-tests.md`. The template asks the PBX for nothing that the gateway does not use: no
transcript, no e-mail address, no name.
"""

from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, SubElement

from edge.webhooks.threecx.crm_report import CALL_SOURCE, CHAT_SOURCE

NAME: Final = "WhatsApp Gateway"
VERSION: Final = "1"
SECRET_HEADER: Final = "X-WhatsApp-Gateway-3CX-Secret"
LANGUAGES: Final = ("en", "ar")

_TITLES: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "GatewayUrl": "Address of the gateway (https, without a slash at the end)",
        "IntegrationId": "Integration id (int_...)",
        "Secret": "Webhook secret of the integration",
        "ReportCalls": "Report calls to the gateway",
        "ReportChats": "Report ended chats to the gateway (never their text)",
    },
    "ar": {
        "GatewayUrl": "عنوان البوابة (https، بلا شرطة مائلة في آخره)",
        "IntegrationId": "معرّف الربط (int_...)",
        "Secret": "سر الويبهوك الخاص بالربط",
        "ReportCalls": "إبلاغ البوابة بالمكالمات",
        "ReportChats": "إبلاغ البوابة بانتهاء المحادثات (بلا نصوصها)",
    },
}

_PARAMETERS: Final = (
    ("GatewayUrl", "String", ""),
    ("IntegrationId", "String", ""),
    ("Secret", "Password", ""),
    ("ReportCalls", "Boolean", "True"),
    ("ReportChats", "Boolean", "False"),
)

_ISO_START: Final = '.ToString("yyyy-MM-ddTHH:mm:ssZ")]'

_CALL_VALUES: Final = (
    ("source", CALL_SOURCE, 0),
    ("call_type", "[CallType]", 1),
    ("customer_phone", "[Number]", 1),
    ("agent_extension", "[Agent]", 1),
    ("queue", "[QueueExtension]", 1),
    # Twice: the formatted one is the same in every culture, the plain one is there if formatting fails.
    ("call_start", f"[[CallStartTimeUTC]{_ISO_START}", 2),
    ("call_start_raw", "[CallStartTimeUTC]", 1),
)
_CHAT_VALUES: Final = (
    ("source", CHAT_SOURCE, 0),
    ("customer_phone", "[Number]", 1),
    ("agent_extension", "[Agent]", 1),
    ("queue", "[QueueExtension]", 1),
    ("call_start", f"[[ChatStartTimeUTC]{_ISO_START}", 2),
    ("call_start_raw", "[ChatStartTimeUTC]", 1),
)

_FOUND: Final = (("Id", "id"), ("FullName", "name"), ("Phone", "phone"), ("Link", "contact_url"))
"""Variables, and where the answer to a lookup has them."""

_SHOWN: Final = (
    ("ContactUrl", "[Link]"),
    ("FirstName", "[FullName]"),
    ("PhoneMobile", "[Phone]"),
    ("EntityId", "[Id]"),
    ("EntityType", "Contacts"),
)
"""3CX drops a match without an address, a name, and the very number it asked for."""


def build(public_url: str, integration_id: str, language: str) -> bytes:
    """The template in UTF-8, filled with the gateway's address (empty if nobody knows it) and the integration's id.

    `language` is one of LANGUAGES and decides how the fields are named. The secret is never filled in.
    """
    root = Element("Crm", {"Country": "Global", "Name": NAME, "Version": VERSION, "SupportsEmojis": "true"})
    SubElement(root, "Number", {"Prefix": "AsIs", "MaxLength": ""})
    SubElement(root, "Connection", {"MaxConcurrentRequests": "2"})
    _add_parameters(root, {"GatewayUrl": public_url, "IntegrationId": integration_id}, _TITLES[language])
    SubElement(root, "Authentication", {"Type": "No"})
    scenarios = SubElement(root, "Scenarios")
    _add_lookup(scenarios)
    _add_report(scenarios, "ReportCall", "[ReportCalls]!=True", _CALL_VALUES)
    _add_report(scenarios, "ReportChat", "[ReportChats]!=True", _CHAT_VALUES)
    ET.indent(root, "  ")
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def _add_parameters(root: Element, filled: Mapping[str, str], titles: Mapping[str, str]) -> None:
    parameters = SubElement(root, "Parameters")
    for name, kind, default in _PARAMETERS:
        attributes = {"Name": name, "Type": kind, "Parent": "General Configuration", "Editor": "String"}
        attributes |= {"Title": titles[name], "Validation": "", "Default": filled.get(name, default)}
        unused = {"ListValues": "", "RequestUrl": "", "RequestUrlParameters": "", "ResponseScenario": ""}
        SubElement(parameters, "Parameter", attributes | unused)


def _add_lookup(scenarios: Element) -> None:
    scenario = SubElement(scenarios, "Scenario", {"Id": "", "Type": "REST"})
    values = (("number", "[Number]", 1),)
    _add_request(scenario, "[GatewayUrl]/integrations/3cx/crm/[IntegrationId]/lookup", "", values)
    rules = SubElement(scenario, "Rules")
    SubElement(rules, "Rule", {"Type": "Any", "Ethalon": ""}).text = "contacts.contact_url"
    variables = SubElement(scenario, "Variables")
    for name, place in _FOUND:
        variable = SubElement(variables, "Variable", {"Name": name, "Path": f"contacts.{place}"})
        SubElement(variable, "Filter")
    outputs = SubElement(scenario, "Outputs", {"AllowEmpty": "false"})
    for kind, value in _SHOWN:
        SubElement(outputs, "Output", {"Type": kind, "Passes": "0", "Value": value})


def _add_report(
    scenarios: Element, scenario_id: str, skip_if: str, values: tuple[tuple[str, str, int], ...]
) -> None:
    # Nothing but the request: empty rules and outputs are said to keep 3CX from reporting at all.
    scenario = SubElement(scenarios, "Scenario", {"Id": scenario_id, "Type": "REST"})
    _add_request(scenario, "[GatewayUrl]/integrations/3cx/webhook/[IntegrationId]", skip_if, values)


def _add_request(scenario: Element, url: str, skip_if: str, values: tuple[tuple[str, str, int], ...]) -> None:
    attributes = {"SkipIf": skip_if, "Url": url, "MessagePasses": "0", "Message": ""}
    attributes |= {"RequestContentType": "", "RequestEncoding": "Json", "RequestType": "Post"}
    request = SubElement(scenario, "Request", attributes | {"ResponseType": "Json"})
    headers = SubElement(request, "Headers")
    secret = SubElement(headers, "Value", {"Key": SECRET_HEADER, "Passes": "0", "Type": "String"})
    secret.text = "[Secret]"
    fields = SubElement(request, "PostValues")
    for key, expression, passes in values:
        attributes = {"Key": key, "Passes": str(passes), "Type": "String"}
        SubElement(fields, "Value", attributes).text = expression
