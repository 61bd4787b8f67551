"""Tables from a folder of class folders, or from an archive of arrays.

Public data sets of images and texts have one of these forms::

    pets/               reviews/                digits.npz
    ├── cat/            ├── train/              ├── x_train (60000, 28, 28)
    │   ├── 1.jpg       │   ├── good/1.txt      ├── y_train (60000,)
    │   └── 2.jpg       │   └── poor/2.txt      ├── x_test  (10000, 28, 28)
    └── dog/            └── test/               └── y_test  (10000,)
        └── 3.jpg           └── good/3.txt

A part without class folders, or with none of the classes of the training rows, has no labels: Kaggle's test rows.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
import polars as pl
from numpy.lib.npyio import NpzFile

from lamina.data.frames import column_names, from_memory
from lamina.data.memory import check_archive
from lamina.data.pictures import SUFFIXES
from lamina.errors import ReadError

_TRAIN = ("train", "training")
_PARTS = (*_TRAIN, "valid", "validation", "val", "test", "testing")
SPLIT = pl.Enum(_PARTS)
"""The dtype of the column ``split``; a column of the same name with another dtype is no split."""
_IMAGES = re.compile(r"(^|[^a-z])(jpeg)?(image|img|photo|picture|input)s?([^a-z]|$)")
_MASKS = re.compile(r"(^|[^a-z])(mask|label|annotation|segmentation(class|object)?|ground_?truth|gt|target|output)s?([^a-z]|$)")
_STEM = re.compile(r"[^a-z0-9]*(mask|label|seg|segmentation|gt)s?$")  # of the name of a mask, to leave that of its image
_JUNK = ("thumbs.db", "desktop.ini", "__macosx")  # files of Windows and macOS
_NO_FILE = "not a file that can be read (a pipe, a device or a broken link)"
_DAMAGE = (OSError, ValueError, EOFError, RuntimeError, SyntaxError, TokenError, zipfile.BadZipFile, zlib.error)


# Folders


def read_folder(path: Path, skipped: list[str] | None = None) -> pl.DataFrame:
    """A folder of class folders, or with a folder ``train`` of class folders, and ``test``, ``valid`` or ``val``, as a table.

    All files below a class folder belong to the class. Hidden files are ignored, and so are files beside the class folders,
    unless they are images.

    Args:
        path: The folder.
        skipped: Where a list is given, files that are neither images nor texts, or not those of the folder, or that are not
            UTF-8 are no errors but added to it.

    Returns:
        Columns ``image`` (the whole path of a file) or ``text`` (the content of a .txt file), ``label`` (the name of the class
        folder, missing in a part without labels) and, where another part than ``train`` has labels, ``split`` (the name of
        the part).

    Raises:
        ReadError: No class folders, or an empty one; folders of images and masks; files that are neither images nor texts, or
            both; text that is not UTF-8.
    """
    folders = subfolders(path)
    train = [folder for folder in folders if folder.name.lower() in _TRAIN]
    only_parts = len(folders) > 1 and all(folder.name.lower() in _PARTS for folder in folders)
    if not any(subfolders(folder) or only_parts for folder in train):
        inside, classes = _read_classes(path, folders)
        usable = _usable(path, inside, skipped)
        classes = [classes[place] for place in usable]
        return pl.DataFrame([_column(path, [inside[place] for place in usable]), pl.Series("label", classes)])
    if unexpected := [folder.name for folder in folders if folder.name.lower() not in _PARTS]:
        raise ReadError(
            f"{path}: beside the folder of training rows is {unexpected[0]!r}, expected test, valid or val; move it elsewhere"
        )
    files: list[Path] = []
    labels: list[str | None] = []
    split: list[str] = []
    for folder in sorted(folders, key=lambda folder: folder.name.lower() not in _TRAIN):
        inside, classes = _read_part(folder, SUFFIXES if any(map(_is_image, files)) else (".txt",), set(labels))
        files, labels, split = files + inside, labels + classes, split + [folder.name.lower()] * len(inside)
    usable = _usable(path, files, skipped)
    files, labels, split = [files[i] for i in usable], [labels[i] for i in usable], [split[i] for i in usable]
    columns = [_column(path, files), pl.Series("label", labels, dtype=pl.String)]
    labelled = {part for part, label in zip(split, labels, strict=True) if label is not None}
    return pl.DataFrame([*columns, pl.Series("split", split, dtype=SPLIT)] if len(labelled) > 1 else columns)


def _read_part(folder: Path, suffixes: tuple[str, ...], trained: set[str | None]) -> tuple[list[Path], list[str | None]]:
    """The files and labels of a part; the labels are missing where the part has none of the training classes."""
    classes = subfolders(folder)
    if folder.name.lower() in _TRAIN or trained & {entry.name for entry in classes}:
        files, labels = _read_classes(folder, classes)
        return files, [*labels]
    files = [file for file in files_below(folder) if file.suffix.lower() in suffixes]
    return files, [None] * len(files)


def _is_runs(folder: Path) -> bool:
    """Whether it is the folder of lamina's runs."""
    if folder.name != "runs":
        return False
    return all(run.is_dir() and ((run / "run.json").exists() or not any(run.iterdir())) for run in folder.iterdir())


def subfolders(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir() and not _hidden(entry.name) and not _is_runs(entry))
    except OSError as error:
        raise ReadError(f"cannot read the folder {path}: {error.strerror}; check its name and permissions") from None


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK


def _read_classes(path: Path, folders: list[Path]) -> tuple[list[Path], list[str]]:
    loose = [entry for entry in sorted(path.iterdir()) if entry.is_file() and not _hidden(entry.name)]
    images = [file for file in loose if _is_image(file)]
    if not folders or images:
        misplaced = images or loose
        noun = f"{'image' if images else 'file'}{'s' if len(misplaced) > 1 else ''}"
        example = f"{misplaced[0].name}{', ...' if len(misplaced) > 1 else ''}" if misplaced else ""
        content = f"{len(misplaced):,} {noun} ({example})" if misplaced else "nothing"
        raise ReadError(
            f"{path} holds {content} {'beside' if folders else 'and no'} class folders; put each class in a folder of its own, "
            "or give a table with a column of paths"
        )
    _refuse_masks(path, folders)
    files, labels = [], []
    for folder in folders:
        inside = files_below(folder)
        if not inside:
            raise ReadError(f"the class folder {folder} holds no files; remove it, or put its images or texts there")
        files, labels = files + inside, labels + [folder.name] * len(inside)
    return files, labels


def _refuse_masks(path: Path, folders: list[Path]) -> None:
    """Raise an error for a folder of images beside one of a mask or of annotations for each of them."""
    images, masks = (next((f for f in folders if word.search(f.name.lower())), None) for word in (_IMAGES, _MASKS))
    if images is None or masks is None or images == masks:
        return
    stems, others = ({_STEM.sub("", file.stem.lower()) for file in files_below(folder)} for folder in (images, masks))
    if others and len(stems & others) >= len(others) / 2:
        raise ReadError(
            f"{path} looks like segmentation or detection: {masks.name} has a file for each image in {images.name}; lamina "
            "predicts a label or numbers for each image, no masks and no boxes. Put each class in a folder of its own, or give "
            "a table with a column of paths and the target"
        )


def files_below(folder: Path) -> list[Path]:
    """The files of a folder and its folders, by name, without hidden ones."""
    if folder.is_symlink() and folder.absolute().parent.is_relative_to(folder.resolve()):
        raise ReadError(f"{folder} is a link to a folder that it is in itself ({folder.resolve()}); remove it")
    files = []
    for root, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not _hidden(name))
        files += [Path(root, name) for name in sorted(names) if not _hidden(name)]
    return files


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _usable(path: Path, files: list[Path], skipped: list[str] | None) -> list[int]:
    """The places of files that can be read; the others are added to ``skipped``, or all are usable if that is None."""
    odd = [place for place, file in enumerate(files) if not file.is_file()]
    if skipped is None:
        if odd:
            raise ReadError(f"{files[odd[0]]} is {_NO_FILE}; remove it, or skip it (skip_bad=True, --skip-bad)")
        return list(range(len(files)))
    odd += [place for place, file in enumerate(files) if not _is_unicode(str(file))]
    whole = sorted(set(range(len(files))) - set(odd))
    images, texts = ([place for place in whole if fits(files[place])] for fits in (_is_image, _is_text))
    usable = images if len(images) >= len(texts) else []
    for place in () if usable else texts:
        with contextlib.suppress(ReadError):
            read_text(files[place])
            usable.append(place)
    kind = "image" if usable == images else "text in UTF-8"
    for place in sorted(set(range(len(files))) - set(usable)):
        name = str(files[place].relative_to(path))
        fault = f"no {kind}" if place not in odd else _NO_FILE if _is_unicode(name) else "a name that is not UTF-8"
        skipped.append(f"{name if _is_unicode(name) else ascii(name)} is {fault}")
    return usable


def _is_unicode(text: str) -> bool:
    """Whether a name is UTF-8, which a table can hold."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def _is_text(file: Path) -> bool:
    return file.suffix.lower() == ".txt"


def _column(path: Path, files: list[Path]) -> pl.Series:
    images = [file for file in files if _is_image(file)]
    texts = [file for file in files if file.suffix.lower() == ".txt"]
    if len(images) + len(texts) < len(files):
        others = sorted(set(files) - {*images, *texts})
        are = "file is neither an image nor a text" if len(others) == 1 else "files are neither images nor texts"
        raise ReadError(
            f"{path}: {len(others):,} {are} ({others[0].relative_to(path)}{', ...' if len(others) > 1 else ''}); "
            f"move them elsewhere (images: {' '.join(SUFFIXES)}; texts: .txt), or skip them (skip_bad=True, --skip-bad)"
        )
    if images and texts:
        raise ReadError(
            f"{path} mixes {len(images):,} images ({images[0].relative_to(path)}, ...) and {len(texts):,} texts "
            f"({texts[0].relative_to(path)}, ...); keep one of the two, or give a table with a column of each"
        )
    return pl.Series("image", map(os.path.abspath, images)) if images else pl.Series("text", map(read_text, texts))


def read_text(path: Path) -> str:
    """The text of a file; ReadError if it is not UTF-8."""
    if path.exists() and not path.is_file():
        raise ReadError(f"{path} is {_NO_FILE}")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ReadError(f"cannot read {path}: {error.strerror}; check its permissions") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ReadError(f"{path}, line {line}: {not_utf8(path, error.object, error.start)}") from None


_ENCODINGS = ("CP1252", "CP1250", "CP1251", "MACINTOSH", "CP932", "GB18030", "BIG5", "CP949")
"""Encodings of files by their names for iconv, which Python knows too."""


def not_utf8(path: Path, text: bytes, place: int) -> str:
    """The fault of a byte that is not UTF-8, with what other encodings read there, and the remedy."""
    readings: dict[str, str] = {}
    for encoding in _ENCODINGS:
        with contextlib.suppress(UnicodeDecodeError):
            text.decode(encoding)
            around = " ".join(text[max(0, place - 12) : place + 12].decode(encoding, errors="ignore").split())
            if around.isprintable():
                readings.setdefault(around, encoding)
    known = ", ".join(f"{encoding} reads {around!r}" for around, encoding in readings.items()) or "no common encoding reads it"
    name, better = shlex.quote(path.name), shlex.quote(f"utf8_{path.name}")
    command = f"iconv -f {next(iter(readings.values()), 'ENCODING')} -t utf-8 {name} > {better}"
    return (
        f"byte 0x{text[place]:02x} is not UTF-8 ({known}); convert the file from the encoding that reads correctly, "
        f"for example: {command}"
    )


# Archives


def read_arrays(path: Path) -> pl.DataFrame:
    """An archive of NumPy arrays (.npz) as a table: every array is a column, its first axis the rows.

    Of two axes, an array of ``k`` columns named ``x`` becomes the columns ``x_0`` to ``x_(k-1)``; of three or four it is one
    column of series or images. Names such as ``x_train`` and ``x_test``, or ``train_images`` and ``test_images``, are stacked
    into one column ``x`` or ``images``, and a column ``split`` has the part of each row.

    Raises:
        ReadError: It is no archive of arrays, holds Python objects, or its arrays do not fit together.
    """
    arrays = _load(path)
    parts = {name: part for name in arrays if (part := _part(name))}
    if len(parts) < len(arrays) or not any(part in _TRAIN for _, part in parts.values()):
        _same_lengths(path, arrays)
        return _table(path, arrays)
    split: dict[str, dict[str, np.ndarray]] = {}
    for name, (column, part) in parts.items():
        split.setdefault(part, {})[column] = arrays[name]
    first, names = next((part, columns) for part, columns in split.items() if part in _TRAIN)
    for part, columns in split.items():
        if differing := sorted(set(columns) ^ set(names)):
            raise ReadError(
                f"{path} has {differing[0]!r} for only one of {first!r} and {part!r}; give each part the same arrays"
            )
        _same_lengths(path, {f"{name} of {part}": array for name, array in columns.items()})
    stacked = {name: _stacked(path, name, {part: columns[name] for part, columns in split.items()}) for name in names}
    part_of_row = np.repeat(list(split), [len(next(iter(columns.values()))) for columns in split.values()])
    return _table(path, stacked, pl.Series("split", part_of_row, dtype=SPLIT))


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file:
            check_archive(path, file)
            with _archive(path, file) as archive:
                arrays = {name: _array(path, name, archive) for name in archive.files}
    except OSError as error:
        raise ReadError(f"cannot read {path}: {error.strerror}; check its name and permissions") from None
    if not arrays:
        raise ReadError(f"{path} holds no arrays; write it with numpy.savez(path, x=..., y=...)")
    return arrays


def _archive(path: Path, file: BinaryIO) -> NpzFile:
    try:
        archive = np.load(file, allow_pickle=False)
    except _DAMAGE as error:
        raise ReadError(
            f"{path} is no archive of arrays ({brief(error)}); write it with numpy.savez(path, x=..., y=...)"
        ) from None
    if isinstance(archive, np.ndarray):
        raise ReadError(f"{path} holds one array and no archive of them; give numpy.load(...) itself")
    return archive


def _array(path: Path, name: str, archive: NpzFile) -> np.ndarray:
    try:
        array = archive[name]
        if isinstance(array, np.ndarray) and array.dtype.kind == "S":
            array = np.char.decode(array, "utf-8")
        if isinstance(array, np.ndarray) and array.dtype.kind == "U" and array.size:
            codes = np.ascontiguousarray(array).reshape(-1).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
            if codes.max() > 0x10FFFF:
                raise ValueError(f"{codes.max()} is no character")
    except MemoryError:
        raise ReadError(f"{path}: the array {name!r} is larger than the memory; keep fewer rows, or write it again") from None
    except _DAMAGE as error:
        if "Object arrays" in str(error):
            raise ReadError(
                f"{path}: the array {name!r} holds Python objects, which may run code when they are read; "
                "save it as numbers or text"
            ) from None
        raise ReadError(f"{path}: the array {name!r} is damaged ({brief(error)}); write or download it again") from None
    if not isinstance(array, np.ndarray) or array.ndim not in (1, 2, 3, 4):
        axes = getattr(array, "ndim", "no")
        raise ReadError(f"{path}: {name!r} has {axes} axes, expected 1 to 4, rows first; leave it out")
    return array


def brief(error: BaseException) -> str:
    """The first line of the message of another library."""
    return str(error).strip().partition("\n")[0][:120] or type(error).__name__


def _part(name: str) -> tuple[str, str] | None:
    """The column and the part in the name of an array, such as x_train or train_images."""
    column, _, part = name.rpartition("_")
    if part.lower() not in _PARTS:
        part, _, column = name.partition("_")
    return (column, part.lower()) if column and part.lower() in _PARTS else None


def _same_lengths(path: Path, arrays: dict[str, np.ndarray]) -> None:
    shortest, longest = (choose(arrays, key=lambda name: len(arrays[name])) for choose in (min, max))
    if len(arrays[shortest]) < len(arrays[longest]):
        raise ReadError(
            f"{path}: the arrays differ in length: {longest!r} has {len(arrays[longest]):,} rows, {shortest!r} "
            f"{len(arrays[shortest]):,}; give each one row per example"
        )


def _stacked(path: Path, name: str, parts: dict[str, np.ndarray]) -> np.ndarray:
    (first, one), *others = parts.items()
    for part, other in others:
        if other.shape[1:] != one.shape[1:]:
            raise ReadError(
                f"{path}: a row of {name!r} has the shape {one.shape[1:]} in {first!r} and {other.shape[1:]} in {part!r}; "
                "give both the same"
            )
    return np.concatenate(list(parts.values()))


def _table(path: Path, arrays: dict[str, np.ndarray], split: pl.Series | None = None) -> pl.DataFrame:
    columns: list[tuple[str, Any]] = []
    for name, array in arrays.items():
        if array.ndim == 2 and array.shape[1] > 1:
            columns += [(f"{name}_{index}", array[:, index]) for index in range(array.shape[1])]
        else:
            columns.append((name, array))
    remedy = "rename an array"
    if split is not None:
        columns.append(("split", split))
        remedy += "; the column 'split' is the part of a row"
    names = column_names([name for name, _ in columns], str(path), remedy)
    return from_memory(dict(zip(names, (values for _, values in columns), strict=True)))
