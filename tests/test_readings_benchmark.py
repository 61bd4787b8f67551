"""The same table through several writers: a model trained on one predicts the same from each other, or refuses it by name."""

from benchmarks import readings

WRITERS = ("CSV by pandas", "US, $ and parentheses", "German, €", "JSON Lines by polars", "polars")
REFUSED = {
    ("CSV by pandas", "German, €"): "column 'ratio' holds ",
    ("CSV by pandas", "US, $ and parentheses"): "column 'people' holds ",
    ("German, €", "CSV by pandas"): "column 'ratio' holds ",
}


def test_what_says_the_same_is_read_the_same(tmp_path):
    results = {result["writer"]: result for result in readings.cross(WRITERS, 100, tmp_path)}
    assert list(results) == list(WRITERS)
    assert not [result for result in results.values() if "error" in result or result["differs"]]
    assert sum(result["identical"] for result in results.values()) >= 12
    for (trained, asked), error in REFUSED.items():
        assert results[trained]["refused"][asked].startswith(error)
    page = readings.render(list(results.values()))
    assert "0 differ." in page
