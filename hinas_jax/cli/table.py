"""The command `table`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hinas_jax.cli.arguments import parse
from hinas_jax.cli.lines import say, tell
from hinas_jax.cli.mistakes import UsageError
from hinas_jax.tables.budget import Budget
from hinas_jax.tables.correlation import make_correlation
from hinas_jax.tables.definition import NUMBERS, load_table
from hinas_jax.tables.making import make_table
from hinas_jax.tables.pictures import Roots

CORRELATION = "correlation"


@dataclasses.dataclass(frozen=True)
class TableOptions:
    """Make a table of the paper: our rows beside the paper's, each with its protocol. Finished runs are reused."""

    number: Annotated[str, tyro.conf.Positional] = ""
    """1 to 12, or `correlation`: whether the supernet knows which architectures are good."""
    list: bool = False
    """Say what the tables compare, and end."""
    budget: float = 1.0
    """Part of the paper's schedule; below 0.02 nets, patches and test sets shrink too, for minutes on 2 CPU cores."""
    seeds: int = 1
    """How often everything is repeated, from the search on, for a mean and a spread."""
    count: int = 8
    """correlation: how many architectures are drawn and trained."""
    workdir: Path = Path("runs/tables")
    """The folder of all tables. The same command again goes on with an interrupted table."""
    data: Roots = dataclasses.field(default_factory=Roots)


def run(words: list[str]) -> None:
    """Run the command with these arguments."""
    options = parse(TableOptions, words, "table")
    if options.list:
        for number in NUMBERS:
            tell(f"{number:>11}  {load_table(number).title}")
        tell(f"{CORRELATION:>11}  One-hot scores of a supernet against trained networks")
        return
    budget = Budget(options.budget)
    if options.number == CORRELATION:
        options.data.named_tests((), CORRELATION)  # it has none
        written = make_correlation(
            options.workdir, budget=budget, count=options.count, seeds=options.seeds, roots=options.data, say=say
        )
    elif options.number.isdecimal():
        table = load_table(int(options.number))
        make_table(table, options.workdir, budget=budget, seeds=options.seeds, roots=options.data, say=say)
        written = options.workdir / f"table_{table.number}.md"
    else:
        raise UsageError(f"hinas table takes 1 to {NUMBERS[-1]} or {CORRELATION}, not {options.number!r}; see --list")
    tell(written.read_text().rstrip())
    say(f"{written}, with .csv and .json beside it")
