"""Each plane has a user of its own in Redis, which may do what that plane does and nothing else."""

import pathlib
import re

import pytest
import redis

from harness.stack import Stack

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "Sources"
FOLDERS = {
    "worker": ("DataPlane", "Shared"),
    "control": ("ControlPlane", "Shared"),
}


@pytest.fixture
def connect(stack: Stack):
    def as_user(plane: str) -> redis.Redis:
        return redis.Redis.from_url(stack.secret(f"redis-url-{plane}"), decode_responses=True)

    return as_user


@pytest.mark.parametrize("plane", FOLDERS)
@pytest.mark.parametrize(
    "words",
    [
        ("FLUSHALL",), ("FLUSHDB",), ("KEYS", "*"), ("SCAN", "0"), ("CONFIG", "SET", "appendonly", "no"),
        ("ACL", "LIST"), ("ACL", "WHOAMI"), ("SHUTDOWN", "NOSAVE"), ("MONITOR",),
        ("EVAL", "return redis.call('KEYS', '*')", "0"), ("SCRIPT", "FLUSH"), ("CLIENT", "LIST"), ("REPLICAOF", "NO", "ONE"),
        ("SET", "somebody:elses", "1"), ("PUBLISH", "another", "x"), ("SUBSCRIBE", "another"), ("MODULE", "LIST"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_neither_may_rule_the_server_or_touch_what_is_not_tollgates(connect, plane: str, words: tuple[str, ...]) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        connect(plane).execute_command(*words)


@pytest.mark.parametrize(
    "name", ["tg:config:v1", "tg:key:v1:0", "tg:keys:complete:v1", "tg:{a1}:cred:v1", "tg:{a1}:refresh", "tg:{a1}:rotation"]
)
def test_a_worker_cannot_publish(connect, name: str) -> None:
    for words in (("SET", name, "forged"), ("DEL", name)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            connect("worker").execute_command(*words)


def test_nobody_else_gets_in(stack: Stack) -> None:
    url = stack.read("TOLLGATE_REDIS_URL")
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis.from_url(re.sub(r"//[^@]*@", "//", url)).ping()
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis.from_url(re.sub(r"//[^@]*@", "//worker:wrong@", url)).ping()


def commands_of(plane: str) -> set[str]:
    """Every command that a plane's code, or a script of it, names."""
    found: set[str] = set()
    for folder in FOLDERS[plane]:
        for file in (SOURCES / folder).rglob("*.swift"):
            text = file.read_text()
            for match in re.finditer(r"redis\.call\('([A-Z]+)'(?:, '([A-Z]+)')?", text):
                name, second = match.groups()
                found.add(f"{name} {second}" if name == "MEMORY" else name)
            for match in re.finditer(r'RedisCommand\(\s*\[?\s*"([A-Z]+)"(?:,\s*"([A-Z]+)")?', text):
                name, second = match.groups()
                found.add(f"{name} {second}" if name in ("CLIENT", "CONFIG", "SCRIPT", "MEMORY") and second else name)
    assert len(found) > 20, found
    return found


@pytest.mark.parametrize("plane", FOLDERS)
def test_each_may_send_every_command_that_its_code_names(stack: Stack, plane: str) -> None:
    operator = redis.Redis.from_url(stack.read("TOLLGATE_REDIS_URL"), decode_responses=True)
    refused = {
        name
        for name in commands_of(plane)
        # `DRYRUN` also looks at the arguments' number; whether the command may be used comes first.
        if "no permissions to run" in str(dry_run(operator, plane, name))
    }
    assert not refused


def dry_run(operator: redis.Redis, user: str, command: str) -> str:
    try:
        return operator.execute_command("ACL", "DRYRUN", user, *command.split(" "), "tg:{p01}:x", "1", "1", "1")
    except redis.exceptions.ResponseError as error:
        return str(error)


def test_the_stack_was_refused_nothing(stack: Stack) -> None:
    """All that the planes have done so far was allowed: what was not is in the server's log of refusals."""
    operator = redis.Redis.from_url(stack.read("TOLLGATE_REDIS_URL"), decode_responses=True)
    ours = [
        entry for entry in operator.acl_log()
        if entry["username"] in FOLDERS and "lib-name=redis-py" not in str(entry["client-info"])
        and "name=tollgate" in str(entry["client-info"])
    ]
    assert ours == []
