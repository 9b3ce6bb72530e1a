"""Files and functions stay small, and names say what a thing is."""

import ast
import pathlib

_MOST_LINES_OF_A_FILE = 500
_MOST_LINES_OF_A_FUNCTION = 70
_COUNTED = {".py", ".proto", ".js", ".css", ".html"}
_EMPTY_WORDS = {
    *("util", "utils", "helper", "helpers", "manager", "managers"),
    *("common", "misc", "service", "services"),
}


def test_no_file_is_too_long(written_files: list[pathlib.Path], repository: pathlib.Path) -> None:
    lengths = {
        str(path.relative_to(repository)): len(path.read_text("utf-8").splitlines())
        for path in written_files
        if path.suffix in _COUNTED
    }
    assert lengths
    assert {name: n for name, n in lengths.items() if n > _MOST_LINES_OF_A_FILE} == {}


def test_no_function_is_too_long(python_files: list[pathlib.Path], repository: pathlib.Path) -> None:
    too_long = {}
    for path in python_files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > _MOST_LINES_OF_A_FUNCTION:
                    too_long[f"{path.relative_to(repository)}:{node.lineno} {node.name}"] = lines
    assert too_long == {}


def test_names_are_not_empty_words(written_files: list[pathlib.Path], repository: pathlib.Path) -> None:
    relative = [path.relative_to(repository) for path in written_files]
    empty = [
        str(path) for path in relative if _EMPTY_WORDS & {path.stem.lower(), *map(str.lower, path.parts[:-1])}
    ]
    assert empty == []


def test_every_module_says_what_it_owns(python_files: list[pathlib.Path], repository: pathlib.Path) -> None:
    silent = []
    for path in python_files:
        text = path.read_text("utf-8")
        if text.strip() and not ast.get_docstring(ast.parse(text)):
            silent.append(str(path.relative_to(repository)))
    assert silent == []
