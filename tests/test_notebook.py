"""What a notebook shows: one line of progress, and results on one screen."""

import sys
from types import SimpleNamespace

import pytest

import lamina
from lamina import Recipe
from lamina.progress import progress
from lamina.train.events import Step

ROWS = {"x": [i * i % 17 + 0.5 for i in range(60)], "g": ["a", "b", "c"] * 20, "y": ["p", "q"] * 30}


@pytest.fixture(scope="module")
def board():
    return lamina.compare(ROWS, "y", families=["constant", "linear"], folds=3, repeats=1, monitor=None)


def test_results_are_one_screen(board):
    model = lamina.fit(ROWS, "y", family="feedforward", recipe=Recipe(epochs=2), monitor=None)
    shown = "Classifier(family=FeedForward(hidden_sizes=(128, 128), members=16), random_state=0, recipe=Recipe(epochs=2))"
    assert repr(model).split() == shown.split()
    assert repr(model.model_).splitlines()[0] == "y (classification: p, q)"
    assert "columns     x (number), g (category)" in repr(model.model_)
    assert repr(model.model_.schema).splitlines()[0].split()[:3] == ["x", "number", "feature"]
    for shown in (model, model.model_, board, board.verdict):
        assert repr(shown).isprintable() or len(repr(shown).splitlines()) < 15
        assert max(map(len, repr(shown).splitlines())) <= 100
    bundle = model._repr_mimebundle_()
    assert "<pre>y (classification: p, q)\nfamily" in bundle["text/html"]
    assert "sk-estimator" in lamina.Classifier()._repr_mimebundle_()["text/html"]
    assert board._repr_html_().startswith(f"<p>{board.verdict.words[:20]}")


def test_progress_in_a_notebook_is_one_line_without_ipywidgets(monkeypatch):
    contents = []

    def display(content, **options):
        assert options == {"raw": True, "display_id": True}
        contents.append(content["text/plain"])
        return SimpleNamespace(update=lambda content, raw: contents.append(content["text/plain"]))

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    with progress(transient=True) as monitor:
        monitor(Step(epoch=0, step=5, steps=10))
    assert contents[0] == "preparing ──────────"
    assert contents[-2:] == ["preparing ━━━━━━━━━━", ""]


def test_a_real_kernel():
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    cells = [
        f"import lamina\nrows = { ({name: list(values) for name, values in ROWS.items()})!r}",
        "lamina.compare(rows, 'y', families=['constant', 'linear'], folds=3, repeats=1)",
        "lamina.fit(rows, 'y', recipe=lamina.Recipe(epochs=2))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    for cell in notebook.cells[1:]:
        line, result = cell.outputs  # no warning
        assert line.output_type == "display_data"
        assert "━━━━━━━━━━" in line.data["text/plain"]
        assert len(line.data["text/plain"].splitlines()) == 1
        assert len(result.data["text/html"]) < 3000
        assert len(result.data["text/plain"].splitlines()) < 15
