"""The official `anthropic` package against the gateway: what its users do must work as it does without a gateway."""

import anthropic
import pytest

from harness.tenancy import Tenant


@pytest.fixture
def tenant(shared_tenant: Tenant) -> Tenant:
    return shared_tenant

WEATHER = {
    "name": "get_weather",
    "description": "The weather of a place.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}
CLOCK = {
    "name": "get_time",
    "description": "The time at a place.",
    "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
}


@pytest.fixture
def client(tenant: Tenant, worker: int) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=tenant.key, base_url=tenant.gateway(worker), max_retries=0, timeout=30)


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message(tenant: Tenant, client: anthropic.Anthropic) -> None:
    message = client.messages.create(**tenant.body("i12-o34", text="How are you?"))
    assert message.type == "message"
    assert message.role == "assistant"
    assert message.model == tenant.named("i12-o34")
    assert message.stop_reason == "end_turn"
    assert text_of(message).endswith("How are you?")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (12, 34)
    assert message._request_id


def test_a_bearer_token_in_place_of_the_key(tenant: Tenant, worker: int) -> None:
    client = anthropic.Anthropic(auth_token=tenant.key, base_url=tenant.gateway(worker), max_retries=0)
    assert text_of(client.messages.create(**tenant.body(text="Bearer"))).endswith("Bearer")


def test_a_stream(tenant: Tenant, client: anthropic.Anthropic) -> None:
    body = tenant.body("e25-i7-o50", text="Tell me")
    with client.messages.stream(**body) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert kinds.count("content_block_delta") == 25
    assert message.model == body["model"]
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 50)
    whole = client.messages.create(**body)
    assert whole.stop_reason == message.stop_reason


def test_an_asynchronous_stream(tenant: Tenant, worker: int) -> None:
    import asyncio

    async def run() -> str:
        async with anthropic.AsyncAnthropic(
            api_key=tenant.key, base_url=tenant.gateway(worker), max_retries=0
        ) as client:
            async with client.messages.stream(**tenant.body("e10", text="Async")) as stream:
                return "".join([text async for text in stream.text_stream])

    assert "Async" in asyncio.run(run())


def test_the_whole_text_of_a_stream_is_the_text_of_the_answer(tenant: Tenant, client: anthropic.Anthropic) -> None:
    said = "Grüße aus 東京 🗼 und ein sehr langer Satz, der in viele Stücke geht. " * 20
    with client.messages.stream(**tenant.body(text=said)) as stream:
        streamed = "".join(stream.text_stream)
    assert said.strip() in streamed


def test_parallel_tool_calls_and_their_results(tenant: Tenant, client: anthropic.Anthropic) -> None:
    question = {"role": "user", "content": "use tool get_weather and use tool get_time"}
    fields = {"model": tenant.named(), "max_tokens": 500, "tools": [WEATHER, CLOCK]}
    first = client.messages.create(messages=[question], **fields)
    calls = [block for block in first.content if block.type == "tool_use"]
    assert first.stop_reason == "tool_use"
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert isinstance(calls[0].input["city"], str) and isinstance(calls[0].input["days"], int)
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"result of {call.name}"} for call in calls
    ]
    second = client.messages.create(
        messages=[question, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}],
        **fields,
    )
    assert second.stop_reason == "end_turn"
    for call in calls:
        assert f"{call.id}=result of {call.name}" in text_of(second)


def test_streamed_tool_arguments(tenant: Tenant, client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model=tenant.named(), max_tokens=500, tools=[WEATHER, CLOCK],
        messages=[{"role": "user", "content": "use all tools"}],
    ) as stream:
        parts = [event.delta.partial_json for event in stream
                 if event.type == "content_block_delta" and event.delta.type == "input_json_delta"]
        message = stream.get_final_message()
    calls = {block.name: block.input for block in message.content if block.type == "tool_use"}
    assert set(calls) == {"get_weather", "get_time"}
    assert set(calls["get_weather"]) == {"city", "days"}
    assert len(parts) > len(calls), "the arguments came in pieces"


def test_a_forced_tool(tenant: Tenant, client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        **tenant.body(), tools=[WEATHER, CLOCK], tool_choice={"type": "tool", "name": "get_time"}
    )
    [call] = [block for block in message.content if block.type == "tool_use"]
    assert call.name == "get_time"


def test_thinking_keeps_its_signature_through_a_round_trip(tenant: Tenant, client: anthropic.Anthropic) -> None:
    fields = {
        "model": tenant.named(), "max_tokens": 3000, "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    question = {"role": "user", "content": "Think"}
    first = client.messages.create(messages=[question], **fields)
    thought = first.content[0]
    assert thought.type == "thinking" and thought.thinking and thought.signature
    # The simulator refuses a signature that is not the one it gave with exactly this text.
    second = client.messages.create(
        messages=[question, {"role": "assistant", "content": first.content}, {"role": "user", "content": "Go on"}],
        **fields,
    )
    assert text_of(second).endswith("Go on")


def test_streamed_thinking(tenant: Tenant, client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model=tenant.named(), max_tokens=3000, thinking={"type": "enabled", "budget_tokens": 1024},
        messages=[{"role": "user", "content": "Think"}],
    ) as stream:
        message = stream.get_final_message()
    assert message.content[0].type == "thinking"
    assert message.content[0].signature


def test_stop_sequences(tenant: Tenant, client: anthropic.Anthropic) -> None:
    message = client.messages.create(**tenant.body(text="one STOP two"), stop_sequences=["STOP"])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "STOP")
    assert "two" not in text_of(message)


def test_images_and_documents_pass(tenant: Tenant, client: anthropic.Anthropic) -> None:
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    message = client.messages.create(
        model=tenant.named(), max_tokens=100,
        messages=[{
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": pixel}},
                {"type": "text", "text": "What is this?"},
            ],
        }],
    )
    assert text_of(message).endswith("What is this?")


def test_counting_tokens(tenant: Tenant, client: anthropic.Anthropic) -> None:
    count = client.messages.count_tokens(
        model=tenant.named("i4321"), messages=[{"role": "user", "content": "How many?"}]
    )
    assert count.input_tokens == 4321


def test_counting_tokens_costs_nothing(make_tenant, worker: int) -> None:
    tenant = make_tenant()
    client = anthropic.Anthropic(api_key=tenant.key, base_url=tenant.gateway(worker), max_retries=0)
    client.messages.count_tokens(model=tenant.named(), messages=[{"role": "user", "content": "How many?"}])
    client.messages.create(**tenant.body())
    tenant.rows(1)


def test_models(make_tenant, worker: int) -> None:
    tenant = make_tenant()
    tenant.add_account(model_mapping={"claude-for-you": tenant.named(), f"{tenant.model}*": f"{tenant.model}*"})
    tenant.await_workers()
    client = anthropic.Anthropic(api_key=tenant.key, base_url=tenant.gateway(worker), max_retries=0)
    listed = list(client.models.list())
    assert listed and all(model.type == "model" and model.id and model.display_name for model in listed)
    found = client.models.retrieve(listed[0].id)
    assert found.id == listed[0].id


@pytest.mark.parametrize(
    "words, error, status, kind",
    [
        ("400", anthropic.BadRequestError, 400, "invalid_request_error"),
        ("404", anthropic.NotFoundError, 404, "not_found_error"),
        ("413", anthropic.RequestTooLargeError, 413, "request_too_large"),
        ("429", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("500", anthropic.InternalServerError, 500, "api_error"),
        ("529", anthropic.OverloadedError, 529, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_upstream_errors_become_the_packages_own_exceptions(
    make_tenant, worker: int, words: str, error: type[anthropic.APIStatusError], status: int, kind: str,
    is_stream: bool,
) -> None:
    tenant = make_tenant()
    client = anthropic.Anthropic(api_key=tenant.key, base_url=tenant.gateway(worker), max_retries=0)
    with pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(**tenant.body(words), stream=is_stream)
    failure = raised.value
    assert failure.status_code == status
    assert isinstance(failure, error)
    assert failure.body["type"] == "error"
    assert failure.body["error"]["type"] == kind
    assert failure.response.headers["x-request-id"]
    assert failure.request_id


@pytest.mark.parametrize(
    "words, status", [("401", 502), ("402", 502), ("403", 502), ("401revoked", 502), ("400credit", 502)]
)
def test_refused_credentials_of_an_account_are_not_the_callers_fault(
    make_tenant, worker: int, words: str, status: int
) -> None:
    """A 401 would make the caller's program doubt its own key."""
    tenant = make_tenant()
    client = anthropic.Anthropic(api_key=tenant.key, base_url=tenant.gateway(worker), max_retries=0)
    with pytest.raises(anthropic.InternalServerError) as raised:
        client.messages.create(**tenant.body(words))
    assert raised.value.status_code == status
    text = str(raised.value.body)
    assert "credit balance" not in text and "x-api-key" not in text and "OAuth" not in text


def test_a_bad_key_is_an_authentication_error(tenant: Tenant, worker: int) -> None:
    client = anthropic.Anthropic(api_key="sk-ant-wrong", base_url=tenant.gateway(worker), max_retries=0)
    with pytest.raises(anthropic.AuthenticationError) as raised:
        client.messages.create(**tenant.body())
    assert raised.value.status_code == 401
    assert raised.value.body["error"]["type"] == "authentication_error"


def test_an_error_event_mid_stream_reaches_the_package(tenant: Tenant, client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError) as raised:
        with client.messages.stream(**tenant.body("e10-errevent5")) as stream:
            for _ in stream:
                pass
    assert raised.value.body["error"]["type"] == "overloaded_error"


def test_retries_of_the_package_succeed(tenant: Tenant, worker: int) -> None:
    """The package retries what the gateway says is worth it; the second call goes through."""
    tenant.simulator.arm("500", tenant.accounts[0].secret, count=1)
    client = anthropic.Anthropic(api_key=tenant.key, base_url=tenant.gateway(worker), max_retries=2)
    assert text_of(client.messages.create(**tenant.body(text="Again"))).endswith("Again")
