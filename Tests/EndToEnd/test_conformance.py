"""Every client dialect on every kind of upstream, by the official packages: the table of docs/COMPATIBILITY.md.

Each cell says how the call went: `native` when the upstream was called in the caller's own dialect, `translated` when
in another, `refused: why` when the caller's dialect has no words for it.
"""

from collections.abc import Callable

import pytest

from harness.admin import Admin
from harness.callers import CALLERS, Answer, Caller, Question
from harness.simulator import Call, Simulator
from harness.stack import Stack
from harness.tenancy import Tenant, unique
from harness.upstreams import UPSTREAMS, Upstream
from harness.waiting import until

pytestmark = pytest.mark.xdist_group("conformance")

NO_STOP = "Responses has no stop sequences"


class Cell:
    """One caller, one upstream."""

    def __init__(self, caller: Caller, upstream: Upstream, tenant: Tenant) -> None:
        self.caller = caller
        self.upstream = upstream
        self.tenant = tenant

    def question(self, words: str = "", **fields: object) -> Question:
        # A tag makes the name this call's own, so that its row and its record can be found.
        return Question(model=self.tenant.named("-".join(filter(None, [words, unique("n")]))), **fields)

    def call(self, question: Question) -> Call:
        """What the simulator received of a question: the last call with that model."""
        # Bedrock's names have a region before and a version behind.
        found = [call for call in self.tenant.calls() if question.model in (call.model or "")]
        assert found, f"no call for {question.model} reached the upstream"
        assert all(call.path.startswith(self.upstream.path) for call in found), [call.path for call in found]
        return found[-1]

    def row(self, question: Question) -> dict:
        def read() -> dict | None:
            rows = self.tenant.admin.items("usage", key_id=self.tenant.key_row["id"], model=question.model)
            assert len(rows) <= 1, rows
            return rows[0] if rows else None

        return until(f"the usage row of {question.model}", read, 20)

    def streamed(self, question: Question) -> Answer:
        answer = Answer()
        text = "".join(self.caller.stream(question, answer))
        assert text == answer.text
        return answer

    @property
    def stop_word(self) -> str:
        """Why an answer ended at a stop sequence. Anthropic's dialect tells that from any other end; for one that knows
        no such sequences the gateway ends the answer itself."""
        return self.caller.stops["stop" if self.upstream.dialect in ("anthropic", "openai responses") else "end"]

    @property
    def expects_thinking(self) -> bool:
        return self.caller.shows_thinking and self.upstream.dialect != "openai chat"


def plain(cell: Cell) -> Question:
    question = cell.question("i12-o34", text="Grüße, \"quoted\" 🥊")
    answer = cell.caller.ask(question)
    assert answer.text.endswith("Grüße, \"quoted\" 🥊")
    assert answer.stop == cell.caller.stops["end"]
    assert answer.model == question.model
    assert (answer.input_tokens, answer.output_tokens) == (12, 34)
    row = cell.row(question)
    assert (row["input_tokens"], row["output_tokens"], row["end"]) == (12, 34, "complete")
    return question


def stream(cell: Cell) -> Question:
    question = cell.question("i12-o34-e25", text="Tell me")
    answer = Answer()
    pieces = list(cell.caller.stream(question, answer))
    assert len(pieces) == 25
    assert "Tell me" in answer.text
    assert answer.stop == cell.caller.stops["end"]
    assert answer.model == question.model
    assert (answer.input_tokens, answer.output_tokens) == (12, 34)
    row = cell.row(question)
    assert (row["input_tokens"], row["output_tokens"], row["stream"]) == (12, 34, True)
    return question


def tools(cell: Cell) -> Question:
    question = cell.question(text="use tool get_weather", tools=True)
    for answer in (cell.caller.ask(question), cell.streamed(question)):
        assert [(call.name, call.arguments) for call in answer.calls] == [
            ("get_weather", {"city": "sim city", "days": 7})
        ]
        assert answer.stop == cell.caller.stops["tools"]
    return question


def parallel_tools(cell: Cell) -> Question:
    question = cell.question(text="use all tools", tools=True)
    for answer in (cell.caller.ask(question), cell.streamed(question)):
        assert [call.name for call in answer.calls] == ["get_weather", "get_time"]
        assert answer.calls[1].arguments == {"zone": "sim zone"}
        assert len({call.id for call in answer.calls}) == 2
    return question


def tool_results(cell: Cell) -> Question:
    question = cell.question(text="use all tools", tools=True)
    first = cell.caller.ask(question)
    # The results come after the text that asked for the calls, so nothing is called again.
    results = {call.id: f"result of {call.name}" for call in first.calls}
    second = cell.caller.ask(question, (first, results))
    for name in ("get_weather", "get_time"):
        assert f"=result of {name};" in second.text, second.text
    assert second.stop == cell.caller.stops["end"]
    return question


def image(cell: Cell) -> Question:
    question = cell.question(text="What is this?", image=True)
    assert cell.caller.ask(question).text.endswith("What is this?")
    assert b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB" in cell.call(question).body
    return question


def thinking(cell: Cell) -> Question:
    question = cell.question(text="Think hard", thinking=True, max_tokens=4000)
    for answer in (cell.caller.ask(question), cell.streamed(question)):
        assert answer.text.endswith("Think hard")
        assert bool(answer.thinking) == cell.expects_thinking
    return question


def stop_sequence(cell: Cell) -> Question:
    question = cell.question(text="one STOP two", stop=["STOP"])
    for answer in (cell.caller.ask(question), cell.streamed(question)):
        assert answer.text.endswith("one ")
        assert answer.stop == cell.stop_word
    return question


def long_output(cell: Cell) -> Question:
    question = cell.question("b300000")
    assert len(cell.caller.ask(question).text) == 300_000
    assert len(cell.streamed(question).text) == 300_000
    return question


def error(cell: Cell) -> Question:
    question = cell.question("400")
    for ask in (cell.caller.ask, cell.streamed):
        with pytest.raises(cell.caller.failures) as failure:
            ask(question)
        assert cell.caller.status(failure.value) == 400
        assert "token" in str(failure.value) or "too long" in str(failure.value)
    return question


def mid_stream_error(cell: Cell) -> Question:
    question = cell.question("e8-errevent4")
    pieces = []
    with pytest.raises(cell.caller.failures):
        for piece in cell.caller.stream(question, Answer()):
            pieces.append(piece)
    assert len(pieces) == 4
    assert cell.row(question)["end"] == "error_event"
    return question


def caller_gone(cell: Cell) -> Question:
    question = cell.question("e40-d50-i12-o34")
    pieces = cell.caller.stream(question, Answer())
    assert next(pieces)
    pieces.close()
    row = cell.row(question)
    # The rest is read on, to bill what the upstream bills.
    assert (row["end"], row["input_tokens"], row["output_tokens"]) == ("caller_gone", 12, 34)
    assert cell.call(question).end == "complete"
    return question


CASES: dict[str, Callable[[Cell], Question]] = {
    "plain": plain,
    "stream": stream,
    "tools": tools,
    "parallel tools": parallel_tools,
    "tool result round trip": tool_results,
    "image": image,
    "thinking": thinking,
    "stop sequence": stop_sequence,
    "long output": long_output,
    "error": error,
    "mid-stream error": mid_stream_error,
    "caller gone": caller_gone,
}


@pytest.fixture(scope="module")
def tenant_of(
    stack: Stack, admin: Admin, simulator: Simulator, make_module_tenant: Callable[..., Tenant]
) -> Callable[[Upstream], Tenant]:
    made: dict[str, Tenant] = {}

    def get(upstream: Upstream) -> Tenant:
        if upstream.name not in made:
            made[upstream.name] = make_module_tenant(
                accounts=[
                    {
                        "platform": upstream.platform,
                        "type": upstream.type,
                        "credentials": {"base_url": simulator.url + upstream.base_path, **upstream.credentials},
                    }
                ],
                group={"platform": upstream.platform},
                family=upstream.family,
            )
        return made[upstream.name]

    return get


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("dialect", CALLERS)
def test_cell(
    dialect: str, upstream: str, case: str, tenant_of: Callable[[Upstream], Tenant], record_property: Callable
) -> None:
    kind = UPSTREAMS[upstream]
    caller = CALLERS[dialect]
    if case == "stop sequence" and not caller.can_stop:
        record_property("cell", [dialect, upstream, case, f"refused: {NO_STOP}"])
        pytest.skip(NO_STOP)
    tenant = tenant_of(kind)
    cell = Cell(caller(tenant.gateway(), tenant.key), kind, tenant)
    cell.call(CASES[case](cell))
    record_property("cell", [dialect, upstream, case, "native" if dialect == kind.dialect else "translated"])
