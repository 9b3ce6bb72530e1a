"""A migration only adds: the version before it goes on working on the newer schema while services are exchanged."""

import ast
import pathlib

import pytest

_ADDING = {
    "create_table",
    "create_index",
    "add_column",
    "execute",
    "get_bind",
    "f",
    "get_context",
    "bulk_insert",
}
_TAKING_AWAY = ("drop", "alter", "rename", "truncate", "delete")
_BUILT_WITHOUT_READERS = {("0003", "persons")}
"""Indexes on tables that were there before. Making one keeps writers out as long as it takes: only with a reason.

0003: of persons only those who were joined with another are in it, which are few.
"""


_BEFORE_THE_FIRST_RELEASE = {"0004"}
"""No released version worked on the schema before these, so nobody runs beside them who could be disturbed.

0004: the policy log became partitions of months, which takes a table of another make and indexes on others.
"""


def faults(source: str) -> list[str]:
    """What in a migration's source the version before it could not live with."""
    tree = ast.parse(source)
    made = {_text(call.args[0]) for call in _calls(tree) if _name(call) == "create_table" and call.args}
    revision = next(
        (
            _text(node.value)
            for node in tree.body
            if isinstance(node, ast.AnnAssign) and _target(node) == "revision"
        ),
        "",
    )
    found = []
    for call in _calls(_upgrade_part(tree)):
        found += _faults_of(call, made, revision)
    return found


def _faults_of(call: ast.Call, made: set[str], revision: str) -> list[str]:
    name = _name(call)
    if name not in _ADDING:
        return [f"{revision}: op.{name} does not only add"]
    if name == "execute":
        words = {word.strip("(;").lower() for word in _words(call)}
        return [f"{revision}: {word} in SQL" for word in _TAKING_AWAY if word in words]
    if name == "create_index":
        table = _text(call.args[1])
        unique = any(each.arg == "unique" and getattr(each.value, "value", True) for each in call.keywords)
        if table in made or ((revision, table) in _BUILT_WITHOUT_READERS and not unique):
            return []
        return [f"{revision}: an index on {table}, which was there before"]
    if name == "add_column" and _refuses_older_rows(call.args[1]):
        return [f"{revision}: a column of {_text(call.args[0])} that the version before does not fill"]
    return []


def _refuses_older_rows(column: ast.expr) -> bool:
    given = {each.arg: each.value for each in column.keywords} if isinstance(column, ast.Call) else {}
    required = getattr(given.get("nullable"), "value", True) is False
    return required and "server_default" not in given


def _upgrade_part(tree: ast.Module) -> ast.Module:
    body = [node for node in tree.body if getattr(node, "name", "") != "downgrade"]
    return ast.Module(body=body, type_ignores=[])


def _calls(tree: ast.AST) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and getattr(node.func.value, "id", "") == "op"
    ]


def _name(call: ast.Call) -> str:
    return str(getattr(call.func, "attr", ""))


def _target(node: ast.AnnAssign) -> str:
    return str(getattr(node.target, "id", ""))


def _text(node: ast.expr | None) -> str:
    return str(getattr(node, "value", ""))


def _words(call: ast.Call) -> list[str]:
    constants = [node.value for node in ast.walk(call) if isinstance(node, ast.Constant)]
    return " ".join(str(each) for each in constants).split()


def test_every_migration_only_adds(repository: pathlib.Path) -> None:
    files = sorted((repository / "policycore/store/migrations/versions").glob("*.py"))
    assert len(files) >= 4
    judged = [path for path in files if path.name[:4] not in _BEFORE_THE_FIRST_RELEASE]
    assert [fault for path in judged for fault in faults(path.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    "line",
    [
        'op.drop_column("messages", "text")',
        'op.drop_table("messages")',
        'op.alter_column("messages", "text", new_column_name="words")',
        'op.rename_table("messages", "letters")',
        'op.create_unique_constraint("uq", "messages", ["text"])',
        'op.execute("ALTER TABLE messages DROP COLUMN text")',
        'op.execute(f"TRUNCATE {name}")',
        'op.create_index("ix", "messages", ["text"])',
        'op.create_index("ix", "persons", ["id"], unique=True)',
        'op.add_column("messages", sa.Column("a", sa.Integer(), nullable=False))',
        'with op.batch_alter_table("messages") as batch: pass',
    ],
)
def test_what_takes_away_is_found(line: str) -> None:
    assert faults(f'revision: str = "9999"\ndef upgrade() -> None:\n    {line}\n')


@pytest.mark.parametrize(
    "line",
    [
        'op.create_table("a"); op.create_index("ix", "a", ["b"], unique=True)',
        'op.add_column("messages", sa.Column("a", sa.Integer()))',
        'op.add_column("messages", sa.Column("a", sa.Integer(), nullable=False, server_default="0"))',
        'op.execute("CREATE SEQUENCE dropped_things")',
    ],
)
def test_what_adds_passes(line: str) -> None:
    assert faults(f'revision: str = "9999"\ndef upgrade() -> None:\n    {line}\n') == []
