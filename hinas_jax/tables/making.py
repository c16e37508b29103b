"""Making a table: the runs that it needs, measured by both protocols, beside what is printed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from hinas_jax.config_forms import ConfigError
from hinas_jax.runs import environment
from hinas_jax.saying import Say
from hinas_jax.tables.budget import Budget, changes
from hinas_jax.tables.definition import RANDOM, Table
from hinas_jax.tables.figures import draw_figures
from hinas_jax.tables.measuring import Measuring
from hinas_jax.tables.networks import Lost, Trained, train_variant
from hinas_jax.tables.pictures import Roots, TestSet, load_test_sets, training_pictures
from hinas_jax.tables.rows import Row, published_rows
from hinas_jax.tables.side_by_side import draw_restorations
from hinas_jax.tables.store import Store
from hinas_jax.tables.writing import write_csv, write_markdown
from hinas_jax.writing import write_whole


def make_table(table: Table, workdir: Path, *, budget: Budget, seeds: int, roots: Roots, say: Say = print) -> list[Row]:
    """Run what is missing, and write table_NUMBER.md, .csv, .json (the manifest) and figures into ``workdir``.

    Args:
        table: the definition.
        workdir: the folder of all tables; their runs are in ``runs`` below and serve every table.
        budget: the part of the paper's schedule.
        seeds: how often everything is repeated, from the search on.
        roots: the pictures.
        say: where lines for people go.

    Returns:
        All rows: the paper's, the literature's, ours.

    A search or a training that diverges does not end the table: its row says so.

    Raises:
        ConfigError: options do not fit.
        PictureError: pictures cannot be used, or are both trained and tested on.
    """
    if seeds < 1:
        raise ConfigError(f"--seeds must be 1 or more, not {seeds}")
    named = roots.named_tests(table.sets, f"table {table.number}")
    started = time.monotonic()
    store = Store(workdir / "runs", say)
    rows = published_rows(table)
    nets: list[Trained] = []
    shrunk: list[str] = []
    data: dict[str, Any] = {}
    tested: dict[int, tuple[TestSet, ...]] = {}  # of each scale
    for paper in table.bases:
        full = roots.apply(paper, budget)
        base = budget.apply(full)
        training = training_pictures(base)
        sets = load_test_sets(training, base, table.sets, named, budget.test_pictures)
        tested[base.task.scale] = sets
        scale = f"x{base.task.scale}: " if len(table.bases) > 1 else ""
        shrunk += [scale + change for change in changes(full, base)]
        name = base.data.root.rstrip("/").rpartition("/")[-1]
        digest, count = training.digest(), len(training)
        del training  # the runs load it for themselves
        words = f"trained on {name} ({count}), tested on " + ", ".join(test.about for test in sets)
        data[f"{base.task.name} x{base.task.scale}"] = {
            "root": base.data.root,
            "training": digest,
            "test": {test.about: test.digest for test in sets},
        }
        measuring = Measuring(table, base, sets, store, seeds, budget, words)
        rows += measuring.rows_without_network()
        own: list[Trained | Lost] = []
        for variant in (*table.variants, RANDOM):
            trained = list(train_variant(table, variant, base, seeds, budget, store))
            rows += measuring.own_rows(trained)
            own += trained
        rows += measuring.difference_rows(own)
        nets += [net for net in own if isinstance(net, Trained)]
    name = f"table_{table.number}"
    figures = draw_figures(table, rows, nets, workdir) + draw_restorations(table, nets, tested, budget, workdir)
    write_markdown(table, rows, workdir / f"{name}.md", budget=budget, shrunk=shrunk, figures=figures)
    write_csv(table, rows, workdir / f"{name}.csv")
    manifest = {
        **environment(),
        "table": table.number,
        "title": table.title,
        "budget": budget.fraction,
        "seeds": seeds,
        "shrunk": shrunk,
        "data": data,
        "seconds": round(time.monotonic() - started, 1),
        "seconds_of_all_runs": round(sum(run.seconds for run in store.used.values()), 1),
        "runs": {folder: run.seconds for folder, run in store.used.items()},
    }
    write_whole(workdir / f"{name}.json", json.dumps(manifest, indent=2) + "\n")
    return rows
