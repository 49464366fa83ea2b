"""Adds up what the suites reported and ends with one line: N passed, N failed.

For each NAME.exit (the suite's exit code) in the folder, NAME.xml is its JUnit report; Swift Testing names its own
NAME-swift-testing.xml. A suite that left no report, ran no test, or ended badly without naming a failure counts as one
failure: silence is never success.

usage: summary.py FOLDER
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree


def read_report(path: pathlib.Path) -> tuple[int, int, int]:
    """Passed, failed and skipped tests of a JUnit file."""
    passed = failed = skipped = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def read_log(path: pathlib.Path) -> tuple[int, int, int]:
    """The same from the output of Swift Testing, for a run that crashed before it wrote a report."""
    text = path.read_text(errors="replace") if path.exists() else ""
    count = lambda sign: len(re.findall(rf"^{sign} Test (?!run with).* after ", text, re.MULTILINE))
    return count("✔"), count("✘"), 0


def read_suite(folder: pathlib.Path, name: str) -> tuple[int, int, int, str]:
    exit_code = int((folder / f"{name}.exit").read_text())
    reports = [path for path in (folder / f"{name}-swift-testing.xml", folder / f"{name}.xml") if path.exists()]
    remark = ""
    passed = failed = skipped = 0
    try:
        found = [read_report(path) for path in reports]
    except ElementTree.ParseError:
        found, remark = [], "its report cannot be read"
    if not found:
        log = folder / f"{name}.log"
        signal = re.search(r"unexpected signal code (\d+)", log.read_text(errors="replace")) if log.exists() else None
        if signal is not None:
            remark = f"it was ended by signal {signal[1]}"
        remark = remark or ("it could not run" if exit_code else "it left no report")
        found = [read_log(log)]
        failed += 1
    passed, failed, skipped = (sum(column) + extra for column, extra in zip(zip(*found), (0, failed, 0)))
    if passed + failed + skipped == 0:
        failed, remark = 1, "it ran no test"
    if exit_code != 0 and failed == 0:
        failed, remark = 1, f"it ended with exit code {exit_code}"
    return passed, failed, skipped, remark


def main() -> int:
    folder = pathlib.Path(sys.argv[1])
    totals = [0, 0, 0]
    names = sorted(path.stem for path in folder.glob("*.exit"))
    for name in names:
        *counts, remark = read_suite(folder, name)
        totals = [total + count for total, count in zip(totals, counts)]
        line = f"{counts[0]} passed, {counts[1]} failed" + (f", {counts[2]} skipped" if counts[2] else "")
        print(f"    {name:16} {line}{f' ({remark})' if remark else ''}")
    if not names:
        totals[1] += 1
    passed, failed, skipped = totals
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


sys.exit(main())
