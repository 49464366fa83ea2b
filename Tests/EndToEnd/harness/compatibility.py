"""Writes docs/COMPATIBILITY.md from what the cells of `test_conformance.py` found."""

import pathlib

from .callers import CALLERS
from .upstreams import UPSTREAMS

HEAD = """# Compatibility

Which client dialect works on which kind of upstream, found by calling through a running stack with the official
`anthropic`, `openai` and `google-genai` packages against the provider simulator. `dev/compatibility` makes this page;
`Tests/EndToEnd/test_conformance.py` says what each case asserts.

- **native**: the upstream is called in the caller's own dialect; its bytes pass through.
- **translated**: the upstream is called in another dialect.
- **refused**: the caller's dialect has no words for it; no such call is made.
"""


class Table:
    def __init__(self) -> None:
        self.cells: dict[tuple[str, str, str], str] = {}

    def add(self, report: object) -> None:
        """Takes what a test recorded as `cell`; a test that failed is said to have."""
        for name, value in report.user_properties:
            if name == "cell" and report.when == "call":
                dialect, upstream, case, found = value
                self.cells[dialect, upstream, case] = found if report.outcome != "failed" else "fails"

    def write(self, path: pathlib.Path, cases: list[str]) -> int:
        """Writes the page; returns how many cells are missing or failed."""
        missing = 0
        lines = [HEAD]
        for dialect in CALLERS:
            lines += [f"\n## {dialect[0].upper()}{dialect[1:]} callers\n", "| case | " + " | ".join(UPSTREAMS) + " |"]
            lines.append("|---" * (len(UPSTREAMS) + 1) + "|")
            for case in cases:
                found = [self.cells.get((dialect, upstream, case), "fails") for upstream in UPSTREAMS]
                missing += found.count("fails")
                lines.append(f"| {case} | " + " | ".join(found) + " |")
        path.write_text("\n".join(lines) + "\n")
        return missing
