"""The structure that 3CX reads a CRM template by, as far as it is known: elements, their order, attributes and values.

A template that 3CX cannot read is refused when it is uploaded, with one sentence for everything. So what is written
here is strict: an element, an attribute or a value that is not named is an error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

ANY = re.compile(r".*", re.DOTALL)
NOT_EMPTY = re.compile(r".+", re.DOTALL)
EMPTY = re.compile(r"")
NUMBER = re.compile(r"[0-9]+")
_EXPRESSIONS = re.compile(r"\[\[?[A-Za-z]+\]?")


def words(*allowed: str) -> re.Pattern[str]:
    """One of these words."""
    return re.compile("|".join(map(re.escape, allowed)))


@dataclass(frozen=True)
class Shape:
    """An element: its attributes (all required), its children in order with how often they may come, its text."""

    attributes: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    children: tuple[tuple[str, int, int], ...] = ()
    text: re.Pattern[str] = EMPTY


MANY = 1_000
_PARAMETER = {
    "Name": re.compile(r"[A-Za-z][A-Za-z0-9]*"),
    "Type": words("String", "Integer", "Double", "Boolean", "DateTime", "Password", "OAuth", "List"),
    "Parent": words("General Configuration"),
    "Editor": words("String"),
    "Title": NOT_EMPTY,
    "Validation": EMPTY,
    "Default": ANY,
    "ListValues": EMPTY,
    "RequestUrl": EMPTY,
    "RequestUrlParameters": EMPTY,
    "ResponseScenario": EMPTY,
}
_REQUEST = {
    "SkipIf": re.compile(r"|\[[A-Za-z]+\](!=|==)(True|False|\"[^\"]*\")"),
    "Url": re.compile(r"\[[A-Za-z]+\]/[A-Za-z0-9/_\[\]-]+"),
    "MessagePasses": words("0"),
    "Message": EMPTY,
    "RequestContentType": EMPTY,
    "RequestEncoding": words("Json", "UrlEncoded"),
    "RequestType": words("Get", "Post"),
    "ResponseType": words("Json"),
}
_VALUE = {"Key": NOT_EMPTY, "Passes": words("0", "1", "2"), "Type": words("String")}
_OUTPUTS = words("ContactUrl", "FirstName", "LastName", "PhoneMobile", "Email", "EntityId", "EntityType")

SHAPES: Mapping[str, Shape] = {
    "Crm": Shape(
        {
            "Country": NOT_EMPTY,
            "Name": NOT_EMPTY,
            "Version": NUMBER,
            "SupportsEmojis": words("true", "false"),
        },
        (
            ("Number", 1, 1),
            ("Connection", 1, 1),
            ("Parameters", 1, 1),
            ("Authentication", 1, 1),
            ("Scenarios", 1, 1),
        ),
    ),
    "Number": Shape({"Prefix": words("AsIs", "Off", "Plus", "Zeros"), "MaxLength": re.compile("[0-9]*")}),
    "Connection": Shape({"MaxConcurrentRequests": NUMBER}),
    "Parameters": Shape(children=(("Parameter", 1, MANY),)),
    "Parameter": Shape(_PARAMETER),
    "Authentication": Shape({"Type": words("No")}),
    "Scenarios": Shape(children=(("Scenario", 1, MANY),)),
    "Scenario": Shape(
        {"Id": words("", "ReportCall", "ReportChat"), "Type": words("REST")},
        (("Request", 1, 1), ("Rules", 0, 1), ("Variables", 0, 1), ("Outputs", 0, 1)),
    ),
    "Request": Shape(_REQUEST, (("Headers", 0, 1), ("PostValues", 0, 1))),
    "Headers": Shape(children=(("Value", 1, MANY),)),
    "PostValues": Shape(children=(("Value", 1, MANY),)),
    "Value": Shape(_VALUE, text=NOT_EMPTY),
    "Rules": Shape(children=(("Rule", 1, MANY),)),
    "Rule": Shape({"Type": words("Any"), "Ethalon": EMPTY}, text=NOT_EMPTY),
    "Variables": Shape(children=(("Variable", 1, MANY),)),
    "Variable": Shape({"Name": NOT_EMPTY, "Path": NOT_EMPTY}, (("Filter", 1, 1),)),
    "Filter": Shape(),
    "Outputs": Shape({"AllowEmpty": words("false", "true")}, (("Output", 1, MANY),)),
    "Output": Shape({"Type": _OUTPUTS, "Passes": words("0"), "Value": NOT_EMPTY}),
}

KNOWN_VARIABLES: Mapping[str, frozenset[str]] = {
    "": frozenset({"Number"}),
    "ReportCall": frozenset(
        {"CallType", "Number", "Name", "EntityId", "EntityType", "Agent", "AgentEmail", "QueueExtension"}
        | {"Duration", "DateTime", "CallStartTimeUTC", "CallStartTimeLocal", "CallEndTimeUTC"}
    ),
    "ReportChat": frozenset(
        {"ChatMessages", "Number", "Email", "Name", "EntityId", "Agent", "AgentEmail", "QueueExtension"}
        | {"Duration", "ChatStartTimeUTC", "ChatEndTimeUTC"}
    ),
}
"""What 3CX fills in, by scenario; parameters come on top."""


def faults(xml: bytes) -> list[str]:
    """What 3CX would not take, one sentence each; empty for a template that it can read."""
    text = xml.decode("utf-8")
    found = [
        f"a comment holds --: {body[:40]}"
        for body in re.findall(r"<!--(.*?)-->", text, re.DOTALL)
        if "--" in body
    ]
    root = ET.fromstring(text)
    found += [] if root.tag == "Crm" else [f"the root is {root.tag}"]
    found += _of_element(root)
    ids = [scenario.get("Id", "") for scenario in root.iter("Scenario")]
    found += [f"scenario {each!r} comes twice" for each in set(ids) if ids.count(each) > 1]
    parameters = {each.get("Name", "") for each in root.iter("Parameter")}
    for scenario in root.iter("Scenario"):
        found += _of_scenario(scenario, parameters)
    return found


def _of_element(element: ET.Element) -> list[str]:
    shape = SHAPES.get(element.tag)
    if shape is None:
        return [f"element {element.tag} is not known"]
    found = [f"{element.tag} lacks {name}" for name in shape.attributes if name not in element.attrib]
    for name, value in element.attrib.items():
        allowed = shape.attributes.get(name)
        if allowed is None or not allowed.fullmatch(value):
            found.append(f"{element.tag} has {name}={value!r}")
    if not shape.text.fullmatch((element.text or "").strip()) or any(
        (each.tail or "").strip() for each in element
    ):
        found.append(f"{element.tag} holds other text than it may")
    tags = [child.tag for child in element]
    order = [name for name, _, _ in shape.children]
    if any(tag not in order for tag in tags) or tags != sorted(tags, key=order.index):
        found.append(f"{element.tag} holds {tags}")
    for name, least, most in shape.children:
        if not least <= tags.count(name) <= most:
            found.append(f"{element.tag} holds {tags.count(name)} times {name}")
    return found + [fault for child in element for fault in _of_element(child)]


def _of_scenario(scenario: ET.Element, parameters: set[str]) -> list[str]:
    name = scenario.get("Id", "")
    found = []
    if name and [child.tag for child in scenario] != ["Request"]:
        found.append(f"{name} holds more than its request")
    own = {each.get("Name", "") for each in scenario.iter("Variable")}
    known = parameters | own | KNOWN_VARIABLES.get(name, frozenset())
    for element in scenario.iter():
        for text in (element.text or "", *element.attrib.values()):
            for expression in _EXPRESSIONS.findall(text):
                if expression.strip("[]") not in known:
                    found.append(f"{name or 'lookup'} uses {expression}, which nobody fills in")
    return found
