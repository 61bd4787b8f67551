"""Damaged and odd files: one error line each, no crash, no hang, no memory. ``LAMINA_FUZZ=10000`` reads so many."""

import os
import shutil

from tests import fuzz, fuzz_readers


def test_no_file_crashes_a_reader(tmp_path):
    process, wrong = fuzz.Process("tables"), []
    try:
        for number in range(int(os.environ.get("LAMINA_FUZZ", "150"))):
            folder = tmp_path / "input"
            folder.mkdir()
            answer = process.run(fuzz_readers.write(number, folder))
            if not answer.startswith(("fine", "refused: ")):
                wrong.append((number, answer))
            shutil.rmtree(folder)
    finally:
        process.close()
    assert not wrong
