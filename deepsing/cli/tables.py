"""Tables on standard output: with frames on a terminal, tab-separated with a header line for other programs."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["print_rows"]


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Prints a header and the rows; None is an empty cell."""
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    console = Console()
    if not console.is_terminal:
        print("\n".join("\t".join(row) for row in [columns, *cells]))
        return
    table = Table(*columns, title=title or None)
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)
