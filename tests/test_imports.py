"""Imports point down, as docs/architecture.md draws it; siblings on a row do not import each other."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import lamina

ROOT = Path(lamina.__file__).parent
ROWS = [
    ["errors", "version"],
    ["forked"],
    ["functions", "stored"],
    ["migration", "options", "wording"],
    ["data", "graph"],
    ["tasks"],
    ["train"],
    ["families"],
    ["leaks", "trust"],
    ["model"],
    ["fitting"],
    ["embeddings", "predictions", "progress", "store", "stream"],
    ["starting"],
    ["runs"],
    ["distillation"],
    ["estimator"],
    ["estimators"],
    ["comparison"],
    ["callbacks", "tuning"],
    ["api"],
    ["cli"],
    ["__main__"],
]
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}


def test_imports_point_down():
    wrong = []
    for path in ROOT.rglob("*.py"):
        part = path.relative_to(ROOT).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [node.module]
                if isinstance(node, ast.ImportFrom)
                else [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            for name in names:
                other = (name or "").removeprefix("lamina.").split(".")[0]
                if (name or "").startswith("lamina.") and part != "__init__" and other != part and RANK[other] >= RANK[part]:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_no_import_cycle():
    """Nor one of imports inside of functions or for type checking."""
    files = {".".join(("lamina", *path.relative_to(ROOT).with_suffix("").parts)): path for path in ROOT.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): ast.parse(path.read_text()) for name, path in files.items()}
    imports: dict[str, set[str]] = {}
    for name, tree in modules.items():
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
        full = [(f"{node.module}.{alias.name}", str(node.module)) for node in nodes for alias in node.names]
        plain = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        imports[name] = ({child if child in modules else parent for child, parent in full} | set(plain)) & set(modules) - {name}
    TopologicalSorter(imports).prepare()  # raises CycleError with the cycle


def test_a_fit_leaves_the_compiler_of_torch_alone():
    """Importing it takes longer than a small fit."""
    code = (
        "import sys, lamina; recipe = lamina.Recipe(epochs=2); x = [i / 40 for i in range(40)];"
        "lamina.fit({'x': x, 'y': [v > 0.5 for v in x]}, 'y', family='feedforward', recipe=recipe, monitor=None);"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_files_stay_short():
    assert {path.name: lines for path in ROOT.rglob("*.py") if (lines := len(path.read_text().splitlines())) > 700} == {}
