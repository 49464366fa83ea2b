"""The official `google-genai` package against the gateway: what its users do must work as without a gateway."""

import asyncio
import json
from collections.abc import Callable, Iterator

import pytest
from google import genai
from google.genai import errors, types

from harness.callers import IMAGE, TOOLS
from harness.tenancy import Tenant

DECLARATIONS = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(name=name, parameters_json_schema=schema) for name, schema in TOOLS.items()
    ]
)
NO_CALLING = types.AutomaticFunctionCallingConfig(disable=True)


@pytest.fixture(scope="module")
def gemini_tenant(make_module_tenant: Callable[..., Tenant]) -> Iterator[Tenant]:
    yield make_module_tenant(accounts=[{"platform": "gemini"}], group={"platform": "gemini"}, family="gemini-")


@pytest.fixture
def tenant(gemini_tenant: Tenant) -> Tenant:
    gemini_tenant.forget_calls()
    return gemini_tenant


def client_of(tenant: Tenant, worker: int = 0, key: str | None = None) -> genai.Client:
    options = types.HttpOptions(base_url=tenant.gateway(worker), timeout=30_000)
    return genai.Client(api_key=key or tenant.key, vertexai=False, http_options=options)


@pytest.fixture
def client(tenant: Tenant, worker: int) -> genai.Client:
    return client_of(tenant, worker)


def test_an_answer(tenant: Tenant, client: genai.Client) -> None:
    model = tenant.named("i12-o34-cr8")
    answer = client.models.generate_content(model=model, contents="How are you?")
    assert answer.text.endswith("How are you?")
    assert answer.model_version == model
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    usage = answer.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count) == (20, 34, 54)
    assert usage.cached_content_token_count == 8


def test_a_stream(tenant: Tenant, client: genai.Client) -> None:
    said = "Grüße aus 東京 🗼 und ein langer Satz. " * 10
    model = tenant.named("e25-i7-o50")
    pieces = list(client.models.generate_content_stream(model=model, contents=said))
    assert said.strip() in "".join(piece.text or "" for piece in pieces)
    assert sum(1 for piece in pieces if piece.text) == 25
    assert pieces[-1].usage_metadata.candidates_token_count == 50
    assert {piece.model_version for piece in pieces} == {model}


def test_an_asynchronous_stream(tenant: Tenant, worker: int) -> None:
    async def run() -> str:
        client = client_of(tenant, worker)
        stream = await client.aio.models.generate_content_stream(model=tenant.named("e10"), contents="Async")
        return "".join([piece.text or "" async for piece in stream])

    assert "Async" in asyncio.run(run())


def test_a_conversation_with_calls_thoughts_and_signatures(tenant: Tenant, client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        tools=[DECLARATIONS],
        automatic_function_calling=NO_CALLING,
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=512),
    )
    chat = client.chats.create(model=tenant.named(), config=config)
    first = chat.send_message("use all tools")
    parts = first.candidates[0].content.parts
    assert parts[0].thought and parts[0].text
    assert [call.name for call in first.function_calls] == ["get_weather", "get_time"]
    assert next(part for part in parts if part.function_call).thought_signature
    second = chat.send_message(
        [
            types.Part(
                function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": "fine"})
            )
            for call in first.function_calls
        ]
    )
    assert second.text.count("=fine;") == 2
    # The simulator refuses a signature that is not as it was.
    assert tenant.calls()[-1].status == 200


def test_structured_output_and_settings(tenant: Tenant, client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        response_mime_type="application/json",
        response_json_schema={"type": "object", "properties": {"n": {"type": "integer"}}},
        system_instruction="Be brief.",
        temperature=0.5,
    )
    answer = client.models.generate_content(model=tenant.named(), contents="A number", config=config)
    assert json.loads(answer.text) == {"n": 7}
    body = json.loads(tenant.calls()[-1].body)
    assert body["generationConfig"]["temperature"] == 0.5
    assert body["systemInstruction"]["parts"][0]["text"] == "Be brief."


def test_an_image(tenant: Tenant, client: genai.Client) -> None:
    answer = client.models.generate_content(
        model=tenant.named(), contents=["What is this?", types.Part.from_bytes(data=IMAGE, mime_type="image/png")]
    )
    assert answer.text.endswith("What is this?")
    assert answer.usage_metadata.prompt_token_count > 1000


def test_a_block_for_safety(tenant: Tenant, client: genai.Client) -> None:
    answer = client.models.generate_content(model=tenant.named("refuse"), contents="Hello")
    assert answer.candidates[0].finish_reason == types.FinishReason.SAFETY
    assert not answer.text


def test_tokens_are_counted_and_billed_to_nobody(tenant: Tenant, client: genai.Client) -> None:
    assert client.models.count_tokens(model=tenant.named("i77"), contents="Hello").total_tokens == 77


def test_models_are_listed(tenant: Tenant, client: genai.Client) -> None:
    models = list(client.models.list())
    assert models, "something can be served"
    assert all(model.name.startswith("models/") for model in models)


@pytest.mark.parametrize(("words", "status"), [("400", 400), ("429retry1", 429), ("503", 503)])
@pytest.mark.parametrize("is_stream", [False, True])
def test_an_error_of_the_upstream_is_the_package_s_own(
    make_tenant: Callable[..., Tenant], words: str, status: int, is_stream: bool
) -> None:
    tenant = make_tenant(accounts=[{"platform": "gemini"}], group={"platform": "gemini"}, family="gemini-")
    client = client_of(tenant)
    with pytest.raises(errors.APIError) as caught:
        if is_stream:
            list(client.models.generate_content_stream(model=tenant.named(words), contents="Hello"))
        else:
            client.models.generate_content(model=tenant.named(words), contents="Hello")
    assert caught.value.code == status
    assert caught.value.message and caught.value.status


def test_a_wrong_key_is_refused(tenant: Tenant, worker: int) -> None:
    client = client_of(tenant, worker, key="tg-wrong")
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model=tenant.named(), contents="Hello")
    assert caught.value.code == 401
