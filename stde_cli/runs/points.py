"""Files of points and of values, .npy, .csv and .npz, read and written a batch at a time."""

import csv
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TextIO, runtime_checkable

import numpy as np
from jaxtyping import Float

from stde_cli.runs.slices import Slice
from stde_cli.system.errors import DoesNotFit, UsageError
from stde_cli.system.files import reserve
from stde_cli.system.resources import available_memory_bytes

Batch = Float[np.ndarray, "points dim"]


class PointsFile:
    """The points of a file, of shape (count, dim).

    Raises:
        UsageError: on opening: no such file, another format, the wrong width, or no points; in
            `batches`: a number that is not finite.
    """

    def __init__(self, path: Path, dim: int):
        self.path, self.dim = path, dim
        if not path.is_file():
            raise UsageError("--points", path, "no such file")
        if path.suffix == ".npy":
            self._array = self._open_npy()
            width, self.count = self._array.shape[1], self._array.shape[0]
        elif path.suffix == ".csv":
            self._array = None
            width, self.count = self._scan_csv()
        else:
            raise UsageError("--points", path, "unknown format", "give a .npy or a .csv file")
        if self.count == 0:
            raise UsageError("--points", path, "holds no points")
        if width != dim:
            why = f"its points have {width} coordinates, the run has dim={dim}"
            raise UsageError("--points", path, why)

    def batches(self, size: int) -> Iterator[Batch]:
        start = 0
        for batch in self._slices(size) if self._array is not None else self._rows(size):
            if not np.isfinite(batch).all():
                row = start + int(np.argmin(np.isfinite(batch).all(axis=1)))
                raise UsageError("--points", self.path, f"row {row + 1} is not finite")
            start += len(batch)
            yield batch

    def _open_npy(self) -> np.ndarray:
        try:
            array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError("--points", self.path, f"is no .npy file ({reason})") from error
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            why = f"is an array of shape {array.shape} and type {array.dtype}"
            raise UsageError(
                "--points", self.path, why, f"give numbers of shape (count, {self.dim})"
            )
        return array

    def _slices(self, size: int) -> Iterator[Batch]:
        assert self._array is not None
        for start in range(0, self.count, size):
            yield np.asarray(self._array[start : start + size], np.float64)

    def _scan_csv(self) -> tuple[int, int]:
        """Width and number of rows; a first row without any number is a header."""
        try:
            with self._open_csv() as file:
                rows = filter(None, csv.reader(file))
                first = next(rows, None)
                if first is None:
                    return 0, 0
                self._header = not any(_is_numeric([field]) for field in first)
                return len(first), sum(1 for _ in rows) + (not self._header)
        except (UnicodeDecodeError, csv.Error) as error:
            raise UsageError("--points", self.path, f"is no .csv file ({error})") from error

    def _open_csv(self) -> TextIO:
        # Spreadsheets put a byte order mark in front, which is no part of the first number.
        return self.path.open(newline="", encoding="utf-8-sig")

    def _rows(self, size: int) -> Iterator[Batch]:
        with self._open_csv() as file:
            rows = filter(None, csv.reader(file))
            if self._header:
                next(rows)
            number = 0
            while batch := list(islice(rows, size)):
                for row in batch:
                    number += 1
                    if len(row) != self.dim or not _is_numeric(row):
                        why = f"row {number} is not {self.dim} numbers"
                        raise UsageError("--points", self.path, why)
                yield np.array(batch, np.float64)


@runtime_checkable
class ValuesWriter(Protocol):
    """Takes batches of rows; the file appears under its name only once `close` is called."""

    def write(self, rows: Float[np.ndarray, "points columns"]) -> None: ...

    def close(self) -> None:
        """
        Raises:
            OSError: here and in `write`: there is no room for the values.
        """
        ...

    def abandon(self) -> None: ...


def open_values(path: Path, count: int, columns: Sequence[str]) -> ValuesWriter:
    """A writer of `count` rows to `path`.

    Raises:
        UsageError: the format is unknown or the place cannot be written to.
    """
    return _open(path, {".npy": _NpyWriter, ".csv": _CsvWriter}, count, columns)


def open_grid(path: Path, grid: Slice, columns: Sequence[str]) -> ValuesWriter:
    """A writer of a value a column at each point of a grid: arrays by name, in the grid's shape.

    Raises:
        UsageError: as `open_values`, or the values are more than fit into memory.
    """
    needed, available = 8 * grid.count * len(columns), available_memory_bytes()
    if available is not None and needed > available:
        why = f"{grid.count:,} points take {needed / 1e9:.1f} GB, {available / 1e9:.1f} GB are free"
        raise DoesNotFit("--slice", None, why, "give fewer")
    return _open(path, {".npz": _NpzWriter}, grid, columns)


def _open(path: Path, writers: Mapping[str, Any], *arguments: Any) -> ValuesWriter:
    if path.is_dir():
        raise UsageError("--out", path, "is a directory")
    if path.suffix not in writers:
        mend = f"give a {' or a '.join(writers)} file"
        raise UsageError("--out", path, "unknown format", mend)
    try:
        return writers[path.suffix](path, *arguments)
    except OSError as error:
        raise UsageError("--out", path, f"cannot be written ({error.strerror})") from error


class _Writer(ABC):
    def __init__(self, path: Path):
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial")

    def close(self) -> None:
        self._finish()
        self._partial.replace(self._path)

    def abandon(self) -> None:
        with suppress(OSError):
            self._finish()
        self._partial.unlink(missing_ok=True)

    @abstractmethod
    def _finish(self) -> None:
        """Bring everything written to the partial file."""


class _NpyWriter(_Writer):
    """An array of shape (count, columns)."""

    def __init__(self, path: Path, count: int, columns: Sequence[str]):
        super().__init__(path)
        try:
            self._array = np.lib.format.open_memmap(
                self._partial, mode="w+", dtype=np.float64, shape=(count, len(columns))
            )
            # A write to memory that the disk has no room for would end the process.
            with self._partial.open("r+b") as file:
                reserve(file, self._partial.stat().st_size)
        except OSError:
            self._partial.unlink(missing_ok=True)
            raise
        self._row = 0

    def write(self, rows: np.ndarray) -> None:
        self._array[self._row : self._row + len(rows)] = rows
        self._row += len(rows)

    def _finish(self) -> None:
        self._array.flush()


class _CsvWriter(_Writer):
    """A header of the column names, then a line a point."""

    def __init__(self, path: Path, count: int, columns: Sequence[str]):
        super().__init__(path)
        self._file = self._partial.open("w", newline="")
        self._csv = csv.writer(self._file)
        self._csv.writerow(columns)

    def write(self, rows: np.ndarray) -> None:
        self._csv.writerows([repr(float(value)) for value in row] for row in rows)

    def _finish(self) -> None:
        self._file.close()


class _NpzWriter(_Writer):
    """The values of each axis and of each coordinate that was held, and the columns on the grid."""

    def __init__(self, path: Path, grid: Slice, columns: Sequence[str]):
        super().__init__(path)
        self._file = self._partial.open("wb")
        self._grid, self._columns = grid, columns
        self._rows = np.empty((grid.count, len(columns)))
        self._row = 0

    def write(self, rows: np.ndarray) -> None:
        self._rows[self._row : self._row + len(rows)] = rows
        self._row += len(rows)

    def close(self) -> None:
        arrays = {axis.name: axis.values for axis in self._grid.axes}
        arrays |= {name: np.array(value) for name, value in self._grid.held.items()}
        for name, values in zip(self._columns, self._rows.T, strict=True):
            arrays[name] = values.reshape(self._grid.shape)
        # As np.savez does it, which has arguments of its own that a coordinate may be called.
        with zipfile.ZipFile(self._file, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
        super().close()

    def _finish(self) -> None:
        self._file.close()


def _is_numeric(row: Sequence[str]) -> bool:
    try:
        [float(value) for value in row]
    except ValueError:
        return False
    return True
