"""Stand-in for the CRM engine of a 3CX phone system: reads a template, and posts what a PBX would.

It evaluates the request part as it is described: `[Variable]`, `[[Variable].ToString("format")]`, `SkipIf`, `Headers`,
`PostValues`; dates are written in the PBX's culture unless the template formats them. For a lookup it reads the answer
by `Rules`, `Variables` and `Outputs`, and drops a match as 3CX does.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

import httpx

from peers.crm_schema import faults

_VARIABLE = re.compile(r"\[([A-Za-z]+)\]")
_METHOD = re.compile(r'\[\[([A-Za-z]+)\]\.ToString\("([^"]*)"\)\]')
_CONDITION = re.compile(r'(.*?)(==|!=)"?(.*?)"?')
_FORMAT = re.compile(r"yyyy|MM|dd|HH|hh|mm|ss|tt|M|d|h")
_PARTS: Mapping[str, Callable[[datetime], str]] = {
    "yyyy": lambda moment: f"{moment.year:04d}",
    "MM": lambda moment: f"{moment.month:02d}",
    "M": lambda moment: str(moment.month),
    "dd": lambda moment: f"{moment.day:02d}",
    "d": lambda moment: str(moment.day),
    "HH": lambda moment: f"{moment.hour:02d}",
    "hh": lambda moment: f"{moment.hour % 12 or 12:02d}",
    "h": lambda moment: str(moment.hour % 12 or 12),
    "mm": lambda moment: f"{moment.minute:02d}",
    "ss": lambda moment: f"{moment.second:02d}",
    "tt": lambda moment: "AM" if moment.hour < 12 else "PM",
}

Value = str | bool | datetime | None


class FormatFailed(Exception):
    """A date could not be formatted: the variable is empty, or the engine cannot."""


@dataclass(frozen=True)
class Culture:
    """How a PBX writes dates. `digits` are ten characters; `years` is how far its calendar is ahead of ours."""

    pattern: str = "MM/dd/yyyy HH:mm:ss"
    digits: str = "0123456789"
    years: int = 0
    halves: tuple[str, str] = ("AM", "PM")

    def write(self, moment: datetime, pattern: str | None = None) -> str:
        """A moment in this culture; the calendar counts for formatted dates as well, as it does in .NET."""
        moved = moment.replace(year=moment.year + self.years)
        text = _FORMAT.sub(lambda found: _PARTS[found[0]](moved), pattern or self.pattern)
        for english, own in zip(("AM", "PM"), self.halves, strict=True):
            text = text.replace(english, own)
        return text.translate({ord("0") + number: self.digits[number] for number in range(10)})


ENGLISH = Culture()
BRITISH = Culture("dd/MM/yyyy HH:mm:ss")
ARABIC = Culture("dd/MM/yyyy hh:mm:ss tt", "٠١٢٣٤٥٦٧٨٩", halves=("ص", "م"))
SAUDI = Culture("dd/MM/yyyy hh:mm:ss tt", years=-579, halves=("ص", "م"))
"""A year of another calendar, which is all that matters of it here."""


@dataclass
class CrmEngine:
    """One PBX with one template. `parameters` is what its administrator filled in; `can_format` is False for an engine
    that leaves `ToString` as it stands.
    """

    template: ET.Element
    http: httpx.AsyncClient
    culture: Culture = ENGLISH
    can_format: bool = True
    parameters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def uploaded(cls, xml: bytes, http: httpx.AsyncClient, **filled: str) -> "CrmEngine":
        """Takes a template as an upload would: refuses what it cannot read, then fills in the form."""
        wrong = faults(xml)
        if wrong:
            raise ValueError("incorrect file format: " + "; ".join(wrong))
        root = ET.fromstring(xml)
        parameters = {each.attrib["Name"]: each.attrib["Default"] for each in root.iter("Parameter")}
        unknown = filled.keys() - parameters.keys()
        if unknown:
            raise ValueError(f"the template asks for no {', '.join(sorted(unknown))}")
        return cls(root, http, parameters=parameters | filled)

    async def report_call(self, **variables: Value) -> httpx.Response | None:
        """What the PBX does when a call has ended; None if the template has it skipped."""
        return await self._run("ReportCall", variables)

    async def report_chat(self, **variables: Value) -> httpx.Response | None:
        """What the PBX does when a chat was dealt with; None if the template has it skipped."""
        return await self._run("ReportChat", variables)

    async def look_up(self, number: str) -> dict[str, str] | None:
        """What is shown of a caller; None if the answer holds no match that 3CX would take."""
        answer = await self._run("", {"Number": number})
        if answer is None or answer.status_code != 200:
            return None
        scenario, body = self._scenario(""), answer.json()
        if not all(_at(body, rule.text or "") for rule in scenario.iter("Rule")):
            return None
        found: dict[str, Value] = {
            each.attrib["Name"]: _at(body, each.attrib["Path"]) for each in scenario.iter("Variable")
        }
        shown = {
            each.attrib["Type"]: self._expanded(each.attrib["Value"], found, 1)
            for each in scenario.iter("Output")
        }
        whole = shown.get("ContactUrl") and shown.get("FirstName") and shown.get("PhoneMobile") == number
        return shown if whole else None

    def _scenario(self, name: str) -> ET.Element:
        return next(each for each in self.template.iter("Scenario") if each.attrib["Id"] == name)

    async def _run(self, name: str, given: Mapping[str, Value]) -> httpx.Response | None:
        request = self._scenario(name).find("Request")
        assert request is not None
        variables: dict[str, Value] = {**self.parameters, **given}
        if self._skipped(request.attrib["SkipIf"], variables):
            return None
        headers = {
            each.attrib["Key"]: self._expanded(each.text or "", variables, 1)
            for each in request.iterfind("Headers/Value")
        }
        body = {
            each.attrib["Key"]: self._expanded(each.text or "", variables, int(each.attrib["Passes"]))
            for each in request.iterfind("PostValues/Value")
        }
        url = self._expanded(request.attrib["Url"], variables, 1)
        return await self.http.request(request.attrib["RequestType"].upper(), url, json=body, headers=headers)

    def _skipped(self, condition: str, variables: Mapping[str, Value]) -> bool:
        if not condition:
            return False
        found = _CONDITION.fullmatch(self._expanded(condition, variables, 1))
        assert found is not None, condition
        return (found[1] == found[3]) is (found[2] == "==")

    def _expanded(self, text: str, variables: Mapping[str, Value], passes: int) -> str:
        """An expression with its variables filled in. Every further pass reads what the one before it wrote."""
        for _ in range(max(passes, 1)):
            if self.can_format:
                text = _METHOD.sub(lambda found: self._formatted(variables.get(found[1]), found[2]), text)
            text = _VARIABLE.sub(lambda found: self._written(found, variables), text)
        return text

    def _formatted(self, value: Value, pattern: str) -> str:
        if not isinstance(value, datetime):
            raise FormatFailed(pattern)
        return self.culture.write(value, pattern)

    def _written(self, found: re.Match[str], variables: Mapping[str, Value]) -> str:
        if found[1] not in variables:
            return found[0]
        value = variables[found[1]]
        return self.culture.write(value) if isinstance(value, datetime) else str(value or "")


def _at(body: Any, path: str) -> str:
    """The value at a dotted path, of a list the first; empty if there is none."""
    for name in path.split("."):
        while isinstance(body, list):
            body = body[0] if body else None
        body = body.get(name) if isinstance(body, dict) else None
    return str(body) if body is not None else ""
