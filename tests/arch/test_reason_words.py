"""The words of a decision are the same on the wire, in the core, in the public table and in the documents."""

import pathlib
import re
from enum import IntEnum

import pytest
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from hubgate.policy.v1 import reasons_pb2
from policycore.checks import CHECKS
from policycore.reasons import PRECEDENCE, SHADOWABLE, CheckName, ReasonCode, Verdict


@pytest.mark.parametrize(
    ("core", "wire", "prefix"),
    [
        (Verdict, reasons_pb2.Verdict, "VERDICT_"),
        (ReasonCode, reasons_pb2.ReasonCode, "REASON_CODE_"),
        (CheckName, reasons_pb2.CheckName, "CHECK_NAME_"),
    ],
)
def test_core_and_wire_have_the_same_words_and_numbers(
    core: type[IntEnum], wire: EnumTypeWrapper, prefix: str
) -> None:
    expected = {prefix + member.name: member.value for member in core} | {prefix + "UNSPECIFIED": 0}
    assert dict(wire.items()) == expected


def test_precedence_is_the_order_of_the_contract() -> None:
    assert list(PRECEDENCE) == sorted(CheckName), "the numbers of CheckName are the order of precedence"
    assert [name for name, _ in CHECKS] == list(PRECEDENCE)


def test_what_protects_people_cannot_be_switched_to_watching() -> None:
    assert not SHADOWABLE & {
        CheckName.PURPOSE,
        CheckName.SUPPRESSION,
        CheckName.WINDOW,
        CheckName.PAUSE,
        CheckName.FACTS,
    }


@pytest.mark.parametrize("name", CheckName)
def test_every_check_has_its_file_and_its_cases(name: CheckName, repository: pathlib.Path) -> None:
    stem = name.name.lower()
    check = dict(CHECKS)[name]
    assert (repository / "policycore" / "checks" / f"{stem}.py").is_file()
    assert getattr(check, "__module__", "") == f"policycore.checks.{stem}"
    cases = repository / "tests" / "unit" / "policycore" / "checks" / "cases" / f"{stem}.yaml"
    assert cases.is_file(), "a check is tested from a table of cases"


def test_every_file_of_a_check_is_in_use(repository: pathlib.Path) -> None:
    files = {path.stem for path in (repository / "policycore" / "checks").glob("*.py")} - {"__init__"}
    assert files == {name.name.lower() for name in CheckName}


@pytest.mark.parametrize("place", ["docs/reason-codes.md", "edge/public_codes.py"])
def test_every_reason_is_documented_and_has_a_public_code(place: str, repository: pathlib.Path) -> None:
    text = (repository / place).read_text("utf-8")
    missing = [
        reason.name
        for reason in ReasonCode
        if not re.search(rf"\b(REASON_CODE_)?{reason.name}\b", text, re.IGNORECASE)
    ]
    assert not missing, f"{place} does not know {missing}"
