"""The admin API as an operator's program uses it."""

import httpx


class AdminError(AssertionError):
    """An answer other than the one expected; the problem document says why."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        self.answer = answer
        super().__init__(f"{answer.request.method} {answer.request.url} answered {answer.status_code}: {answer.text}")


class Admin:
    def __init__(self, url: str, email: str, password: str) -> None:
        self.client = httpx.Client(base_url=url + "/api/v1", timeout=15, trust_env=False)
        session = self.call("POST", "/auth/login", {"email": email, "password": password})
        self.client.headers["authorization"] = f"Bearer {session['token']}"

    def send(self, method: str, path: str, body: object = None, **options: object) -> httpx.Response:
        if body is not None:
            options["json"] = body
        return self.client.request(method, path, **options)

    def call(self, method: str, path: str, body: object = None, **options: object) -> dict:
        answer = self.send(method, path, body, **options)
        if not answer.is_success:
            raise AdminError(answer)
        return answer.json() if answer.content else {}

    def get(self, path: str, **query: object) -> dict:
        return self.call("GET", path, params=query)

    def create(self, resource: str, **fields: object) -> dict:
        return self.call("POST", f"/admin/{resource}", fields)

    def change(self, resource: str, row: dict, **fields: object) -> dict:
        return self.call("PATCH", f"/admin/{resource}/{row['id']}", fields)

    def delete(self, resource: str, row: dict) -> None:
        self.call("DELETE", f"/admin/{resource}/{row['id']}")

    def items(self, resource: str, **query: object) -> list[dict]:
        """Every item of a list, page by page; usage is paged by cursor, the rest by number."""
        found: list[dict] = []
        page = 1
        while True:
            answer = self.get(f"/admin/{resource}", page_size=100, **query)
            found += answer["items"]
            if answer.get("next_cursor"):
                query["cursor"] = answer["next_cursor"]
            elif "total" in answer and answer["items"] and len(found) < answer["total"]:
                page += 1
                query["page"] = page
            else:
                return found
