"""Seeds a stack through the admin API: an account of every platform pointing at the simulator, a group for each, a user
with money, and an API key for each group.

Running it again changes nothing that is as it should be: what exists under its name is used, an account whose simulator
has moved is pointed there, a key whose text was lost is made anew. Keys are shown once, so they are kept in
STATE/secrets.
"""

import argparse
import pathlib
import secrets
import sys
import time

from admin import Admin, Refused, call, keep, read

USER_EMAIL = "user@tollgate.local"
FIRST_BALANCE = "1000.00"

# Name of group, account and key → the account's platform, type, and credentials at the simulator.
SEEDS = {
    "anthropic": ("anthropic", "apikey", {"base_url": "{simulator}"}),
    "openai": ("openai", "apikey", {"base_url": "{simulator}/v1"}),
    "gemini": ("gemini", "apikey", {"base_url": "{simulator}"}),
    "antigravity": ("antigravity", "apikey", {"base_url": "{simulator}"}),
    "bedrock": ("anthropic", "bedrock", {"auth_mode": "apikey", "region": "us-east-1", "base_url": "{simulator}"}),
}


def seed_user(admin: Admin, vault: pathlib.Path) -> dict:
    password = read(vault / "user-password")
    if password is None:
        password = secrets.token_hex(12)
        keep(vault / "user-password", password)
    user, _ = admin.find_or_create("users", "email", {"email": USER_EMAIL, "password": password, "role": "user"})
    if float(user["balance"]) < 1:
        note = "first balance of the local stack"
        admin.call("POST", f"/admin/users/{user['id']}/balance", {"amount": FIRST_BALANCE, "note": note})
    return user


def seed_account(admin: Admin, name: str, group: dict, simulator: str) -> None:
    platform, kind, template = SEEDS[name]
    places = {field: value.format(simulator=simulator) for field, value in template.items()}
    account, is_new = admin.find_or_create(
        "accounts",
        "name",
        {
            "name": f"simulated {name}",
            "platform": platform,
            "type": kind,
            "credentials": {"api_key": f"simulator-{name}", **places},
            "group_ids": [group["id"]],
            "concurrency": 1000,
        },
    )
    if not is_new and account["credentials"].get("base_url") != places["base_url"]:
        admin.call("PATCH", f"/admin/accounts/{account['id']}", {"credentials": {"base_url": places["base_url"]}})


def seed_key(admin: Admin, name: str, user: dict, group: dict, vault: pathlib.Path) -> None:
    title = f"local {name}"
    found = admin.find("keys", "name", title)
    if found is not None and read(vault / f"key-{name}") is not None:
        return
    if found is not None:
        # Its text was shown once and is lost.
        admin.call("DELETE", f"/admin/keys/{found['id']}")
    key = admin.call("POST", "/admin/keys", {"name": title, "user_id": user["id"], "group_id": group["id"]})
    keep(vault / f"key-{name}", key["key"])


def await_workers(gateways: list[str], key: str) -> None:
    """Waits until every worker knows the key: what was seeded reaches them within a second."""
    for gateway in gateways:
        deadline = time.monotonic() + 20
        while True:
            try:
                call("GET", gateway + "/v1/models", headers={"x-api-key": key, "anthropic-version": "2023-06-01"})
                break
            except Refused:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("state", type=pathlib.Path)
    parser.add_argument("--admin-url", required=True)
    parser.add_argument("--admin-email", required=True)
    parser.add_argument("--simulator-url", required=True)
    parser.add_argument("--gateway-url", action="append", default=[])
    options = parser.parse_args()
    vault = options.state / "secrets"

    admin = Admin(options.admin_url, options.admin_email, read(vault / "admin-password") or "")
    user = seed_user(admin, vault)
    for name, (platform, _, _) in SEEDS.items():
        group, _ = admin.find_or_create("groups", "name", {"name": name, "platform": platform})
        seed_account(admin, name, group, options.simulator_url)
        seed_key(admin, name, user, group, vault)
    await_workers(options.gateway_url, read(vault / "key-anthropic") or "")


try:
    main()
except Refused as refusal:
    sys.exit(f"    {refusal}")
