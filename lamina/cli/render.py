"""What a person reads: tables, sentences and small pictures on stdout, right at 80 columns and in a pipe."""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lamina.cli.shared import plain
from lamina.tasks.metrics import TITLES
from lamina.train.events import StopReason
from lamina.wording import number, percent

if TYPE_CHECKING:
    from lamina.data.schema import Schema
    from lamina.graph.plan import Plan
    from lamina.model import Model
    from lamina.tasks.task import Task

MOST_COLUMNS = 20  # columns of the learnt table that are listed one by one
MOST_ROWS = 20
MOST_LAYERS = 30
MOST_IMPORTANT = 15
_BLOCKS = "▁▂▃▄▅▆▇█"
_STOPPED = {
    StopReason.EPOCHS: "all epochs done",
    StopReason.PATIENCE: "stopped as {patience} epochs brought nothing better",
    StopReason.TIME_LIMIT: "stopped by the time limit of {time_limit:g} s",
    StopReason.DIVERGED: "stopped as the loss was no longer a number",
    StopReason.INTERRUPTED: "stopped by Ctrl-C",
    StopReason.CALLBACK: "stopped by the callback {stopped_by}",
}


class _Console(Console):
    def print(self, *objects: Any, **how: Any) -> None:
        """As rich does, without the spaces at the ends of lines, above a progress bar, and letting a broken pipe be raised."""
        with self.capture() as captured:
            super().print(*objects, **how)
        sys.stdout.write(re.sub(r" +$", "", captured.get(), flags=re.MULTILINE))


def console() -> Console:
    """Stdout as it is now."""
    return _Console(highlight=False, markup=False, emoji=False)


def small_table(*heads: str, right: Iterable[int] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place in set(right) else "left", overflow="fold")
    return table


def _name(name: str) -> Text:
    """A column's name, cut where it would crowd out everything else."""
    shown = Text(plain(name), no_wrap=True)
    shown.truncate(28, overflow="ellipsis")
    return shown


def title(text: str) -> Text:
    return Text(text, style="bold")


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 and round(value, 4) else number(value)


# The columns


def show_columns(schema: Schema, task: Task) -> None:
    """What each column was taken for and why; what was left aside."""
    out = console()
    used = [column for column in schema.columns if column.role not in ("ignored", "target")]
    out.print(title(f"To tell: {plain(', '.join(task.targets))}"), Text(f"({plain(task.title)})"))
    out.print()
    roles = any(column.role != "feature" for column in used)
    table = small_table("column", "taken for", *(["role"] if roles else []), "why")
    for column in used[:MOST_COLUMNS]:
        table.add_row(_name(column.name), column.kind, *([column.role] if roles else []), plain(column.reason))
    out.print(table)
    _print_rest(out, used)
    if schema.ignored:
        out.print()
        out.print(title("Left aside"))
        table = small_table("column", "taken for", "why")
        for column in schema.ignored[:MOST_COLUMNS]:
            table.add_row(_name(column.name), column.kind, plain(column.reason))
        out.print(table)
        _print_rest(out, schema.ignored)
    out.print()


def _print_rest(out: Console, columns: Sequence[Any]) -> None:
    rest = Counter(column.kind for column in columns[MOST_COLUMNS:])
    if rest:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in rest.most_common())
        out.print(f"and {sum(rest.values()):,} more columns: {kinds}")


# The result


def show_model(model: Model, *, columns: bool = True, plan: bool = False) -> None:
    """The whole summary of a fit: columns, notes, split, family, result, training."""
    out, card = console(), model.card
    if columns:
        show_columns(model.schema, model.task)
    if plan and model.is_network:
        _show_plan(out, model.net.plan)
    for note in card["notes"]:
        out.print(Text(f"Note: {plain(note)}"))
    if card["notes"]:
        out.print()
    split = card["split"]
    if split["out_of_bag"]:
        out.print(f"Learnt from {split['train']:,} rows; each is validated {plain(split['how'])}.")
    else:
        out.print(f"Learnt from {split['train']:,} rows; {split['validation']:,} others validate ({plain(split['how'])}).")
    if sizes := "; ".join(f"{block.name} to {block.extent}" for block in model.encoder.blocks):
        out.print(Text(f"Brought to size: {plain(sizes)}."))
    what = "Network" if model.is_network else "Family"
    out.print(f"{what}: {model.family}, {card['parameters']:,} {model.predictor.counted}. {_family(model.family)}")
    if why := card.get("why"):  # a file of lamina 0.1 does not say
        out.print(Text(f"Why: {plain(why)}."))
    if model.trust is not None:
        out.print(Text(f"Trust: {model.trust.words()}."))
    out.print()
    show_scores(
        model.task, {"rows": split["validation"], "scores": card["validation"], **card}, "rows that it did not learn from"
    )
    out.print()
    if importance := model.predictor.feature_importance():
        most = sorted(importance.items(), key=lambda pair: -pair[1])[:5]
        out.print(Text(f"Asked for most: {', '.join(f'{plain(name)} ({share:.0%})' for name, share in most)}."))
    _show_history(out, card)


def show_scores(task: Task, found: Mapping[str, Any], rows: str) -> None:
    """Scores in words, then beside the always-the-same answer, then which class was taken for which."""
    out = console()
    for sentence in task.summary(found["scores"], found["baseline"], f"{found['rows']:,} {rows}"):
        out.print(title(plain(sentence)))
    out.print()
    table = small_table("", "this model", "baseline", right=(1, 2))
    for name, value in found["scores"].items():
        table.add_row(TITLES.get(name, name), *(_figure(figure) for figure in (value, found["baseline"][name])))
    out.print(table)
    for details in task.tables(found):
        out.print()
        out.print(title(details.title))
        table = small_table(*map(plain, details.header), right=range(1, len(details.header)))
        for row in details.rows:
            table.add_row(*map(_name, row))
        out.print(table)


def show_importance(model: Model, matter: pl.DataFrame, *, rows: int) -> None:
    """The columns that the score relies on most, with a bar for each.

    Args:
        model: What was asked.
        matter: As ``Estimator.importance`` gives it.
        rows: How many rows there were to shuffle.
    """
    from lamina.trust.importance import most_rows

    out, score, most = console(), model.task.main_metric, most_rows(model.schema)
    drawn = f"{most:,} of {rows:,} rows, drawn at random" if rows > most else f"{rows:,} rows"
    out.print()
    out.print(title("Which columns matter"))
    out.print(Text(f"How far the {score.title} falls when a column's values are shuffled, in {drawn}."))
    out.print()
    impurity = "impurity" in matter.columns
    table = small_table("column", "", "falls by", "error", *(["impurity"] if impurity else []), right=(2, 3, 4))
    longest = max(matter["importance"].max(), 0.0)  # pyright: ignore[reportArgumentType]
    for name, fall, error, *share in matter.head(MOST_IMPORTANT).iter_rows():
        bar = Bar(longest, 0, max(fall, 0.0), width=20)
        table.add_row(_name(name), bar, f"{fall:.4f}", f"{error:.4f}", *map(percent, share))
    out.print(table)
    if len(matter) > MOST_IMPORTANT:
        out.print(f"and {len(matter) - MOST_IMPORTANT:,} more")
    if impurity:
        out.print("impurity: the column's share in what the trees gained while they learnt")


def _family(name: str) -> str:
    from lamina.families import FAMILIES

    return _first_line(FAMILIES[name]) if name in FAMILIES else ""


def _first_line(cls: type) -> str:
    return re.sub(r" \([^()]*\b(18|19|20)\d\d\b[^()]*\)", "", (cls.__doc__ or "").partition("\n")[0]).replace("``", "")


def _show_plan(out: Console, plan: Plan) -> None:
    from lamina.graph.layer import size_text

    out.print(title("The network"))
    table = small_table("layer", "kind", "reads", "shape", "parameters", right=(3, 4))
    for name, shape in plan.inputs.items():
        table.add_row(name, "Input", "", size_text(shape), "")
    for name in plan.order[:MOST_LAYERS]:
        reads = ", ".join(edge.source + " (delayed)" * bool(edge.delay) for edge in plan.edges[name])
        count = f"{plan.parameters[name]:,}" if plan.parameters[name] else ""
        table.add_row(name, type(plan.layers[name]).__name__, reads, size_text(plan.shapes[name]), count)
    table.add_row("total", "", "", "", f"{plan.parameter_count:,}")
    out.print(table)
    if len(plan.order) > MOST_LAYERS:
        out.print(f"with {len(plan.order) - MOST_LAYERS:,} more layers like these")
    out.print()


def _show_history(out: Console, card: Mapping[str, Any]) -> None:
    losses = [epoch["validation_loss"] for epoch in card["history"]]
    if not losses:
        out.print(f"Fitted in {duration(card['seconds'])}.")
        return
    best = card["best_epoch"]
    curve = sparkline(losses)
    if curve:
        out.print(f"Validation loss {curve} from {number(losses[0])} to {number(losses[best])} in epoch {best + 1}.")
    stopped = _STOPPED[card["stopped"]].format_map({**card["recipe"], "stopped_by": card["stopped_by"]})
    epochs = f"{len(losses):,} epoch{'s' * (len(losses) != 1)}"
    out.print(f"Trained for {epochs} in {duration(card['seconds'])}; {stopped}. The weights are those of epoch {best + 1}.")


def show_card(model: Model, path: Path) -> None:
    """A model as it is kept in a file."""
    out, made = console(), model.card
    data, versions = made["data"], ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    out.print(title(f"{plain(path)} ({size(path.stat().st_size)})"))
    out.print(
        f"Made {made['made']} by lamina {made['lamina']} ({versions}) from {data['rows']:,} rows ({data['fingerprint']})."
    )
    out.print()
    show_model(model, plan=True)


def show_run(about: Mapping[str, Any], epochs: Sequence[Mapping[str, Any]]) -> None:
    """How a run stands."""
    out = console()
    out.print(title(plain(about["run"])), Text(f"({about['state']})"))
    table = small_table("", "")
    table.show_header = False
    table.add_row("verb", about["verb"])
    table.add_row("to tell", plain(", ".join(about["targets"])))
    table.add_row("data", plain(about["data"]))
    if about["verb"] == "compare":
        of = f" of {about['fits']:,}" if about["fits"] is not None else ""
        table.add_row("candidates", plain(", ".join(about["candidates"])))
        table.add_row("fits", f"{about['done']:,}{of}")
    else:
        table.add_row("epochs", f"{about['epochs']:,}")
    for name, score in about["scores"].items():
        table.add_row(f"validation {name}", number(score))
    if epochs:
        losses = [epoch["validation_loss"] for epoch in epochs]
        table.add_row("validation loss", f"{sparkline(losses)} lowest {number(min(losses))}, last {number(losses[-1])}")
    if about["model"]:
        table.add_row("model", plain(about["model"]))
    if about["state"] != "finished":
        table.add_row("go on", f"lamina resume {quoted(Path(about['run']))}")
    out.print(table, soft_wrap=True)


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """A curve of small blocks; a value that is no number leaves a gap.

    Example:
        >>> sparkline([4, 2, 1, 1])
        '█▃▁▁'
    """
    if len(values) > width:
        edges = [round(i * len(values) / width) for i in range(width + 1)]
        values = [values[end - 1] for end in edges[1:]]
    known = [value for value in values if math.isfinite(value)]
    if len(known) < 2:
        return ""
    low, spread = min(known), (max(known) - min(known)) or 1.0
    return "".join(_BLOCKS[round((value - low) / spread * 7)] if math.isfinite(value) else " " for value in values)


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    Example:
        >>> duration(7.4), duration(75), duration(7300)
        ('7.4 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, second = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {second} s" if minutes else f"{second} s"


def show_end(model: Path, run: Path, go_on: str) -> None:
    """Where everything is, and what to type next; ``go_on`` is the command that resumes, "" for a run that is finished."""
    out = console()
    table = small_table("", "")
    table.show_header = False
    table.add_row("model", f"{plain(model)} ({size(model.stat().st_size)})")
    table.add_row("run", plain(run))
    if go_on:
        table.add_row("go on", go_on)
    table.add_row("next", f"lamina predict {quoted(model)} new.csv")
    out.print()
    out.print(table, soft_wrap=True)


def size(count: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def quoted(path: Path) -> str:
    """A path as it is typed into a shell."""
    import shlex

    return shlex.quote(plain(path))


# Predictions


def show_predictions(answers: pl.DataFrame, columns: Mapping[str, str], table: pl.DataFrame | None = None) -> None:
    """The first answers, beside the first columns of their rows when these are to be kept.

    Args:
        answers: As :func:`lamina.predictions.predictions` gives them.
        columns: What each column is, as :func:`lamina.predictions.result_columns` says it.
        table: The rows to show beside them.
    """
    out, head = console(), answers.head(MOST_ROWS)
    trust = "is_novel" in columns.values()
    alarms = [answers.get_column(name) for name, what in columns.items() if what == "is_novel"]
    chances = [name for name, what in columns.items() if what == "probability"]
    likeliest = len(chances) > (1 if trust else 3)
    shown: list[tuple[str, str, list[Any]]] = []  # what it is, its head, its values
    for name, what in columns.items():
        values: list[Any] = head.get_column(name).to_list()
        if what == "probability" and likeliest:
            if name != chances[0]:
                continue
            name, values = "probability" if trust else "its probability", head[chances].max_horizontal().to_list()
        elif what == "novelty_p":
            values = [f"{p_value:.2g}{' !' * alarm}" for p_value, alarm in zip(values, alarms[0], strict=False)]
        if what != "is_novel":
            shown.append((what, name if table is None else f"predicted {name}", values))
    if table is not None:
        shown = [("", column.name, column.to_list()) for column in table[:, :4].head(MOST_ROWS)] + shown
    words = [place for place, (what, _, _) in enumerate(shown, 1) if what in ("set", "reasons")]
    heads = (_name(name).plain for _, name, _ in shown)
    lines = small_table("row", *heads, right=set(range(len(shown) + 1)).difference(words))
    for row, cells in enumerate(zip(*(values for _, _, values in shown), strict=True), 1):
        lines.add_row(str(row), *(_figure(value) if isinstance(value, float) else plain(value) for value in cells))
    out.print(lines)
    if count := sum(alarm.sum() for alarm in alarms):
        out.print(f"!: unlike training, {count:,} of {len(answers):,} rows; of rows like those of training, 5 % are.")
    if len(answers) > MOST_ROWS:
        out.print(f"and {len(answers) - MOST_ROWS:,} more rows; --out predictions.csv keeps them all")


# Options


def options_tables() -> None:
    """All that can be --set: from the declarations of the options themselves."""
    from lamina.families import FAMILIES
    from lamina.options import bounds
    from lamina.train.recipe import Recipe

    out = console()
    for owner, name, cls in (("recipe", "", Recipe), *(("family", f" --family {name}", cls) for name, cls in FAMILIES.items())):
        out.print(title(f"{owner}.NAME=VALUE{name}"), Text(_first_line(cls), style="dim"))
        table = small_table("name", "default", "meaning")
        for field in dataclasses.fields(cls):  # pyright: ignore[reportArgumentType]
            default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default).lower()
            table.add_row(field.name, default, Text.assemble(field.metadata["help"], (f": {bounds(field)}", "dim")))
        out.print(table)
        out.print()


# Cards for machines


def card(model: Model) -> dict[str, Any]:
    """Everything that is known about a model, as plain values."""
    columns = [dataclasses.asdict(column) for column in model.schema.columns]
    task = model.task
    about = {**task.to_json(), "task": task.name, "columns": columns}
    about["trust"] = None if model.trust is None else model.trust.words()
    if model.is_network:
        about["loss"] = model.network.loss
    return about | model.card | {"family": {"name": model.family, **model.card["family"]}}
