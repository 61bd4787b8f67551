"""Every Python block of the README and docs runs, each page from top to bottom in one namespace."""

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)
    shutil.copy(ROOT / "examples" / "data" / "adult.parquet", tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize(
    "words",
    [
        *("confusion matrix", "overfitting", "early stopping", "feature importance", "hyperparameter", "callback"),
        *("learning curve", "data augmentation", "transfer learning", "test set", "out-of-distribution"),
    ],
)
def test_what_a_newcomer_searches_for_is_in_the_readme_and_on_a_page(words):
    readme, *pages = (" ".join(re.sub("[*`]", "", page.read_text()).lower().split()) for page in PAGES)
    assert words in readme
    assert any(words in page for page in pages)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_sections(page):
    for file, section in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
        text = ((page.parent / file) if file else page).read_text()
        headings = [
            re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in text.splitlines()
            if line[:1] == "#"
        ]
        assert section in headings, f"{file}#{section}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link
