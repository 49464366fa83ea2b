"""The pages say what the sources have: variables, settings and metrics, and every page can be found."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs"
# The cookie of a session has a metric's form.
NO_METRICS = {"tollgate_session"}


def sources(folder: str = "Sources") -> str:
    return "\n".join(path.read_text() for path in sorted((ROOT / folder).rglob("*.swift")))


def page(name: str) -> str:
    return (PAGES / name).read_text()


def test_every_variable_of_the_programs_is_on_a_page() -> None:
    found = set(re.findall(r'"(TOLLGATE_[A-Z_]+)', sources()))
    text = page("CONFIGURATION.md") + page("SIMULATOR.md")
    assert len(found) > 30
    assert sorted(name for name in found if name not in text) == []


def test_every_variable_on_the_page_is_read() -> None:
    named = set(re.findall(r"TOLLGATE_[A-Z_]*[A-Z]", page("CONFIGURATION.md"))) - {"TOLLGATE_OAUTH"}
    text = sources()
    assert sorted(name for name in named if name not in text) == []


def test_the_page_has_exactly_the_metrics_that_are_exported() -> None:
    exported = set(re.findall(r'"(tollgate_[a-z_]+)"', sources())) - NO_METRICS
    assert len(exported) > 40
    assert set(re.findall(r"tollgate_[a-z_]+", page("CONFIGURATION.md"))) == exported


def test_the_page_has_every_field_of_the_setting_gateway_with_its_bounds_and_default() -> None:
    fields = re.findall(r'Field\(name: "(\w+)", range: ([\d_]+)\.\.\.([\d_]+), defaultValue: ([\d_]+)\)', sources())
    assert len(fields) > 10
    rows = {}
    for line in page("CONFIGURATION.md").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|"):
            rows[cells[0].strip("`")] = cells[-2:]
    for name, lowest, highest, default in fields:
        if (lowest, highest) == ("0", "1"):
            wanted = ["true, false", "true" if default == "1" else "false"]
        else:
            wanted = [f"{int(lowest):,}–{int(highest):,}", f"{int(default):,}"]
        assert rows.get(name) == wanted, name


def test_every_setting_is_on_the_page() -> None:
    form = (ROOT / "Sources/ControlPlane/Kit/Admin/Settings/SettingForm.swift").read_text()
    names = re.findall(r'SettingForm\(\s*name: "([\w-]+)"', form) + re.findall(r'\(\s*"(\w+)", \.', form)
    assert {"security", "rules", "session_hours"} <= set(names)
    text = page("CONFIGURATION.md")
    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    pages = [str(path.relative_to(ROOT)) for path in sorted(PAGES.rglob("*.md"))]
    assert [path for path in pages if f"({path})" not in readme] == []


def test_links_between_pages_lead_somewhere() -> None:
    lost = []
    for path in [ROOT / "README.md", *sorted(PAGES.rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
            if not target.startswith("http") and not (path.parent / target).exists():
                lost.append(f"{path.name}: {target}")
    assert lost == []
