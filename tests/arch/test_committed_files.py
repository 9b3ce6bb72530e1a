"""What may be in the repository: nothing of one machine, of one registry, of one run."""

import pathlib
import re

# Written so that this file does not hold what it looks for.
_HOSTS = r"(pypi|pythonhosted|npmjs|debian)[.](org|com)"
_MACHINE_FOLDERS = "root|work|Users"
_SKIPS = r"pytest[.](mark[.])?(skip|skipif|xfail|importorskip)\b"


def _holders(pattern: str, files: list[pathlib.Path], repository: pathlib.Path) -> list[str]:
    found = []
    for path in files:
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        if re.search(pattern, text):
            found.append(str(path.relative_to(repository)))
    return found


def test_no_file_names_a_package_registry(all_files: list[pathlib.Path], repository: pathlib.Path) -> None:
    assert _holders(_HOSTS, all_files, repository) == []


def test_no_file_names_a_folder_of_one_machine(
    all_files: list[pathlib.Path], repository: pathlib.Path
) -> None:
    absolute = rf"(^|[^A-Za-z0-9_./-])/({_MACHINE_FOLDERS})/"
    assert _holders(absolute, all_files, repository) == []
    assert _holders(re.escape(str(repository)), all_files, repository) == []


def test_lock_files_and_results_are_not_committed(
    all_files: list[pathlib.Path], repository: pathlib.Path
) -> None:
    ignored = (repository / ".gitignore").read_text("utf-8").splitlines()
    assert "uv.lock" in ignored
    assert [
        path.name for path in all_files if path.name == "uv.lock" or path.suffix in {".pyc", ".log"}
    ] == []


def test_requirements_are_pinned_by_hash(repository: pathlib.Path) -> None:
    for name in ("bootstrap.txt", "run.txt", "dev.txt"):
        text = (repository / "requirements" / name).read_text("utf-8")
        requirements = re.findall(r"^[a-z0-9].*(?:\n    --hash.*)*", text, re.MULTILINE)
        assert requirements
        assert [line for line in requirements if "==" not in line or "--hash=sha256:" not in line] == []
        assert "--index" not in text


def test_runtime_and_development_pins_agree(repository: pathlib.Path) -> None:
    run, dev = (
        set(re.findall(r"^[a-z0-9][^ ]*==[^ ]+", path.read_text("utf-8"), re.MULTILINE))
        for path in (repository / "requirements" / "run.txt", repository / "requirements" / "dev.txt")
    )
    assert run <= dev


def test_test_folders_are_not_packages(all_files: list[pathlib.Path], repository: pathlib.Path) -> None:
    tests = repository / "tests"
    marks = [path for path in all_files if path.name == "__init__.py" and tests in path.parents]
    assert marks == [], "an __init__.py under tests hides the package of the same name"


def test_no_test_is_skipped(python_files: list[pathlib.Path], repository: pathlib.Path) -> None:
    tests = [path for path in python_files if repository / "tests" in path.parents]
    assert tests
    assert _holders(_SKIPS, tests, repository) == []


def test_test_files_have_names_of_their_own(
    python_files: list[pathlib.Path], repository: pathlib.Path
) -> None:
    names = [path.name for path in python_files if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


def test_the_changelog_has_a_place_for_what_comes_next(repository: pathlib.Path) -> None:
    headings = re.findall(r"^## .*", (repository / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings
    assert "unreleased" in headings[0].lower()
