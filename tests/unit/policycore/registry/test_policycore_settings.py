"""Settings: what is wrong is said in one sentence that names the variable and shows no secret."""

import base64

import pytest

from policycore.bounds import RANGES, Bounds
from policycore.settings import Settings, SettingsError, read_database_url, read_settings

_KEY = base64.b64encode(bytes(range(32))).decode()


def _environ(**changes: str) -> dict[str, str]:
    environ = {
        "HUBGATE_MASTER_KEY": _KEY,
        "HUBGATE_PERMIT_KEY": f"first:{_KEY}",
        "HUBGATE_EDGE_TOKEN": "edge-token-0123456789abcdef",
        "HUBGATE_ADMIN_TOKEN": "admin-token-0123456789abcdef",
        "HUBGATE_SENDER_TOKEN": "sender-token-0123456789abcdef",
    }
    environ.update(changes)
    return environ


def test_defaults() -> None:
    settings = read_settings(_environ())
    assert settings.database_url.startswith("sqlite+aiosqlite:////")
    assert settings.database_url.endswith("/.hubgate/hubgate.db")
    assert settings.redis_url is None
    assert settings.master_keys == (bytes(range(32)),)
    assert settings.permit_key.key_id == "first"
    assert settings.permit_key.seed == bytes(range(32))
    assert settings.sender_addresses == ("127.0.0.1:8072",)
    assert settings.listen == "127.0.0.1:8071"
    assert settings.metrics_listen is None
    assert settings.tls_folder is None
    assert not settings.development


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("postgresql://u:p%40ss@db:5433/hub", "postgresql+asyncpg://u:p%40ss@db:5433/hub"),
        ("postgres://u@db/hub?sslmode=require", "postgresql+asyncpg://u@db/hub?ssl=require"),
        ("postgresql+asyncpg:///hub?host=/run/postgresql", "postgresql+asyncpg:///hub?host=/run/postgresql"),
        ("sqlite:////srv/hub.db", "sqlite+aiosqlite:////srv/hub.db"),
        ("sqlite+aiosqlite:///hub.db", "sqlite+aiosqlite:///hub.db"),
    ],
)
def test_database_urls(written: str, expected: str) -> None:
    assert read_database_url({"HUBGATE_DATABASE_URL": written}) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HUBGATE_DATABASE_URL", "mysql://u:hunter2hunter2@db/hub"),
        ("HUBGATE_DATABASE_URL", "hunter2hunter2"),
        ("HUBGATE_DATABASE_URL", "postgresql://u:hunter2hunter2@db"),
        ("HUBGATE_DATABASE_URL", "postgresql://u:hunter2hunter2@db:99999999/hub"),
        ("HUBGATE_DATABASE_URL", "sqlite:///"),
        ("HUBGATE_REDIS_URL", "http://:hunter2hunter2@redis"),
        ("HUBGATE_REDIS_URL", "redis+cluster://:hunter2hunter2@redis:port"),
        ("HUBGATE_MASTER_KEY", ""),
        ("HUBGATE_MASTER_KEY", "hunter2hunter2"),
        ("HUBGATE_MASTER_KEY", "hunter2hunter2!!"),
        ("HUBGATE_PERMIT_KEY", _KEY),
        ("HUBGATE_PERMIT_KEY", "first:hunter2hunter2"),
        ("HUBGATE_PERMIT_KEY", f"a b:{_KEY}"),
        ("HUBGATE_EDGE_TOKEN", "hunter2hunter2"),
        ("HUBGATE_ADMIN_TOKEN", "hunter2hunter2 hunter2hunter2"),
        ("HUBGATE_ADMIN_TOKEN", "edge-token-0123456789abcdef"),
        ("HUBGATE_SENDER_TOKEN", "hunter2hunter2hunter2é"),
        ("HUBGATE_MASTER_KEY", f"{_KEY},{_KEY}"),
        ("HUBGATE_MASTER_KEY", f"{_KEY},hunter2hunter2"),
        ("HUBGATE_EDGE_TOKEN", "hunter2hunter2hunter2-a,hunter2hunter2hunter2-b,hunter2hunter2hunter2-c"),
        ("HUBGATE_ADMIN_TOKEN", "hunter2hunter2hunter2-a,edge-token-0123456789abcdef"),
        ("HUBGATE_SENDER_ADDRESSES", "sender"),
        ("HUBGATE_SENDER_ADDRESSES", ","),
        ("HUBGATE_SENDER_ADDRESSES", "127.0.0.1:8072,127.0.0.1:x"),
        ("HUBGATE_POLICYCORE_LISTEN", "127.0.0.1:70000"),
        ("HUBGATE_POLICYCORE_LISTEN", "127.0.0.1:1,127.0.0.1:2"),
        ("HUBGATE_POLICYCORE_LISTEN", "[::zz]:8071"),
        ("HUBGATE_POLICYCORE_METRICS_LISTEN", "9100"),
        ("HUBGATE_ENVIRONMENT", "staging"),
        ("HUBGATE_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_named_and_no_secret_shown(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(_environ(**{name: value}))
    sentence = str(caught.value)
    assert name in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "hunter2" not in sentence
    assert "0123456789abcdef" not in sentence
    assert _KEY not in sentence


def test_the_representation_shows_no_secret() -> None:
    settings: Settings = read_settings(_environ(HUBGATE_DATABASE_URL="postgresql://u:hunter2hunter2@db/hub"))
    shown = repr(settings) + str(settings)
    assert "hunter2" not in shown
    assert "0123456789abcdef" not in shown
    assert repr(bytes(range(32))) not in shown


@pytest.mark.parametrize(("written", "expected"), [("", 300), ("0", 0), ("1", 1), ("86400", 86_400)])
def test_how_often_invariants_run(written: str, expected: int) -> None:
    settings = read_settings(_environ(HUBGATE_INVARIANTS_EVERY_SECONDS=written))
    assert settings.invariants_every_seconds == expected


@pytest.mark.parametrize("written", ["0.5", "86401", "-1", "5m", "1e3", "٣٠٠", "9" * 400])
def test_how_often_invariants_cannot_run(written: str) -> None:
    with pytest.raises(SettingsError, match="HUBGATE_INVARIANTS_EVERY_SECONDS"):
        read_settings(_environ(HUBGATE_INVARIANTS_EVERY_SECONDS=written))


def test_everything_is_kept_unless_somebody_says_for_how_long() -> None:
    settings = read_settings(_environ())
    assert (settings.log_retention_months, settings.text_retention_days) == (0, 0)
    settings = read_settings(_environ(HUBGATE_LOG_RETENTION_MONTHS="24", HUBGATE_TEXT_RETENTION_DAYS="90"))
    assert (settings.log_retention_months, settings.text_retention_days) == (24, 90)


@pytest.mark.parametrize("name", ["HUBGATE_LOG_RETENTION_MONTHS", "HUBGATE_TEXT_RETENTION_DAYS"])
@pytest.mark.parametrize("written", ["-1", "1.5", "forever", "٢٤", "36501", "9" * 400])
def test_how_long_nothing_can_be_kept(name: str, written: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings(_environ(**{name: written}))


def test_bounds_are_numbers_within_their_ranges() -> None:
    assert read_settings(_environ()).bounds == Bounds()
    assert read_settings(_environ(HUBGATE_REQUESTS_WAITING="300")).bounds.requests_waiting == 300
    for each in RANGES.values():
        for wrong in ("-1", "many", str(each.most + 1), "1e3"):
            with pytest.raises(SettingsError, match=each.variable):
                read_settings(_environ(**{each.variable: wrong}))


def test_while_a_key_is_changed_there_are_two_and_the_first_is_the_current_one() -> None:
    other = base64.b64encode(b"o" * 32).decode()
    settings = read_settings(
        _environ(
            HUBGATE_MASTER_KEY=f"{other}, {_KEY}",
            HUBGATE_EDGE_TOKEN="edge-token-new-0123456789,edge-token-0123456789abcdef",
            HUBGATE_SENDER_TOKEN="sender-token-new-0123456789,sender-token-0123456789abcdef",
        )
    )
    assert settings.master_keys == (b"o" * 32, bytes(range(32)))
    assert settings.edge_tokens == ("edge-token-new-0123456789", "edge-token-0123456789abcdef")
    assert settings.sender_token == "sender-token-new-0123456789"
