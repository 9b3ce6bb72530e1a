"""The server starters themselves: fresh databases, outages with recovery, and nothing left behind by a
killed run.
"""

import json
import os
import pathlib
import subprocess
import sys

import asyncpg
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from servers.postgres import PostgresServer, running_postgres
from servers.process import wait_until
from servers.redis import RedisServer, running_redis

_TESTS = pathlib.Path(__file__).parents[1]

_RUN_THAT_HANGS = """
import json, sys, time
from servers.postgres import running_postgres
from servers.redis import running_redis
with running_postgres() as postgres, running_redis() as redis:
    print(json.dumps([[server.pid, str(server.folder)] for server in (postgres, redis)]), flush=True)
    time.sleep(600)
"""


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not yet collected does not."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def test_every_test_gets_an_empty_database_with_durable_commits(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url)
    async with engine.begin() as connection:
        tables = await connection.scalar(
            text("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
        )
        assert tables == 0
        assert await connection.scalar(text("SHOW synchronous_commit")) == "on"
        assert await connection.scalar(text("SHOW fsync")) == "on"
        assert int(await connection.scalar(text("SHOW server_version_num"))) >= 150000
        await connection.execute(text("CREATE TABLE left_behind (id int)"))
    await engine.dispose()


def test_a_database_can_be_copied_from_a_template(postgres_server: PostgresServer) -> None:
    template = postgres_server.create_database()
    postgres_server.execute("CREATE TABLE kept AS SELECT 7 AS seven", template)
    copy = postgres_server.create_database(template)
    assert postgres_server.execute("SELECT seven FROM kept", copy) == "7"
    for name in (copy, template):
        postgres_server.drop_database(name)


async def test_postgres_recovers_what_was_committed_before_a_crash() -> None:
    with running_postgres() as server:
        server.execute("CREATE TABLE kept AS SELECT 7 AS seven")
        port = server.port
        server.kill()
        server.start()
        assert server.port == port
        address = make_url(server.url())
        connection = await asyncpg.connect(
            host=address.host, port=address.port, user=address.username, database=address.database
        )
        assert await connection.fetchval("SELECT seven FROM kept") == 7
        await connection.close()


async def test_redis_is_empty_for_every_test(redis_server: RedisServer, redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("left", "behind")
    redis_server.clear()
    async with Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0


async def test_redis_comes_back_empty_on_the_same_port() -> None:
    with running_redis() as server:
        port = server.port
        async with Redis.from_url(server.url) as client:
            await client.set("left", "behind")
        server.kill()
        server.start()
        assert server.port == port
        async with Redis.from_url(server.url) as client:
            assert await client.dbsize() == 0


def test_servers_of_a_killed_run_stop_and_leave_no_files() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", _RUN_THAT_HANGS],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_TESTS)},
    )
    assert run.stdout is not None
    try:
        servers = json.loads(run.stdout.readline())
        assert all(_alive(pid) and pathlib.Path(folder).is_dir() for pid, folder in servers)
    finally:
        run.kill()
        run.wait(10)
        run.stdout.close()
    assert wait_until(lambda: not any(_alive(pid) for pid, _ in servers), 15)
    assert wait_until(lambda: not any(pathlib.Path(folder).exists() for _, folder in servers), 15)
