"""A measured number: its repeats, their median and spread, and how a person and a program read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.table import Table

__all__ = ["Measurement", "build_table"]


@dataclass(frozen=True)
class Measurement:
    """One line of the report.

    Args:
        name: what was measured.
        unit: of the values.
        values: one a repeat, in the order they were taken.
        aim: what the project wants, as a person says it; empty where nothing is promised.
    """

    name: str
    unit: str
    values: Sequence[float]
    aim: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values; the spread is (highest - lowest) / median."""
        middle = median(self.values)
        return {
            "name": self.name,
            "unit": self.unit,
            "median": round(middle, 4),
            "lowest": round(min(self.values), 4),
            "highest": round(max(self.values), 4),
            "spread": round((max(self.values) - min(self.values)) / middle, 4) if middle else 0.0,
            "repeats": len(self.values),
            "aim": self.aim,
        }


def build_table(measurements: Sequence[Measurement]) -> Table:
    """The report as a table."""
    table = Table("what", "median", "from … to", "unit", "repeats", "aim", title="deepsing bench")
    for one in measurements:
        row = one.to_json()
        spread = f"{row['lowest']:.3g} … {row['highest']:.3g}" if row["repeats"] > 1 else ""
        table.add_row(one.name, f"{row['median']:.3g}", spread, one.unit, str(row["repeats"]), one.aim)
    return table
