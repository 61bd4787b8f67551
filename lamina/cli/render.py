"""Text output of the commands: columns, models, runs and predictions, for 80 columns or a pipe."""

from __future__ import annotations

import dataclasses
import math
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.text import Text

from lamina.cli.scores import show_scores
from lamina.cli.screen import Console, cell, console, short_name, small_table, title
from lamina.cli.shared import plain
from lamina.families import FAMILIES
from lamina.graph.layer import size_text
from lamina.options import bounds
from lamina.tasks.metrics import TITLES
from lamina.train.events import StopReason
from lamina.train.recipe import Recipe
from lamina.wording import count, duration, file_size, number

if TYPE_CHECKING:
    from lamina.data.schema import Column, Schema
    from lamina.graph.plan import Plan
    from lamina.model import Model
    from lamina.tasks.task import Task

MOST_COLUMNS = 20
MOST_ROWS, MOST_LISTED = 20, 8
MOST_LAYERS = 30
_STOPPED = {
    StopReason.EPOCHS: "all epochs done",
    StopReason.PATIENCE: "early stopping after {patience} epochs without improvement",
    StopReason.TIME_LIMIT: "stopped at the time limit of {time_limit:g} s",
    StopReason.DIVERGED: "stopped because the loss diverged",
    StopReason.INTERRUPTED: "stopped by Ctrl-C",
    StopReason.CALLBACK: "stopped by the callback {stopped_by}",
}


# The columns


def show_columns(schema: Schema, task: Task) -> None:
    """Print the target, the kinds of the columns with the reasons, and the ignored columns."""
    out = console()
    used = [column for column in schema.columns if column.role not in ("ignored", "target")]
    out.print(title(f"Target{'s' * (len(task.targets) > 1)}: {plain(', '.join(task.targets))}"), Text(f"({plain(task.title)})"))
    out.print()
    _print_columns(out, used, roles=any(column.role != "feature" for column in used))
    if schema.ignored:
        out.print()
        out.print(title("Ignored columns"))
        _print_columns(out, schema.ignored)
    out.print()


def _print_columns(out: Console, columns: Sequence[Column], *, roles: bool = False) -> None:
    table = small_table("column", "kind", *(["role"] if roles else []), "reason")
    for column in columns[:MOST_COLUMNS]:
        table.add_row(short_name(column.name), column.kind, *([column.role] if roles else []), plain(column.reason))
    out.print(table)
    if rest := Counter(column.kind for column in columns[MOST_COLUMNS:]):
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in rest.most_common())
        out.print(f"and {sum(rest.values()):,} more columns: {kinds}")


# The result


def show_model(model: Model, *, columns: bool = True, plan: bool = False) -> None:
    """Print the summary of a model: columns, network, notes, split, scores, training."""
    out, card = console(), model.card
    if columns:
        show_columns(model.schema, model.task)
    if plan and model.predictor.plan:
        _show_plan(out, model.predictor.plan)
    for note in card["notes"]:
        out.print(Text(f"Note: {plain(note)}"))
    if card["notes"]:
        out.print()
    split = card["split"]
    if split["out_of_bag"]:
        out.print(f"Trained on {split['train']:,} rows, each validated {plain(split['how'])}.")
    else:
        out.print(f"Trained on {split['train']:,} rows, validated on {split['validation']:,} ({plain(split['how'])}).")
    if preprocessing := "; ".join(map(_preprocessing, model.encoder.blocks)):
        out.print(Text(f"Preprocessing: {plain(preprocessing)}."))
    kind = "Network" if model.predictor.plan else "Model"
    about = _first_line(FAMILIES[model.family]) if model.family in FAMILIES else ""
    out.print(f"{kind}: {plain(model.family)}, {card['parameters']:,} {model.predictor.counted}. {about}")
    if why := card.get("why"):  # missing in files of lamina 0.1
        out.print(Text(f"Why: {plain(why)}."))
    if card.get("candidates"):
        show_candidates(card)
    if model.trust is not None:
        out.print(Text(f"Trust: {model.trust.summary()}."))
    out.print()
    show_scores(model.task, {"rows": split["validation"], "scores": card["validation"], **card}, "validation rows")
    out.print()
    if test := card.get("test"):
        show_scores(model.task, test, "test rows, used for nothing else")
        out.print()
    if importance := model.predictor.feature_importance():
        most = sorted(importance.items(), key=lambda pair: -pair[1])[:5]
        features = ", ".join(f"{plain(name)} ({share:.0%})" for name, share in most)
        out.print(Text(f"Most important features: {features}."))
    _show_history(out, card)


def show_candidates(card: Mapping[str, Any]) -> None:
    """A line for each candidate of the fit: loss and score on the validation rows, time, weight, and what became of it."""
    out, candidates = console(), card["candidates"]
    name = str(candidates[0]["metric"])
    metric = TITLES.get(name, name)
    out.print()
    table = small_table("candidate", "rows", "loss", metric, "time", "weight", "", right=(1, 2, 3, 4, 5))
    for one in candidates:
        figures = ("" if value is None else f"{value:.4f}" for value in (one["loss"], one["score"]))
        rows, share = f"{one['rows']:,}" if one["rows"] else "", f"{one['weight']:.0%}" if one["weight"] else ""
        took = duration(one["seconds"]) if one["seconds"] else ""
        table.add_row(plain(one["name"]), rows, *figures, took, share, plain(one["verdict"]))
    out.print(table)
    out.print()


def _preprocessing(block: Any) -> str:
    kinds = {values.kind for values in block.inputs.values()}
    verb = "resized to" if "image" in kinds else "truncated to" if kinds & {"text", "series"} else "encoded as"
    return f"{block.name} {verb} {block.extent}"


def _first_line(cls: type) -> str:
    return re.sub(r" \([^()]*\b(18|19|20)\d\d\b[^()]*\)", "", (cls.__doc__ or "").partition("\n")[0]).replace("``", "")


def _show_plan(out: Console, plan: Plan) -> None:
    out.print(title("The network"))
    table = small_table("layer", "kind", "inputs", "shape", "parameters", right=(3, 4))
    for name, shape in plan.inputs.items():
        table.add_row(name, "Input", "", size_text(shape), "")
    for name in plan.order[:MOST_LAYERS]:
        sources = ", ".join(edge.source + " (delayed)" * bool(edge.delay) for edge in plan.edges[name])
        count = f"{plan.parameters[name]:,}" if plan.parameters[name] else ""
        table.add_row(name, type(plan.layers[name]).__name__, sources, size_text(plan.shapes[name]), count)
    table.add_row("total", "", "", "", f"{plan.parameter_count:,}")
    out.print(table)
    if len(plan.order) > MOST_LAYERS:
        out.print(f"and {len(plan.order) - MOST_LAYERS:,} more layers")
    out.print()


def _show_history(out: Console, card: Mapping[str, Any]) -> None:
    losses = [epoch["validation_loss"] for epoch in card["history"]]
    if not losses:
        out.print(f"Fitted in {duration(card['seconds'])}.")
        return
    best = card["best_epoch"]
    if curve := sparkline(losses):
        out.print(f"Validation loss {curve} from {number(losses[0])} to {number(losses[best])} in epoch {best + 1}.")
    stopped = _STOPPED[card["stopped"]].format_map({**card["recipe"], "stopped_by": card["stopped_by"]})
    trained = f"Trained for {count(len(losses), 'epoch')} in {duration(card['seconds'])}"
    out.print(f"{trained} ({stopped}), weights of epoch {best + 1}.")


def show_card(model: Model, path: Path) -> None:
    """Print the summary of a model file."""
    out, card = console(), model.card
    data, versions = card["data"], ", ".join(f"{name} {version}" for name, version in card["versions"].items())
    out.print(title(f"{plain(path)} ({file_size(path.stat().st_size)})"))
    out.print(
        f"Fitted {card['made']} with lamina {card['lamina']} ({versions}) to {data['rows']:,} rows ({data['fingerprint']})."
    )
    out.print()
    show_model(model, plan=True)


def show_run(about: Mapping[str, Any], epochs: Sequence[Mapping[str, Any]]) -> None:
    """Print the state of a run."""
    console().print(title(plain(about["run"])), Text(f"({about['state']})"))
    rows = {"verb": about["verb"], "target": plain(", ".join(about["targets"])), "data": plain(about["data"])}
    if about["verb"] == "compare":
        total = f" of {about['fits']:,}" if about["fits"] is not None else ""
        rows |= {"candidates": plain(", ".join(about["candidates"])), "fits": f"{about['done']:,}{total}"}
    elif about["verb"] == "tune":
        best = {} if about["best"] is None else {"best score": cell(about["best"])}
        rows |= {"trials": f"{about['done']:,} of {about['trials']:,}", **best}
    else:
        rows["epochs"] = f"{about['epochs']:,}"
    rows |= {f"validation {name}": number(score) for name, score in about["scores"].items()}
    if epochs:
        losses = [epoch["validation_loss"] for epoch in epochs]
        rows["validation loss"] = f"{sparkline(losses)} lowest {number(min(losses))}, last {number(losses[-1])}"
    if about["model"]:
        rows["model"] = plain(about["model"])
    if about["state"] != "finished":
        rows["resume"] = f"lamina resume {quoted(Path(about['run']))}"
    show_pairs(rows)


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """A curve of block characters, with a gap where a value is not finite.

    Example:
        >>> sparkline([4, 2, 1, 1])
        '█▃▁▁'
    """
    if len(values) > width:
        edges = [round(i * len(values) / width) for i in range(width + 1)]
        values = [values[end - 1] for end in edges[1:]]
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return ""
    low, spread = min(finite), (max(finite) - min(finite)) or 1.0
    return "".join("▁▂▃▄▅▆▇█"[round((value - low) / spread * 7)] if math.isfinite(value) else " " for value in values)


def show_paths(model: Path | None, run: Path, *, about: str = "", picture: Path | None = None, resume: str = "") -> None:
    """Print the paths of model, picture and run, and the next commands."""
    rows: dict[str, str] = {}
    if model is not None:
        rows["model"] = f"{plain(model)} ({file_size(model.stat().st_size)}){about}"
    if picture is not None:
        rows["picture"] = plain(picture)
    rows["run"] = plain(run)
    if resume:
        rows["resume"] = resume
    if model is not None:
        rows["next"] = f"lamina predict {quoted(model)} new.csv"
    console().print()
    show_pairs(rows)


def show_pairs(rows: Mapping[str, str]) -> None:
    """Print texts with their names, not wrapped."""
    table = small_table("", "")
    table.show_header = False
    for name, text in rows.items():
        table.add_row(name, text)
    console().print(table, soft_wrap=True)


def quoted(path: Path) -> str:
    """A path quoted for the shell."""
    return shlex.quote(plain(path))


# Predictions


def show_predictions(predictions: pl.DataFrame, columns: Mapping[str, str], table: pl.DataFrame | None = None) -> None:
    """Print the first predictions, whose columns are of these kinds (:func:`lamina.predictions.result_columns`).

    The first columns of ``table`` are shown beside them.
    """
    out, head = console(), predictions.head(MOST_ROWS)
    trust = "is_novel" in columns.values()
    novel = [predictions.get_column(name) for name, kind in columns.items() if kind == "is_novel"]
    probabilities = [name for name, kind in columns.items() if kind == "probability"]
    only_highest = len(probabilities) > (1 if trust else 3)
    shown: list[tuple[str, str, list[Any]]] = []  # kind, title, values
    for name, kind in columns.items():
        values: list[Any] = head.get_column(name).to_list()
        if kind == "probability" and only_highest:
            if name != probabilities[0]:
                continue
            name, values = "probability", head[probabilities].max_horizontal().to_list()
        elif kind == "novelty_p":
            pairs = zip(values, novel[0], strict=False)
            values = [None if p_value is None else f"{p_value:.2g}{' !' * is_novel}" for p_value, is_novel in pairs]
        if kind != "is_novel":
            shown.append((kind, name if table is None or name not in table.columns else f"predicted {name}", values))
    room = out.width - sum(map(_width, shown)) - len("row  ")
    listing = room < 0
    given = predictions[:, :0] if table is None else table
    kept = [("", column.name, column.to_list()) for column in given[:, : MOST_LISTED if listing else 4].head(MOST_ROWS)]
    while kept and not listing and sum(map(_width, kept)) > room:
        kept.pop()
    most_rows = MOST_LISTED if listing else MOST_ROWS
    (_list if listing else _tabulate)(out, kept + shown, most_rows)
    if hidden := given.width - len(kept):
        out.print(f"{hidden:,} more column{'s' * (hidden > 1)} of the data with --out predictions.csv --keep")
    if novel_rows := sum(flags.sum() for flags in novel):
        out.print(f"!: novel, {novel_rows:,} of {len(predictions):,} rows (5 % of rows like the training rows are marked).")
    if len(predictions) > most_rows:
        out.print(f"and {len(predictions) - most_rows:,} more rows; save all with --out predictions.csv")


def _tabulate(out: Console, columns: list[tuple[str, str, list[Any]]], rows: int) -> None:
    """Print a line for each row."""
    texts = [place for place, (kind, _, _) in enumerate(columns, 1) if kind in ("set", "reasons")]
    heads = (short_name(name).plain for _, name, _ in columns)
    lines = small_table("row", *heads, right=set(range(len(columns) + 1)).difference(texts))
    for row, cells in enumerate(zip(*(values[:rows] for _, _, values in columns), strict=True), 1):
        lines.add_row(str(row), *map(cell, cells))
    out.print(lines)


def _list(out: Console, columns: list[tuple[str, str, list[Any]]], rows: int) -> None:
    """Print a line for each value, where the values of a row do not fit on one."""
    for row, cells in enumerate(zip(*(values[:rows] for _, _, values in columns), strict=True), 1):
        lines = small_table(f"row {row}", "")
        for (_, name, _), value in zip(columns, cells, strict=True):
            lines.add_row(short_name(name), cell(value))
        out.print(lines, "")


def _width(column: tuple[str, str, list[Any]]) -> int:
    """The width of a column on the terminal; sets and reasons, which may be folded, need 20."""
    kind, name, values = column
    width = max(map(len, [*short_name(name).plain.split(), *map(cell, values)]), default=0)
    return (min(width, 20) if kind in ("set", "reasons") else width) + 2


# Options


def options_tables() -> None:
    """Print the options for --set, with defaults and bounds."""
    out = console()
    for owner, name, cls in (("recipe", "", Recipe), *(("family", f" --family {name}", cls) for name, cls in FAMILIES.items())):
        out.print(title(f"{owner}.NAME=VALUE{name}"), Text(_first_line(cls), style="dim"))
        table = small_table("name", "default", "meaning")
        for field in dataclasses.fields(cls):  # pyright: ignore[reportArgumentType]
            default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default).lower()
            table.add_row(field.name, default, Text.assemble(field.metadata["help"], (f": {bounds(field)}", "dim")))
        out.print(table)
        out.print()


# JSON


def card(model: Model) -> dict[str, Any]:
    """The card of a model as JSON."""
    about = {**model.task.to_json(), "task": model.task.name}
    about["columns"] = [dataclasses.asdict(column) for column in model.schema.columns]
    about["trust"] = None if model.trust is None else model.trust.summary()
    if model.predictor.plan:
        about["loss"] = model.network.loss
    return about | model.card | {"family": {"name": model.family, **model.card["family"]}}
