"""What a benchmark found, as rows: printed as a table, kept as JSON, shown in the README."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

RESULTS = Path(__file__).parent / "results.json"
README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True)
class Figure:
    """One comparison. `ratio` is ours / reference; without a reference `ours` meets the target."""

    benchmark: str
    what: str
    ours: float
    unit: str
    target: float
    at_least: bool = True
    reference: float | None = None
    against: str = ""
    ratio: float | None = None
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure reaches its target."""
        value = self.ours if self.ratio is None else self.ratio
        return value >= self.target if self.at_least else value <= self.target

    def cells(self) -> list[str]:
        """Return the texts of one row of the table."""
        sign = "≥" if self.at_least else "<"
        unit = " ×" if self.ratio is not None else f" {self.unit}"
        return [
            self.benchmark,
            self.what,
            f"{_number(self.ours)} {self.unit}",
            f"{_number(self.reference)} ({self.against})" if self.reference is not None else "",
            f"{self.ratio:.2f}" if self.ratio is not None else "",
            f"{sign} {_number(self.target)}{unit}",
            "yes" if self.met else "NO",
            self.note,
        ]


HEADINGS = ["benchmark", "what", "ours", "reference", "ratio", "target", "met", "note"]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table with aligned columns."""
    rows = [HEADINGS, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    rows.insert(1, ["-" * width for width in widths])
    texts = [
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(f"| {text} |" for text in texts)


def machine() -> str:
    """Describe the machine in one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    return (
        f"{os.cpu_count()} cores ({model}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def load(path: Path = RESULTS) -> dict[str, list[Figure]]:
    """Return the kept figures by benchmark; empty when there are none."""
    if not path.exists():
        return {}
    known = {field.name for field in fields(Figure)}
    rows = json.loads(path.read_text())["figures"]
    kept: dict[str, list[Figure]] = {}
    for row in rows:
        figure = Figure(**{name: value for name, value in row.items() if name in known})
        kept.setdefault(figure.benchmark, []).append(figure)
    return kept


def keep(measured: Sequence[Figure], order: Sequence[str], path: Path = RESULTS) -> list[Figure]:
    """Replace the kept figures of the measured benchmarks; return all that are kept now."""
    kept = load(path)
    for name in {figure.benchmark for figure in measured}:
        kept[name] = [figure for figure in measured if figure.benchmark == name]
    rows = [figure for name in order for figure in kept.get(name, [])]
    document = {
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "load_average_after": os.getloadavg()[0],
        "figures": [{**asdict(figure), "met": figure.met} for figure in rows],
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return rows


def write_readme(results: Path = RESULTS, readme: Path = README) -> None:
    """Put the kept figures and the machine between the marks of the README."""
    document = json.loads(results.read_text())
    rows = [figure for figures in load(results).values() for figure in figures]
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    shown = f"Measured {document['measured']} on {document['machine']}.\n\n{table(rows)}"
    readme.write_text(f"{before}{BEGIN}\n\n{shown}\n\n{END}{after}", encoding="utf-8")
