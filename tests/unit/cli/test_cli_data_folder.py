"""The data folder: made once, for its owner, and for one `up` at a time."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from cli.client import core_address
from cli.data_folder import DataFolder, data_folder, new_key, new_permit_key, new_token
from cli.errors import CliError, ExitCode


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    made.create()
    return made


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_made_once(folder: DataFolder) -> None:
    made = folder.keep("master.key", lambda: "first")
    assert made == folder.keep("master.key", lambda: "second") == "first"
    assert _mode(folder.path / "master.key") == 0o600
    assert _mode(folder.path) == 0o700


def test_an_open_folder_is_closed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o777)
    DataFolder(tmp_path / "data").create()
    assert _mode(tmp_path / "data") == 0o700


def test_an_empty_secret_is_no_secret(folder: DataFolder) -> None:
    (folder.path / "master.key").write_text("\n")
    with pytest.raises(CliError, match=r"master\.key"):
        folder.keep("master.key", lambda: "never")


def test_two_do_not_share_a_folder(folder: DataFolder) -> None:
    with folder.locked():
        with pytest.raises(CliError, match=str(os.getpid())) as caught, DataFolder(folder.path).locked():
            pass
        assert caught.value.code is ExitCode.USAGE
    with DataFolder(folder.path).locked():
        pass


def test_a_path_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(CliError, match="data folder"):
        DataFolder(tmp_path / "data").create()


def test_json_files_are_replaced_whole(folder: DataFolder) -> None:
    assert folder.read_json("demo.json") is None
    folder.write_json("demo.json", {"a": 1})
    folder.write_json("demo.json", {"b": 2})
    assert folder.read_json("demo.json") == {"b": 2}
    assert _mode(folder.path / "demo.json") == 0o600
    assert sorted(path.name for path in folder.path.iterdir()) == ["demo.json", "logs"]
    (folder.path / "demo.json").write_text("{broken")
    assert folder.read_json("demo.json") is None
    (folder.path / "demo.json").write_text(json.dumps([1]))
    assert folder.read_json("demo.json") is None


def test_keys_have_their_length() -> None:
    assert len(base64.b64decode(new_key(os.urandom))) == 32
    name, _, seed = new_permit_key(os.urandom).partition(":")
    assert name.isalnum()
    assert len(base64.b64decode(seed)) == 32
    assert len(new_token(os.urandom)) == 43


def test_where_the_policy_core_is(folder: DataFolder) -> None:
    environ: dict[str, str] = {}
    assert core_address(environ, folder) == "127.0.0.1:8071"
    folder.write_json("demo.json", {"policycore_address": "127.0.0.1:1"})
    assert core_address(environ, folder) == "127.0.0.1:1"
    folder.write_json("run.json", {"policycore_address": "127.0.0.1:2"})
    assert core_address(environ, folder) == "127.0.0.1:2"
    environ["HUBGATE_POLICYCORE_ADDRESS"] = "core:3"
    assert core_address(environ, folder) == "core:3"


def test_which_folder(tmp_path: Path) -> None:
    assert data_folder({}).path == Path(".hubgate").absolute()
    assert data_folder({"HUBGATE_DATA": str(tmp_path)}).path == tmp_path
