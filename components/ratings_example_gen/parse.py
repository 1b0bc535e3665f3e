r"""Lines to columns, and to rejected rows with a reason, without a Python loop over rows.

A well-formed line matches one regular expression whose groups are the columns; Arrow runs it over a
whole block of lines at once. Only what does not match is looked at again, to name the first fault in
the order in which `faults` lists them.

Files are Latin-1 with "\n" line ends, as GroupLens ships MovieLens 1M.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schema import features

RATINGS_FILE = "ratings.dat"
MOVIES_FILE = "movies.dat"
USERS_FILE = "users.dat"

LINE = "line"
TEXT = "text"


REJECTED_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("field", pa.string()),
        ("reason", pa.string()),
        ("text", pa.large_binary()),
    ]
)

_ID = r"[0-9]{1,18}"
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"

Predicate = Callable[[pa.LargeBinaryArray], pa.BooleanArray]


@dataclasses.dataclass(frozen=True)
class _Fault:
    """A reason to reject a line, and where it holds."""

    reason: str
    holds: Predicate
    field: str = ""


@dataclasses.dataclass(frozen=True)
class FileFormat:
    """One `::`-separated file: its columns in order, the pattern of a good line, its faults."""

    name: str
    columns: tuple[tuple[str, str, pa.DataType], ...]  # name, pattern, type
    faults: tuple[_Fault, ...]

    @property
    def pattern(self) -> str:
        """A regular expression that matches a good line, one named group a column."""
        fields = "::".join(f"(?P<{name}>{pattern})" for name, pattern, _ in self.columns)
        return rf"\A{fields}\n?\z"


def _matches(pattern: str) -> Predicate:
    return lambda values: pc.match_substring_regex(values, pattern)


def _bad_field(position: int, field: str, reason: str, good: str) -> _Fault:
    """A fault of lines whose field at `position` does not match `good` whole."""

    def holds(lines: pa.LargeBinaryArray) -> pa.BooleanArray:
        fields = pc.split_pattern(pc.replace_substring_regex(lines, r"\n\z", ""), "::")
        return pc.invert(pc.match_substring_regex(pc.list_element(fields, position), rf"\A(?:{good})\z"))

    return _Fault(reason, holds, field)


def _not_latin1(lines: pa.LargeBinaryArray) -> pa.BooleanArray:
    """Where a line has control bytes that no Latin-1 text has, or is UTF-8."""
    utf8 = r"\A(?:[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})*\z"
    not_ascii = pc.match_substring_regex(lines, r"[\x80-\xff]")
    return pc.or_(
        pc.match_substring_regex(lines, r"[\x80-\x9f]"),
        pc.and_(not_ascii, pc.match_substring_regex(lines, utf8)),
    )


def _line_faults(field_count: int, encoding: Predicate) -> tuple[_Fault, ...]:
    return (
        _Fault("blank_line", _matches(r"\A[ \t\r]*\n?\z")),
        _Fault("nul_byte", _matches(r"\x00")),
        _Fault("byte_order_mark", _matches(r"\A(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)")),
        _Fault("crlf_line_end", _matches(r"\r\n?\z")),
        _Fault("header", _matches(r"\A[A-Za-z_ ]+(?:::[A-Za-z_ ]+)+\n?\z")),
        _Fault("bad_encoding", encoding),
        _Fault(
            "wrong_number_of_fields",
            lambda lines: pc.not_equal(pc.count_substring(lines, "::"), field_count - 1),
        ),
    )


_NOT_ASCII = _matches(r"[\x80-\xff]")
_GENRE_LIST = r"[^:|\r\n\x00]+(?:\|[^:|\r\n\x00]+)*"

RATINGS = FileFormat(
    RATINGS_FILE,
    columns=(
        (features.UID.name, _ID, pa.int64()),
        (features.MID.name, _ID, pa.int64()),
        (features.RATING.name, _NUMBER, pa.float64()),
        (features.TIMESTAMP.name, _ID, pa.int64()),
    ),
    faults=(
        *_line_faults(4, _NOT_ASCII),
        _bad_field(0, features.UID.name, "uid_not_a_number", _ID),
        _bad_field(1, features.MID.name, "mid_not_a_number", _ID),
        _bad_field(2, features.RATING.name, "rating_not_a_number", "-?" + _NUMBER),
        _bad_field(2, features.RATING.name, "rating_out_of_range", _NUMBER),
        _bad_field(3, features.TIMESTAMP.name, "bad_timestamp", _ID),
    ),
)

MOVIES = FileFormat(
    MOVIES_FILE,
    columns=(
        (features.MID.name, _ID, pa.int64()),
        (features.TITLE.name, r"[^\r\n\x00]*[^\r\n\x00 ][^\r\n\x00]*?", pa.large_binary()),
        (features.GENRES.name, _GENRE_LIST, pa.large_binary()),
    ),
    faults=(
        *_line_faults(3, _not_latin1),
        _bad_field(0, features.MID.name, "mid_not_a_number", _ID),
        _bad_field(1, features.TITLE.name, "empty_title", ".*[^ ].*"),
        _bad_field(2, features.GENRES.name, "bad_genres", _GENRE_LIST),
    ),
)

USERS = FileFormat(
    USERS_FILE,
    columns=(
        (features.UID.name, _ID, pa.int64()),
        (features.GENDER.name, r"[A-Za-z]+", pa.large_binary()),
        (features.AGE.name, r"[0-9]{1,9}", pa.int64()),
        (features.OCCUPATION.name, r"[0-9]{1,9}", pa.int64()),
        (features.ZIP.name, r"[^:\r\n\x00]*", pa.large_binary()),
    ),
    faults=(
        *_line_faults(5, _NOT_ASCII),
        _bad_field(0, features.UID.name, "uid_not_a_number", _ID),
        _bad_field(1, features.GENDER.name, "bad_gender", "[A-Za-z]+"),
        _bad_field(2, features.AGE.name, "age_not_a_number", "[0-9]{1,9}"),
        _bad_field(3, features.OCCUPATION.name, "occupation_not_a_number", "[0-9]{1,9}"),
    ),
)


def split_lines(data: bytes) -> pa.LargeBinaryArray:
    r"""Return the lines of a block, each with its "\n" (the last may lack one), without a copy."""
    line_feeds = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    offsets = np.concatenate([[0], line_feeds + 1])
    if offsets[-1] != len(data):
        offsets = np.append(offsets, len(data))
    buffers = [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(data)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def rejected(file: str, rows: pa.Table, reason: str, field: str = "") -> pa.Table:
    """Return rows that have `line` and `text` columns as rejected rows of one reason."""
    return pa.table(
        [
            pa.array([file] * len(rows), pa.string()),
            rows[LINE],
            pa.array([field] * len(rows), pa.string()),
            pa.array([reason] * len(rows), pa.string()),
            pc.replace_substring_regex(rows[TEXT], r"\n\z", ""),
        ],
        schema=REJECTED_SCHEMA,
    )


def parse(data: bytes, file: FileFormat, first_line: int = 1) -> tuple[pa.Table, pa.Table]:
    """Parse a block of whole lines.

    Args:
      data: the block's bytes; begins at the start of a line.
      file: which file it is of.
      first_line: number of the block's first line in its file, counted from 1.

    Returns:
      The accepted rows (the file's columns, `line` and `text`) and the rejected ones
      (`REJECTED_SCHEMA`). Together they are as many as the block has lines.
    """
    text = split_lines(data)
    lines = pa.array(np.arange(first_line, first_line + len(text), dtype=np.int64))
    groups = pc.extract_regex(text, file.pattern)
    good = groups.is_valid()
    separators = pc.equal(pc.count_substring(text, "::"), len(file.columns) - 1)
    encoded = pc.invert(next(f for f in file.faults if f.reason == "bad_encoding").holds(text))
    good = pc.and_(pc.and_(good, separators), encoded)
    columns = groups.filter(good).flatten()
    accepted = pa.table(
        {
            **{
                name: column if dtype == pa.large_binary() else column.cast(pa.large_string()).cast(dtype)
                for (name, _, dtype), column in zip(file.columns, columns, strict=True)
            },
            LINE: lines.filter(good),
            TEXT: text.filter(good),
        }
    )
    bad = pc.invert(good)
    rest = pa.table({LINE: lines.filter(bad), TEXT: text.filter(bad)})
    faults = list(_first_faults(rest, file))
    if file is RATINGS:
        accepted, out_of_range = _check_ranges(accepted)
        faults += out_of_range
    return accepted, pa.concat_tables([REJECTED_SCHEMA.empty_table(), *faults])


def _first_faults(rest: pa.Table, file: FileFormat) -> Iterator[pa.Table]:
    """Yield the rejected rows of each fault in turn; a row is yielded for its first fault only."""
    for fault in file.faults:
        if not len(rest):
            return
        mask = fault.holds(rest[TEXT])
        yield rejected(file.name, rest.filter(mask), fault.reason, fault.field)
        rest = rest.filter(pc.invert(mask))
    if len(rest):
        yield rejected(file.name, rest, "malformed_line")


def _check_ranges(accepted: pa.Table) -> tuple[pa.Table, list[pa.Table]]:
    """Move ratings and timestamps outside their range from the accepted rows to the rejected."""
    rating, timestamp = accepted[features.RATING.name], accepted[features.TIMESTAMP.name]
    rating_ok = pc.and_(
        pc.greater_equal(rating, features.MIN_RATING), pc.less_equal(rating, features.MAX_RATING)
    )
    timestamp_ok = pc.and_(pc.greater(timestamp, 0), pc.less_equal(timestamp, features.MAX_TIMESTAMP))
    ok = pc.and_(rating_ok, timestamp_ok)
    return accepted.filter(ok), [
        rejected(
            RATINGS_FILE,
            accepted.filter(pc.invert(rating_ok)),
            "rating_out_of_range",
            features.RATING.name,
        ),
        rejected(
            RATINGS_FILE,
            accepted.filter(pc.and_(rating_ok, pc.invert(timestamp_ok))),
            "bad_timestamp",
            features.TIMESTAMP.name,
        ),
    ]


def drop_repeated(rows: pa.Table, keys: list[str]) -> tuple[pa.Table, pa.Table]:
    """Return the first line of each key, and the others; both come sorted by key."""
    order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in [*keys, LINE]])
    rows = rows.take(order)
    repeated = same_as_before(rows, keys)
    return rows.filter(pa.array(~repeated)), rows.filter(pa.array(repeated))


def same_as_before(rows: pa.Table, keys: list[str]) -> np.ndarray:
    """Return where a row has the key of the row before it, bool[n]."""
    return np.append(np.zeros(1, bool), _same_as_next(rows, keys))[: len(rows)]


def drop_replaced(rows: pa.Table, keys: list[str]) -> pa.Table:
    """Return the last of the rows of each key; they come, and are returned, sorted by key."""
    replaced = np.append(_same_as_next(rows, keys), np.zeros(1, bool))[: len(rows)]
    return rows.filter(pa.array(~replaced))


def _same_as_next(rows: pa.Table, keys: list[str]) -> np.ndarray:
    """Return where a row has the key of the next, bool[n - 1]."""
    return np.logical_and.reduce([np.diff(rows[name].to_numpy()) == 0 for name in keys])


def drop_unknown(rows: pa.Table, name: str, known: pa.Array) -> tuple[pa.Table, pa.Table]:
    """Return the ratings whose id the other file has, and the others."""
    mask = pc.is_in(rows[name], value_set=known)
    return rows.filter(mask), rows.filter(pc.invert(mask))


def latin1_to_utf8(values: pa.Array) -> pa.LargeStringArray:
    """Decode a column of Latin-1 bytes; every byte above 0x7f becomes two."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    values = pa.array(values, pa.large_binary())
    offsets = np.frombuffer(values.buffers()[1], np.int64)[values.offset : values.offset + len(values) + 1]
    data = values.buffers()[2].to_pybytes()[offsets[0] : offsets[-1]] if len(values) else b""
    offsets = offsets - (offsets[0] if len(offsets) else 0)
    widened = np.concatenate([[0], np.cumsum(np.frombuffer(data, np.uint8) > 0x7F)])
    return pa.LargeStringArray.from_buffers(
        len(values),
        pa.py_buffer((offsets + widened[offsets]).astype(np.int64)),
        pa.py_buffer(data.decode("latin-1").encode("utf-8")),
    )
