"""The admin API for the scripts here: Python's own library is all it needs."""

import json
import os
import pathlib
import urllib.error
import urllib.parse
import urllib.request


class Refused(Exception):
    """An answer that was not the one asked for."""


# No proxy of the environment stands between us and loopback.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(method: str, url: str, body: object = None, headers: dict[str, str] | None = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=dict(headers or {}))
    if data is not None:
        patching = method == "PATCH"
        request.add_header("content-type", "application/merge-patch+json" if patching else "application/json")
    try:
        with opener.open(request, timeout=15) as answer:
            text = answer.read()
            return json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        detail = error.read().decode(errors="replace")
        raise Refused(f"{method} {url} answered {error.code}: {detail}") from None
    except OSError as error:
        raise Refused(f"{method} {url}: {error}") from None


class Admin:
    def __init__(self, url: str, email: str, password: str) -> None:
        self.base = url + "/api/v1"
        session = call("POST", self.base + "/auth/login", {"email": email, "password": password})
        self.headers = {"authorization": f"Bearer {session['token']}"}

    def call(self, method: str, path: str, body: object = None) -> dict:
        return call(method, self.base + path, body, self.headers)

    def find(self, resource: str, field: str, value: str) -> dict | None:
        """The one whose field has exactly this value; `q` only narrows the list."""
        query = urllib.parse.urlencode({"q": value, "page_size": 100})
        items = self.call("GET", f"/admin/{resource}?{query}")["items"]
        return next((item for item in items if item[field] == value), None)

    def find_or_create(self, resource: str, field: str, fields: dict) -> tuple[dict, bool]:
        found = self.find(resource, field, fields[field])
        if found is not None:
            return found, False
        return self.call("POST", f"/admin/{resource}", fields), True


def keep(path: pathlib.Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def read(path: pathlib.Path) -> str | None:
    return path.read_text().strip() or None if path.exists() else None
