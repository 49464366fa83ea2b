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

    def fields(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in CLASSES}

    def cost(self, tokens: dict, multiplier: str = "1", account_multiplier: str = "1") -> int:
        """Nano-USD for a usage row's tokens: each class is rounded half to even, once."""
        total = 0
        for name, column in CLASSES.items():
            exact = (
                Fraction(tokens.get(column, 0)) * Fraction(getattr(self, name)) * NANO / 1_000_000
                * Fraction(multiplier) * Fraction(account_multiplier)
            )
            total += round(exact)
        return total
