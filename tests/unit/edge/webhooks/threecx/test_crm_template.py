"""The template that is handed out: of the structure 3CX reads, asking for nothing it need not, and leaking nothing."""

import re
from xml.etree import ElementTree as ET

import pytest

from edge.webhooks.threecx import crm_report, crm_template
from peers.crm_schema import faults

URL = "https://gateway.example.com"


def built(url: str = URL, integration_id: str = "int_1", language: str = "en") -> bytes:
    return crm_template.build(url, integration_id, language)


@pytest.mark.parametrize("language", crm_template.LANGUAGES)
def test_the_structure_is_what_3cx_reads(language: str) -> None:
    xml = built(language=language)
    assert faults(xml) == []
    assert xml.startswith(b'<?xml version="1.0" encoding="utf-8"?>\n<Crm ')


def test_it_is_filled_but_for_the_secret() -> None:
    parameters = {each.get("Name"): each for each in ET.fromstring(built()).iter("Parameter")}
    filled = {name: each.get("Default") for name, each in parameters.items()}
    assert filled["GatewayUrl"] == URL and filled["IntegrationId"] == "int_1"
    assert filled["Secret"] == "" and parameters["Secret"].get("Type") == "Password"
    assert (filled["ReportCalls"], filled["ReportChats"]) == ("True", "False")


@pytest.mark.parametrize("odd", ['"><Evil/>', "a&b", "<!-- -- -->", "سلام", "[Secret]"])
def test_odd_values_stay_values(odd: str) -> None:
    xml = built(integration_id=odd)
    assert faults(xml) == []
    defaults = {each.get("Name"): each.get("Default") for each in ET.fromstring(xml).iter("Parameter")}
    assert defaults["IntegrationId"] == odd


def test_each_language_names_every_field_in_its_own_words() -> None:
    titles = {
        language: [each.get("Title") for each in ET.fromstring(built(language=language)).iter("Parameter")]
        for language in crm_template.LANGUAGES
    }
    assert not set(titles["en"]) & set(titles["ar"])
    assert all(re.search("[\u0600-\u06ff]", title or "") for title in titles["ar"])


def test_starts_are_sent_formatted_and_as_the_pbx_writes_them() -> None:
    root = ET.fromstring(built())
    for name in ("ReportCall", "ReportChat"):
        (scenario,) = (each for each in root.iter("Scenario") if each.get("Id") == name)
        values = {each.get("Key"): each.text or "" for each in scenario.iterfind("Request/PostValues/Value")}
        assert values["source"] in crm_report.SOURCES
        raw = values["call_start_raw"]
        assert values["call_start"] == f'[{raw}.ToString("yyyy-MM-ddTHH:mm:ssZ")]'
        assert set(crm_report.START_KEYS) <= values.keys()


def test_nothing_is_asked_for_that_is_not_used() -> None:
    text = built().decode()
    for variable in ("ChatMessages", "Transcription", "Recording", "Email", "AgentFirstName", "[Name]"):
        assert variable not in text


@pytest.mark.parametrize(
    ("found", "put"),
    [
        (b"<Authentication", b"<Authentification"),
        (b' Type="REST"', b""),
        (b'Prefix="AsIs"', b'Prefix="None"'),
        (b'Id="ReportCall"', b'Id="ReportChat"'),
        (b"[CallType]", b"[CallKind]"),
        (b"[QueueExtension]", b"[Queue]"),
        (b'Passes="2"', b'Passes="7"'),
        (b'RequestEncoding="Json"', b'RequestEncoding="Xml"'),
        (b"<Scenarios>", b"<Scenarios>text"),
        (b"<Scenarios>", b"<!-- a -- b --><Scenarios>"),
        (b'<Connection MaxConcurrentRequests="2" />', b""),
        (b'SupportsEmojis="true"', b'SupportsEmojis="true" Colour="green"'),
    ],
)
def test_the_schema_bites(found: bytes, put: bytes) -> None:
    xml = built()
    assert found in xml
    try:
        assert faults(xml.replace(found, put)) != []
    except ET.ParseError:
        # XML itself forbids it.
        assert b"--" in put or b"Authent" in put


def test_a_report_holds_nothing_but_its_request() -> None:
    root = ET.fromstring(built())
    (chat,) = (each for each in root.iter("Scenario") if each.get("Id") == "ReportChat")
    ET.SubElement(ET.SubElement(chat, "Rules"), "Rule", {"Type": "Any", "Ethalon": ""}).text = "a"
    assert faults(ET.tostring(root)) == ["ReportChat holds more than its request"]
