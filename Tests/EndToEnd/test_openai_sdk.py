"""The official `openai` package against the gateway: what its users do must work as it does without a gateway."""

import asyncio
import json
from collections.abc import Callable, Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageToolCall

from harness.callers import TOOLS
from harness.money import nano
from harness.tenancy import Tenant

CHAT_TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in TOOLS.items()
]
RESPONSES_TOOLS = [
    {"type": "function", "name": name, "parameters": schema, "strict": False} for name, schema in TOOLS.items()
]


@pytest.fixture(scope="module")
def openai_tenant(make_module_tenant: Callable[..., Tenant]) -> Iterator[Tenant]:
    yield make_module_tenant(accounts=[{"platform": "openai"}], group={"platform": "openai"}, family="gpt-")


@pytest.fixture
def tenant(openai_tenant: Tenant) -> Tenant:
    openai_tenant.forget_calls()
    return openai_tenant


@pytest.fixture
def client(tenant: Tenant, worker: int) -> openai.OpenAI:
    return openai.OpenAI(api_key=tenant.key, base_url=tenant.gateway(worker) + "/v1", max_retries=0, timeout=30)


def ask(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


# Chat completions


def test_a_completion(tenant: Tenant, client: openai.OpenAI) -> None:
    model = tenant.named("i12-o34-cr8-rt5")
    completion = client.chat.completions.create(model=model, messages=ask("How are you?"))
    assert completion.object == "chat.completion"
    assert completion.model == model
    assert completion.choices[0].finish_reason == "stop"
    assert completion.choices[0].message.content.endswith("How are you?")
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (20, 34)
    assert completion.usage.prompt_tokens_details.cached_tokens == 8
    assert completion.usage.completion_tokens_details.reasoning_tokens == 5
    assert completion._request_id


def test_a_stream_has_usage_only_when_asked(tenant: Tenant, client: openai.OpenAI) -> None:
    model = tenant.named("e25-i7-o50")
    silent = list(client.chat.completions.create(model=model, messages=ask("Tell me"), stream=True))
    assert all(chunk.usage is None for chunk in silent)
    assert all(chunk.choices for chunk in silent), "the chunk that was asked for on the way is kept from the caller"
    assert sum(1 for chunk in silent if chunk.choices[0].delta.content) == 25
    asked = list(
        client.chat.completions.create(
            model=model, messages=ask("Tell me"), stream=True, stream_options={"include_usage": True}
        )
    )
    assert asked[-1].choices == []
    assert (asked[-1].usage.prompt_tokens, asked[-1].usage.completion_tokens) == (7, 50)
    for call in tenant.calls():
        assert json.loads(call.body)["stream_options"] == {"include_usage": True}


def test_the_stream_helper(tenant: Tenant, client: openai.OpenAI) -> None:
    said = "Grüße aus 東京 🗼 und ein sehr langer Satz. " * 20
    with client.chat.completions.stream(model=tenant.named(), messages=ask(said)) as stream:
        for _ in stream:
            pass
        completion = stream.get_final_completion()
    assert said.strip() in completion.choices[0].message.content


def test_an_asynchronous_stream(tenant: Tenant, worker: int) -> None:
    async def run() -> str:
        async with openai.AsyncOpenAI(
            api_key=tenant.key, base_url=tenant.gateway(worker) + "/v1", max_retries=0
        ) as client:
            stream = await client.chat.completions.create(
                model=tenant.named("e10"), messages=ask("Async"), stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert "Async" in asyncio.run(run())


def test_parallel_tool_calls_and_their_results(tenant: Tenant, client: openai.OpenAI) -> None:
    messages: list = ask("use tool get_weather and use tool get_time")
    first = client.chat.completions.create(model=tenant.named(), messages=messages, tools=CHAT_TOOLS)
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    calls: list[ChatCompletionMessageToolCall] = message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert json.loads(calls[0].function.arguments) == {"city": "sim city", "days": 7}
    messages.append(message)
    messages += [{"role": "tool", "tool_call_id": call.id, "content": f"result of {call.id}"} for call in calls]
    second = client.chat.completions.create(model=tenant.named(), messages=messages, tools=CHAT_TOOLS)
    for call in calls:
        assert f"{call.id}=result of {call.id}" in second.choices[0].message.content


def test_structured_output(tenant: Tenant, client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    completion = client.chat.completions.create(
        model=tenant.named(), messages=ask("A number"),
        response_format={"type": "json_schema", "json_schema": {"name": "number", "schema": schema}},
    )
    assert json.loads(completion.choices[0].message.content) == {"n": 7}


def test_a_refusal(tenant: Tenant, client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model=tenant.named("refuse"), messages=ask("Hello"))
    assert completion.choices[0].message.refusal
    assert completion.choices[0].message.content is None


# Responses


def test_a_response(tenant: Tenant, client: openai.OpenAI) -> None:
    model = tenant.named("i12-o34-rt5")
    response = client.responses.create(model=model, input="How are you?")
    assert response.status == "completed"
    assert response.model == model
    assert response.output_text.endswith("How are you?")
    assert (response.usage.input_tokens, response.usage.output_tokens) == (12, 34)
    assert response.usage.output_tokens_details.reasoning_tokens == 5


def test_a_stream_of_a_response(tenant: Tenant, client: openai.OpenAI) -> None:
    with client.responses.stream(model=tenant.named("e25"), input="Tell me") as stream:
        events = list(stream)
        response = stream.get_final_response()
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(numbers)
    assert sum(event.type == "response.output_text.delta" for event in events) == 25
    assert "Tell me" in response.output_text


def test_a_conversation_goes_on_by_id(tenant: Tenant, client: openai.OpenAI) -> None:
    first = client.responses.create(
        model=tenant.named(), input="use all tools", tools=RESPONSES_TOOLS
    )
    calls = [item for item in first.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    second = client.responses.create(
        model=tenant.named(), previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "fine"} for call in calls],
    )
    for call in calls:
        assert f"{call.call_id}=fine;" in second.output_text
    again = client.responses.retrieve(second.id)
    assert again.output_text == second.output_text
    assert again.model == second.model


def test_a_response_of_another_key_is_not_found(
    tenant: Tenant, client: openai.OpenAI, make_tenant: Callable[..., Tenant]
) -> None:
    response = client.responses.create(model=tenant.named(), input="Mine")
    other = make_tenant(accounts=[{"platform": "openai"}], group={"platform": "openai"}, family="gpt-")
    stranger = openai.OpenAI(api_key=other.key, base_url=other.gateway() + "/v1", max_retries=0)
    with pytest.raises(openai.NotFoundError):
        stranger.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        stranger.responses.create(model=other.named(), input="Yours", previous_response_id=response.id)


def test_reasoning_is_sent_back(tenant: Tenant, client: openai.OpenAI) -> None:
    fields = {
        "model": tenant.named(), "reasoning": {"effort": "high", "summary": "auto"}, "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    first = client.responses.create(input="Think", **fields)
    assert first.output[0].type == "reasoning"
    turn = [item.model_dump(exclude_none=True) for item in first.output]
    second = client.responses.create(input=[*ask("Think"), *turn, *ask("Go on")], **fields)
    assert second.output_text.endswith("Go on")


# The rest


def test_embeddings(tenant: Tenant, client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=tenant.named("i9"), input=["one", "two", "one"])
    vectors = [item.embedding for item in answer.data]
    assert vectors[0] == vectors[2] != vectors[1]
    assert answer.usage.prompt_tokens == 9


def test_embeddings_of_a_gemini_account(make_tenant: Callable[..., Tenant]) -> None:
    tenant = make_tenant(accounts=[{"platform": "gemini"}], group={"platform": "gemini"}, family="gemini-")
    client = openai.OpenAI(api_key=tenant.key, base_url=tenant.gateway() + "/v1", max_retries=0, timeout=30)
    model = tenant.named("i9")
    # The package asks for vectors in base 64 unless it is told otherwise.
    for wanted in ({}, {"encoding_format": "float"}, {"dimensions": 4}):
        answer = client.embeddings.create(model=model, input=["one", "two", "one"], **wanted)
        vectors = [item.embedding for item in answer.data]
        assert vectors[0] == vectors[2] != vectors[1]
        assert len(vectors[0]) == wanted.get("dimensions", 8)
        assert answer.model == model
        assert answer.usage.prompt_tokens == 9
    assert {call.path for call in tenant.calls()} == {"/v1beta/openai/embeddings"}
    rows = tenant.rows(3)
    assert [row["input_tokens"] for row in rows] == [9, 9, 9]
    assert [nano(row["cost"]) for row in rows] == [tenant.rates.cost({"input_tokens": 9})] * 3


def test_embeddings_where_there_are_none(make_tenant: Callable[..., Tenant]) -> None:
    tenant = make_tenant()
    client = openai.OpenAI(api_key=tenant.key, base_url=tenant.gateway() + "/v1", max_retries=0, timeout=30)
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=tenant.named(), input="one")
    assert caught.value.param == "model"


def test_models_are_listed(tenant: Tenant, client: openai.OpenAI) -> None:
    models = list(client.models.list())
    assert models, "something can be served"
    assert all(model.object == "model" for model in models)


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        ("400", openai.BadRequestError),
        ("429retry1", openai.RateLimitError),
        ("500", openai.InternalServerError),
    ],
)
def test_an_error_of_the_upstream_is_the_package_s_own(
    make_tenant: Callable[..., Tenant], words: str, failure: type[openai.APIStatusError]
) -> None:
    tenant = make_tenant(accounts=[{"platform": "openai"}], group={"platform": "openai"}, family="gpt-")
    client = openai.OpenAI(api_key=tenant.key, base_url=tenant.gateway() + "/v1", max_retries=0)
    for stream in (False, True):
        with pytest.raises(failure) as caught:
            client.chat.completions.create(model=tenant.named(words), messages=ask("Hello"), stream=stream)
        assert caught.value.body["message"]
        tenant = make_tenant(accounts=[{"platform": "openai"}], group={"platform": "openai"}, family="gpt-")
        client = openai.OpenAI(api_key=tenant.key, base_url=tenant.gateway() + "/v1", max_retries=0)


def test_a_wrong_key_is_an_authentication_error(tenant: Tenant, worker: int) -> None:
    client = openai.OpenAI(api_key="tg-wrong", base_url=tenant.gateway(worker) + "/v1", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model=tenant.named(), messages=ask("Hello"))
    assert caught.value.code == "invalid_api_key"
