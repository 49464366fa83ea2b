"""The four client dialects as their official packages speak them, each asked for the same things."""

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import anthropic
import openai
from google import genai
from google.genai import errors as genai_errors
from google.genai import types

# One transparent pixel.
IMAGE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
TOOLS = {
    "get_weather": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
    "get_time": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
}


class StreamFailed(Exception):
    """A stream that ended with the dialect's own event for an error, which the package hands on as an event."""


@dataclass
class Question:
    model: str
    text: str = "Hello"
    tools: bool = False
    image: bool = False
    thinking: bool = False
    stop: list[str] = field(default_factory=list)
    max_tokens: int = 2000


@dataclass
class ToolCall:
    id: str
    name: str
    arguments: dict


@dataclass
class Answer:
    text: str = ""
    thinking: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    # The dialect's own word for why it ended.
    stop: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    # The turn as the dialect wants it back.
    turn: object = None


class Caller(ABC):
    """One dialect. `stops` are its words for: the end, a limit of tokens, tool calls, a stop sequence."""

    dialect: str
    stops: dict[str, str]
    can_stop = True
    shows_thinking = True
    # Every class of exception of the package that means that the call failed.
    failures: tuple[type[Exception], ...]

    @abstractmethod
    def ask(self, question: Question, answered: tuple[Answer, dict[str, str]] | None = None) -> Answer:
        """A whole answer; `answered` are an earlier one's calls with their results, by id."""

    @abstractmethod
    def stream(self, question: Question, into: Answer) -> Iterator[str]:
        """The pieces of the text as they come; `into` has the whole when they are over."""

    @abstractmethod
    def status(self, failure: Exception) -> int | None:
        """The status of a failed call."""


class AnthropicCaller(Caller):
    dialect = "anthropic"
    stops = {"end": "end_turn", "length": "max_tokens", "tools": "tool_use", "stop": "stop_sequence"}
    failures = (anthropic.APIError,)

    def __init__(self, url: str, key: str) -> None:
        self.client = anthropic.Anthropic(api_key=key, base_url=url, max_retries=0, timeout=60)

    def _body(self, question: Question, answered: tuple[Answer, dict[str, str]] | None = None) -> dict:
        content: list[dict] = [{"type": "text", "text": question.text}]
        if question.image:
            data = base64.b64encode(IMAGE).decode()
            source = {"type": "base64", "media_type": "image/png", "data": data}
            content.append({"type": "image", "source": source})
        messages: list[dict] = [{"role": "user", "content": content}]
        if answered:
            first, results = answered
            messages.append({"role": "assistant", "content": first.turn})
            blocks = [{"type": "tool_result", "tool_use_id": id, "content": text} for id, text in results.items()]
            messages.append({"role": "user", "content": blocks})
        body: dict = {"model": question.model, "max_tokens": question.max_tokens, "messages": messages}
        if question.tools:
            body["tools"] = [{"name": name, "input_schema": schema} for name, schema in TOOLS.items()]
        if question.thinking:
            body["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        if question.stop:
            body["stop_sequences"] = question.stop
        return body

    def ask(self, question: Question, answered: tuple[Answer, dict[str, str]] | None = None) -> Answer:
        return self._read(self.client.messages.create(**self._body(question, answered)), Answer())

    def _read(self, message: anthropic.types.Message, answer: Answer) -> Answer:
        answer.text = "".join(block.text for block in message.content if block.type == "text")
        answer.thinking = "".join(block.thinking for block in message.content if block.type == "thinking")
        answer.calls = [
            ToolCall(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"
        ]
        answer.stop = message.stop_reason
        answer.model = message.model
        answer.input_tokens = message.usage.input_tokens
        answer.output_tokens = message.usage.output_tokens
        answer.turn = message.content
        return answer

    def stream(self, question: Question, into: Answer) -> Iterator[str]:
        with self.client.messages.stream(**self._body(question)) as stream:
            yield from stream.text_stream
            self._read(stream.get_final_message(), into)

    def status(self, failure: Exception) -> int | None:
        return getattr(failure, "status_code", None)


class ChatCaller(Caller):
    dialect = "openai chat"
    stops = {"end": "stop", "length": "length", "tools": "tool_calls", "stop": "stop"}
    shows_thinking = False
    failures = (openai.APIError,)

    def __init__(self, url: str, key: str) -> None:
        self.client = openai.OpenAI(api_key=key, base_url=url + "/v1", max_retries=0, timeout=60)

    def _body(self, question: Question, answered: tuple[Answer, dict[str, str]] | None = None) -> dict:
        content: list[dict] = [{"type": "text", "text": question.text}]
        if question.image:
            url = "data:image/png;base64," + base64.b64encode(IMAGE).decode()
            content.append({"type": "image_url", "image_url": {"url": url}})
        messages: list = [{"role": "user", "content": content}]
        if answered:
            first, results = answered
            messages.append(first.turn)
            messages += [{"role": "tool", "tool_call_id": id, "content": text} for id, text in results.items()]
        body: dict = {"model": question.model, "messages": messages, "max_completion_tokens": question.max_tokens}
        if question.tools:
            body["tools"] = [
                {"type": "function", "function": {"name": name, "parameters": schema}}
                for name, schema in TOOLS.items()
            ]
        if question.thinking:
            body["reasoning_effort"] = "high"
        if question.stop:
            body["stop"] = question.stop
        return body

    def ask(self, question: Question, answered: tuple[Answer, dict[str, str]] | None = None) -> Answer:
        completion = self.client.chat.completions.create(**self._body(question, answered))
        choice = completion.choices[0]
        return Answer(
            text=choice.message.content or "",
            calls=[
                ToolCall(call.id, call.function.name, json.loads(call.function.arguments))
                for call in choice.message.tool_calls or []
            ],
            stop=choice.finish_reason,
            model=completion.model,
            input_tokens=completion.usage.prompt_tokens,
            output_tokens=completion.usage.completion_tokens,
            turn=choice.message,
        )

    def stream(self, question: Question, into: Answer) -> Iterator[str]:
        calls: dict[int, list[str]] = {}
        with self.client.chat.completions.create(
            **self._body(question), stream=True, stream_options={"include_usage": True}
        ) as stream:
            for chunk in stream:
                into.model = chunk.model
                if chunk.usage:
                    into.input_tokens = chunk.usage.prompt_tokens
                    into.output_tokens = chunk.usage.completion_tokens
                for choice in chunk.choices:
                    into.stop = choice.finish_reason or into.stop
                    for part in choice.delta.tool_calls or []:
                        call = calls.setdefault(part.index, [part.id or "", part.function.name or "", ""])
                        call[2] += part.function.arguments or ""
                    if choice.delta.content:
                        into.text += choice.delta.content
                        yield choice.delta.content
        into.calls = [ToolCall(id, name, json.loads(text)) for id, name, text in calls.values()]

    def status(self, failure: Exception) -> int | None:
        return getattr(failure, "status_code", None)


class ResponsesCaller(Caller):
    dialect = "openai responses"
    stops = {"end": "completed", "length": "incomplete", "tools": "completed"}
    can_stop = False
    failures = (openai.APIError, StreamFailed)

    def __init__(self, url: str, key: str) -> None:
        self.client = openai.OpenAI(api_key=key, base_url=url + "/v1", max_retries=0, timeout=60)

    def _body(self, question: Question, answered: tuple[Answer, dict[str, str]] | None = None) -> dict:
        content: list[dict] = [{"type": "input_text", "text": question.text}]
        if question.image:
            url = "data:image/png;base64," + base64.b64encode(IMAGE).decode()
            content.append({"type": "input_image", "image_url": url, "detail": "auto"})
        items: list = [{"role": "user", "content": content}]
        if answered:
            first, results = answered
            items += first.turn
            items += [
                {"type": "function_call_output", "call_id": id, "output": text} for id, text in results.items()
            ]
        # Nothing is kept: every turn brings the whole conversation.
        body: dict = {
            "model": question.model, "input": items, "max_output_tokens": question.max_tokens, "store": False,
        }
        if question.tools:
            body["tools"] = [
                {"type": "function", "name": name, "parameters": schema, "strict": False}
                for name, schema in TOOLS.items()
            ]
        if question.thinking:
            body["reasoning"] = {"effort": "high", "summary": "auto"}
            body["include"] = ["reasoning.encrypted_content"]
        return body

    def ask(self, question: Question, answered: tuple[Answer, dict[str, str]] | None = None) -> Answer:
        return self._read(self.client.responses.create(**self._body(question, answered)), Answer())

    def _read(self, response: openai.types.responses.Response, answer: Answer) -> Answer:
        answer.text = response.output_text
        answer.thinking = "".join(
            part.text for item in response.output if item.type == "reasoning" for part in item.summary
        )
        answer.calls = [
            ToolCall(item.call_id, item.name, json.loads(item.arguments))
            for item in response.output if item.type == "function_call"
        ]
        answer.stop = response.status
        answer.model = response.model
        answer.input_tokens = response.usage.input_tokens
        answer.output_tokens = response.usage.output_tokens
        answer.turn = [item.model_dump(exclude_none=True) for item in response.output]
        return answer

    def stream(self, question: Question, into: Answer) -> Iterator[str]:
        with self.client.responses.create(**self._body(question), stream=True) as stream:
            for event in stream:
                if event.type == "response.output_text.delta":
                    yield event.delta
                elif event.type in ("response.completed", "response.incomplete"):
                    self._read(event.response, into)
                elif event.type in ("error", "response.failed"):
                    raise StreamFailed(event.type)

    def status(self, failure: Exception) -> int | None:
        return getattr(failure, "status_code", None)


class GeminiCaller(Caller):
    dialect = "gemini"
    stops = {"end": "STOP", "length": "MAX_TOKENS", "tools": "STOP", "stop": "STOP"}
    failures = (genai_errors.APIError, genai_errors.UnknownApiResponseError)

    def __init__(self, url: str, key: str) -> None:
        self.client = genai.Client(
            api_key=key, vertexai=False, http_options=types.HttpOptions(base_url=url, timeout=60_000)
        )

    def _config(self, question: Question) -> types.GenerateContentConfig:
        config = types.GenerateContentConfig(
            max_output_tokens=question.max_tokens,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        if question.tools:
            config.tools = [
                types.Tool(
                    function_declarations=[
                        types.FunctionDeclaration(name=name, parameters_json_schema=schema)
                        for name, schema in TOOLS.items()
                    ]
                )
            ]
        if question.thinking:
            config.thinking_config = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
        if question.stop:
            config.stop_sequences = question.stop
        return config

    def _contents(
        self, question: Question, answered: tuple[Answer, dict[str, str]] | None = None
    ) -> list[types.Content]:
        parts = [types.Part.from_text(text=question.text)]
        if question.image:
            parts.append(types.Part.from_bytes(data=IMAGE, mime_type="image/png"))
        contents = [types.Content(role="user", parts=parts)]
        if answered:
            first, results = answered
            contents.append(first.turn)
            names = {call.id: call.name for call in first.calls}
            contents.append(
                types.Content(
                    role="user",
                    parts=[
                        types.Part(
                            function_response=types.FunctionResponse(
                                id=id, name=names[id], response={"result": text}
                            )
                        )
                        for id, text in results.items()
                    ],
                )
            )
        return contents

    def ask(self, question: Question, answered: tuple[Answer, dict[str, str]] | None = None) -> Answer:
        answer = Answer()
        self._read(
            self.client.models.generate_content(
                model=question.model, contents=self._contents(question, answered), config=self._config(question)
            ),
            answer,
        )
        return answer

    def _read(self, response: types.GenerateContentResponse, answer: Answer) -> str:
        """Adds what one object says; returns its text."""
        said = ""
        for candidate in response.candidates or []:
            if candidate.finish_reason:
                answer.stop = candidate.finish_reason.value
            if not candidate.content:
                continue
            answer.turn = answer.turn or types.Content(role="model", parts=[])
            for part in candidate.content.parts or []:
                answer.turn.parts.append(part)
                if part.function_call:
                    call = part.function_call
                    answer.calls.append(ToolCall(call.id or call.name, call.name, dict(call.args or {})))
                elif part.text and part.thought:
                    answer.thinking += part.text
                elif part.text:
                    said += part.text
        answer.text += said
        answer.model = response.model_version or answer.model
        if usage := response.usage_metadata:
            answer.input_tokens = usage.prompt_token_count
            answer.output_tokens = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        return said

    def stream(self, question: Question, into: Answer) -> Iterator[str]:
        for response in self.client.models.generate_content_stream(
            model=question.model, contents=self._contents(question), config=self._config(question)
        ):
            if said := self._read(response, into):
                yield said

    def status(self, failure: Exception) -> int | None:
        return getattr(failure, "code", None)


CALLERS: dict[str, type[Caller]] = {
    caller.dialect: caller for caller in (AnthropicCaller, ChatCaller, ResponsesCaller, GeminiCaller)
}
