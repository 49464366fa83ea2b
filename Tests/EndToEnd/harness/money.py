"""Exact money: what a call must cost, by the contract's own arithmetic."""

from dataclasses import dataclass
from fractions import Fraction

NANO = 1_000_000_000
CLASSES = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_write_5m": "cache_creation_5m_tokens",
    "cache_write_1h": "cache_creation_1h_tokens",
    "cache_read": "cache_read_tokens",
}
# Parts of the classes above.
MEDIA = {
    "image_input": "image_input_tokens",
    "audio_input": "audio_input_tokens",
    "image_output": "image_output_tokens",
    "audio_output": "audio_output_tokens",
}


def nano(text: str | int | float) -> int:
    """A decimal string of USD as nano-USD."""
    assert isinstance(text, str), f"money must be a decimal string, not {text!r}"
    value = Fraction(text) * NANO
    assert value.denominator == 1, f"{text} has more than nine places"
    return int(value)


@dataclass(frozen=True)
class Rates:
    """USD per million tokens."""

    input: str = "3"
    output: str = "15"
    cache_write_5m: str = "3.75"
    cache_write_1h: str = "6"
    cache_read: str = "0.3"

    # Of those parts of input and output that are no text; None is the price of text.
    image_input: str | None = None
    audio_input: str | None = None
    image_output: str | None = None
    audio_output: str | None = None
    # Of a search, and of a call.
    web_search: str | None = None
    request: str | None = None
    # Of calls that were served in fast mode, or in the United States alone.
    fast: "Rates | None" = None
    us: "Rates | None" = None

    def fields(self) -> dict[str, str | None]:
        fields = {name: getattr(self, name) for name in (*CLASSES, *MEDIA, "web_search", "request")}
        for served in ("fast", "us"):
            if rates := getattr(self, served):
                fields |= {f"{name}_{served}": getattr(rates, name) for name in CLASSES}
        return fields

    def cost(self, tokens: dict, multiplier: str = "1", account_multiplier: str = "1") -> int:
        """Nano-USD for a usage row's tokens: each class is rounded half to even, once."""
        counts = {name: tokens.get(column, 0) for name, column in CLASSES.items()}
        for name, column in MEDIA.items():
            if getattr(self, name) is not None:
                counts[name] = tokens.get(column, 0)
                counts[name.split("_")[1]] -= counts[name]
        terms = [Fraction(count) * Fraction(getattr(self, name)) / 1_000_000 for name, count in counts.items()]
        terms.append(Fraction(tokens.get("web_searches", 0)) * Fraction(self.web_search or 0))
        terms.append(Fraction(self.request or 0))
        return sum(round(term * NANO * Fraction(multiplier) * Fraction(account_multiplier)) for term in terms)
