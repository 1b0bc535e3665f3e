"""How RatingsExampleGen's work is laid out on Beam.

    groups of blocks of ratings.dat -> parse -> by user shard -> one a pair -> split -> join, encode, write
    users.dat, movies.dat -> parse -> side inputs of parse and join, and the catalogue
    one a pair -> who has rated what, of all splits, in the catalogue
    rejected lines of every step -> Parquet

Elements are Arrow tables of a group or a shard, so that what a step holds is bounded by
`ExampleGenConfig.shard_bytes`; only users.dat and movies.dat are held whole, as in any broadcast join.
What lies between two steps is the runner's: Beam's in-memory runner keeps it in memory, others on disk.
Within a shard the records are in the order of their hash, which is as good as shuffled.
"""

import collections
import dataclasses
import io
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf
from apache_beam.pvalue import AsSingleton, TaggedOutput
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

import components.object_store  # noqa: F401  (the dataset may lie in one)
from components import progress
from components.errors import RunStoppedError
from components.ratings_example_gen import counts, parse, split
from components.ratings_example_gen.artifacts import EVALUATION_START, INPUT_FINGERPRINT, INPUTS, SPANS
from components.ratings_example_gen.config import ExampleGenConfig, SplitMethod
from components.ratings_example_gen.counts import RowCounts
from components.ratings_example_gen.facts import RatingFacts, measure
from components.ratings_example_gen.inputs import Inputs
from components.ratings_example_gen.properties import FIRST_RATING, LAST_RATING
from schema import features
from serving import catalogue, rated

_REJECTED = "rejected"
_COUNTED = "counted"
_SPAN = "span"  # column: number of the row's file among those of ratings, oldest span first
_SPLIT = "split"
_COUNT = "count"
_ENCODE_ROWS = 65_536
_BOUNDARY_BYTES = 65_536
_EQUAL_GROUPS = 64  # up to which there is a shard a group; beyond, one more for so many groups:
_GROUPS_A_SHARD = 8


class Executor(base_beam_executor.BaseBeamExecutor):
    """Runs the Beam pipeline, then checks how much was rejected."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the three output artifacts.

        Raises:
          RunStoppedError: more lines of a file were rejected than the configuration allows, or a
            split came out empty.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = ExampleGenConfig.from_json(exec_properties["example_gen_config"])
        inputs = Inputs.from_json(exec_properties[INPUTS])
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        rejected = artifact_utils.get_single_instance(output_dict["rejected_rows"])
        tables = artifact_utils.get_single_instance(output_dict["catalogue"])
        examples.split_names = artifact_utils.encode_split_names(list(split.SPLITS))
        examples.set_string_custom_property(INPUT_FINGERPRINT, exec_properties[INPUT_FINGERPRINT])
        if days := config.days(exec_properties):
            examples.set_string_custom_property(EVALUATION_START, str(days.evaluation_start))
            examples.set_string_custom_property(SPANS, json.dumps(inputs.days))
        for name in split.SPLITS:
            fileio.makedirs(artifact_utils.get_split_uris([examples], name)[0])

        with self._make_beam_pipeline() as pipeline:
            _ = pipeline | IngestRatings(
                input_base=exec_properties["input_base"],
                inputs=inputs,
                config=config,
                examples_uri=examples.uri,
                rejected_uri=rejected.uri,
                catalogue_uri=tables.uri,
            )
        with fileio.open(os.path.join(rejected.uri, counts.COUNTS_FILE), "r") as file:
            files = counts.from_json(file.read())
        _check_rejected(files, inputs, config, rejected.uri, exec_properties["input_base"])
        for name in split.SPLITS:
            if not files[parse.RATINGS_FILE].splits[name]:
                raise RunStoppedError(
                    f"the {name} split is empty: {files[parse.RATINGS_FILE].accepted} accepted ratings "
                    "are too few; give more data, larger split fractions, or of a folder of days more days.",
                    rejected_rows=_keep(rejected.uri),
                )
        ratings = files[parse.RATINGS_FILE]
        for name, time in zip((FIRST_RATING, LAST_RATING), ratings.times, strict=True):
            examples.set_int_custom_property(name, time)
        progress.report(
            1.0,
            f"{ratings.read:,} lines read, {ratings.rejected_total:,} rejected, "
            f"{ratings.replaced:,} replaced",
        )


def _check_rejected(
    files: dict[str, RowCounts],
    inputs: Inputs,
    config: ExampleGenConfig,
    rejected_uri: str,
    input_base: str,
) -> None:
    """Stop the run if a file has too many rejected lines, or the evaluation span, where new days come in."""
    parts = [(name, file, file.read, file.rejected_by_file) for name, file in files.items()]
    if inputs.evaluation:
        ratings = files[parse.RATINGS_FILE]
        read, bad = (
            collections.Counter({name: n[name] for name in inputs.evaluation})
            for n in (ratings.read_by_file, ratings.rejected_by_file)
        )
        parts.append((f"{parse.RATINGS_FILE} of the evaluation span", ratings, read.total(), bad))
    for name, file, lines, bad in parts:
        share = bad.total() / max(lines, 1)
        if share <= config.max_rejected_fraction:
            continue
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in file.rejected.most_common(4))
        hint = ""
        if file.rejected["crlf_line_end"] > file.rejected_total / 2:
            hint = " Convert the file's line ends to \\n (dos2unix)."
        elif file.rejected["bad_encoding"] > file.rejected_total / 2:
            hint = " Convert the file to latin-1 (iconv -t latin1)."
        if inputs.evaluation:
            hint += f" That is of all days; most are in {bad.most_common(1)[0][0]}."
        raise RunStoppedError(
            f"{os.path.join(input_base, name)}: {bad.total():,} of {lines:,} lines rejected "
            f"({share:.2%}, at most {config.max_rejected_fraction:.2%} allowed): {reasons}.{hint}",
            rejected_rows=_keep(rejected_uri),
        )


def _keep(rejected_uri: str) -> str:
    """Move the rejected rows to where they outlive a failure of this node; return where."""
    # The orchestrator deletes a failed node's outputs, and fails itself if one is not there.
    kept = rejected_uri.rstrip("/") + ".kept"
    if fileio.exists(kept):  # of an earlier attempt
        fileio.rmtree(kept)
    fileio.rename(rejected_uri, kept, overwrite=True)
    fileio.makedirs(rejected_uri)
    return kept


@dataclasses.dataclass(frozen=True)
class Block:
    """A range of a file that begins and ends on line boundaries."""

    path: str
    span: int  # number of the file
    number: int  # of the block, among those of all files
    first: int  # number of the file's first block
    start: int  # bytes
    end: int  # bytes

    def read(self) -> bytes:
        """Return the block's bytes."""
        with fileio.open(self.path, "rb") as file:
            file.seek(self.start)
            return file.read(self.end - self.start)


def plan_groups(paths: Iterable[str], group_bytes: int) -> list[tuple[Block, ...]]:
    """Divide files into groups of blocks: several small files, or a part of a large one.

    Small blocks share a group of at most `group_bytes`; one of about that size lies alone.
    """
    groups: list[tuple[Block, ...]] = []
    number, room = 0, 0
    for span, path in enumerate(paths):
        first = number
        for start, end in itertools.pairwise(_boundaries_of(path, group_bytes)):
            block = Block(path, span, number, first, start, end)
            number += 1
            if end - start <= room:
                groups[-1] += (block,)
                room -= end - start
            else:
                groups.append((block,))
                room = group_bytes - (end - start)
    return groups


def count_shards(groups: int) -> int:
    """Return how many shards the users of so many groups are dealt to.

    Each group has a part for each shard: with a shard for each group, the number of parts would grow by the
    square of the data.
    """
    return min(groups, _EQUAL_GROUPS + groups // _GROUPS_A_SHARD)


def _boundaries_of(path: str, block_bytes: int) -> list[int]:
    """Return where the blocks of a file begin, and its size, looking only at the bytes near them."""
    with fileio.open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        size = file.tell()
        boundaries = [0]
        while boundaries[-1] < size:
            position = min(boundaries[-1] + block_bytes, size)
            file.seek(position)
            while position < size:
                chunk = file.read(_BOUNDARY_BYTES)
                line_feed = chunk.find(b"\n")
                if line_feed >= 0:
                    position += line_feed + 1
                    break
                position += len(chunk)
            boundaries.append(position)
    return boundaries


@dataclasses.dataclass
class IngestRatings(beam.PTransform):
    """All of RatingsExampleGen between reading the files and writing the artifacts."""

    input_base: str
    inputs: Inputs
    config: ExampleGenConfig
    examples_uri: str
    rejected_uri: str
    catalogue_uri: str

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Attach the steps to the pipeline; returns the pipeline's last collection (the counts)."""
        names = self.inputs.ratings
        groups = plan_groups([os.path.join(self.input_base, name) for name in names], self.config.shard_bytes)
        paths = {
            parse.USERS_FILE: os.path.join(self.input_base, self.inputs.users),
            parse.MOVIES_FILE: os.path.join(self.input_base, self.inputs.movies),
        }
        users, rejected_users = _side_table(
            pipeline, parse.USERS, features.UID.name, paths[parse.USERS_FILE], self.inputs.users
        )
        movies, rejected_movies = _side_table(
            pipeline, parse.MOVIES, features.MID.name, paths[parse.MOVIES_FILE], self.inputs.movies
        )
        _ = (
            pipeline
            | "CatalogueFolder" >> beam.Create([self.catalogue_uri])
            | "WriteCatalogue" >> beam.Map(_write_catalogue, AsSingleton(users), AsSingleton(movies))
        )

        shards = count_shards(len(groups))
        ratings = pipeline | "Groups" >> beam.Create(groups) | "Spread" >> beam.Reshuffle()
        counted = ratings | "CountLines" >> beam.FlatMap(
            lambda group: [(block, len(parse.split_lines(block.read()))) for block in group]
        )
        line_counts = counted | "LinesByBlock" >> beam.MapTuple(lambda block, n: (block.number, n))
        parsed = ratings | "ParseRatings" >> beam.ParDo(
            _ParseRatings(names, shards),
            beam.pvalue.AsDict(line_counts),
            AsSingleton(users),
            AsSingleton(movies),
        ).with_outputs(_REJECTED, main="rows")
        unique = (
            parsed.rows
            | "ByUser" >> beam.GroupByKey()
            | "OneAPair"
            >> beam.ParDo(_OneAPair(names), AsSingleton(users)).with_outputs(_REJECTED, _COUNTED, main="rows")
        )
        _ = unique.rows | "WriteRated" >> beam.Map(_write_rated, self.catalogue_uri, shards)
        boundaries = (
            unique.rows
            | "RowsByHour" >> beam.Map(lambda rows: _rows_by_hour(rows[1]))
            | "AllHours" >> beam.CombineGlobally(_sum_counts)
            | "Boundaries" >> beam.Map(_boundaries, self.config)
        )
        divided = unique.rows | "Split" >> beam.Map(
            _assign_split, self.config, len(self.inputs.training), AsSingleton(boundaries)
        )
        movie_counts = (
            divided
            | "RatingsByMovie" >> beam.Map(lambda rows: _train_counts(rows[1], features.MID.name))
            | "AllMovies" >> beam.CombineGlobally(_merge_counts)
        )
        written = divided | "WriteExamples" >> beam.ParDo(
            _WriteExamples(self.config, self.examples_uri, shards),
            AsSingleton(users),
            AsSingleton(movies),
            AsSingleton(movie_counts),
        )
        rejected = (
            (parsed[_REJECTED], unique[_REJECTED], rejected_users, rejected_movies)
            | "AllRejected" >> beam.Flatten()
            | "WriteRejected" >> beam.Map(_write_rejected, self.rejected_uri)
        )
        # Every line has a number, so that the sum of what became of the lines is checked against the files.
        read = counted | "RatingLines" >> beam.MapTuple(
            lambda block, n: (
                parse.RATINGS_FILE,
                RowCounts(read=n, read_by_file=collections.Counter({names[block.span]: n})),
            )
        )
        side = [
            table | f"Accepted[{name}]" >> beam.Map(lambda t, name=name: (name, RowCounts(accepted=len(t))))
            for name, table in ((parse.USERS_FILE, users), (parse.MOVIES_FILE, movies))
        ]
        side_read = [
            pipeline
            | f"File[{name}]" >> beam.Create([path])
            | f"Lines[{name}]"
            >> beam.Map(lambda path, name=name: (name, RowCounts(read=len(parse.split_lines(_read(path))))))
            for name, path in paths.items()
        ]
        return (
            (read, written, unique[_COUNTED], rejected, *side, *side_read)
            | "AllCounts" >> beam.Flatten()
            | "ByFile" >> beam.CombinePerKey(counts.add)
            | "ToDict" >> beam.combiners.ToDict()
            | "WriteCounts" >> beam.Map(_write_counts, self.rejected_uri)
        )


def _side_table(
    pipeline: beam.Pipeline, file: parse.FileFormat, key: str, path: str, name: str
) -> tuple[beam.PCollection, beam.PCollection]:
    """Return the accepted rows of a file as one table, and its rejected rows."""
    outputs = (
        pipeline
        | f"Path[{file.name}]" >> beam.Create([path])
        | f"Parse[{file.name}]"
        >> beam.ParDo(_ParseSideFile(file.name, key, name)).with_outputs(_REJECTED, main="rows")
    )
    return outputs.rows, outputs[_REJECTED]


def _read(path: str) -> bytes:
    with fileio.open(path, "rb") as file:
        return file.read()


def _tagged(rejected: Iterable[pa.Table]) -> Iterator[TaggedOutput]:
    table = pa.concat_tables([parse.REJECTED_SCHEMA.empty_table(), *rejected])
    if len(table):
        yield TaggedOutput(_REJECTED, table)


def _of_files(rejected: pa.Table, names: pa.StringArray) -> pa.Table:
    """Put the name of each row's file, relative to the dataset's folder."""
    return rejected.set_column(0, parse.REJECTED_SCHEMA.field(0), names)


class _ParseSideFile(beam.DoFn):
    """Parses users.dat or movies.dat whole."""

    def __init__(self, format_name: str, key: str, name: str) -> None:
        self._format_name = format_name
        self._key = key
        self._name = name

    def process(self, path: str) -> Iterator[Any]:
        """Yield one table of accepted rows and the rejected rows."""
        file = parse.USERS if self._format_name == parse.USERS_FILE else parse.MOVIES
        rows, bad = parse.parse(_read(path), file)
        rows, repeated = parse.drop_repeated(rows, [self._key])
        bad = pa.concat_tables([bad, parse.rejected(file.name, repeated, f"repeated_{self._key}", self._key)])
        yield from _tagged([_of_files(bad, pa.repeat(self._name, len(bad)))])
        for name, _, dtype in file.columns:
            if dtype == pa.large_binary():
                decoded = parse.latin1_to_utf8(rows[name])
                empty = pc.equal(pc.binary_length(decoded), 0)
                decoded = pc.if_else(empty, pa.scalar(None, decoded.type), decoded)
                rows = rows.set_column(rows.column_names.index(name), name, decoded)
        yield rows.drop_columns([parse.LINE, parse.TEXT])


class _ParseRatings(beam.DoFn):
    """Parses a group of blocks and deals its rows to the shards of their users."""

    def __init__(self, names: tuple[str, ...], shards: int) -> None:
        self._names = names
        self._shards = shards

    def process(
        self, group: tuple[Block, ...], line_counts: dict[int, int], users: pa.Table, movies: pa.Table
    ) -> Iterator[Any]:
        """Yield (shard, rows) and the rejected rows."""
        tables, rejected = [], []
        for block in group:
            first_line = 1 + sum(line_counts[number] for number in range(block.first, block.number))
            good, bad = parse.parse(block.read(), parse.RATINGS, first_line)
            tables.append(good.append_column(_SPAN, pa.repeat(pa.scalar(block.span, pa.int32()), len(good))))
            rejected.append(_of_files(bad, pa.repeat(self._names[block.span], len(bad))))
        rows = pa.concat_tables(tables)
        for feature, table, reason in (
            (features.UID.name, users, "unknown_user"),
            (features.MID.name, movies, "unknown_movie"),
        ):
            rows, unknown = parse.drop_unknown(rows, feature, table[feature].combine_chunks())
            rejected.append(_rejected_ratings(unknown, self._names, reason, feature))
        yield from _tagged(rejected)
        shard = split.mix(rows[features.UID.name].to_numpy().astype(np.uint64)) % np.uint64(self._shards)
        order = np.argsort(shard, kind="stable")
        bounds = np.searchsorted(shard[order], np.arange(self._shards + 1, dtype=np.uint64))
        rows = rows.take(pa.array(order))
        for number, (start, end) in enumerate(itertools.pairwise(bounds.tolist())):
            yield number, rows.slice(start, end - start)


class _OneAPair(beam.DoFn):
    """Keeps one of several ratings of one (uid, mid): that of the newest span, in it the first line."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def process(self, shard: tuple[int, Iterable[pa.Table]], users: pa.Table) -> Iterator[Any]:
        """Yield (shard, rows), the rejected rows, and the counts of what was replaced and of each file."""
        number, tables = shard
        rows = pa.concat_tables(tables)
        pair = [features.UID.name, features.MID.name]
        rows, repeated = parse.drop_repeated(rows, [*pair, _SPAN])
        yield from _tagged([_rejected_ratings(repeated, self._names, "repeated_uid_mid", pair[-1])])
        newest = parse.drop_replaced(rows, pair)
        found = RowCounts(replaced=len(rows) - len(newest), facts_by_file=self._facts(rows, users))
        yield TaggedOutput(_COUNTED, (parse.RATINGS_FILE, found))
        yield number, newest.drop_columns([parse.LINE, parse.TEXT])

    def _facts(self, rows: pa.Table, users: pa.Table) -> dict[str, RatingFacts]:
        """Return the facts of each file; the rows are sorted by user, movie and span."""
        replacing = parse.same_as_before(rows, [features.UID.name, features.MID.name])
        order = np.argsort(rows[_SPAN].to_numpy(), kind="stable")
        rows = _join(rows.take(pa.array(order)), users, features.UID.name)
        replacing = replacing[order]
        spans, starts = np.unique(rows[_SPAN].to_numpy(), return_index=True)
        return {
            self._names[span]: measure(rows.slice(start, end - start), replacing[start:end])
            for span, (start, end) in zip(
                spans.tolist(), itertools.pairwise([*starts.tolist(), len(rows)]), strict=True
            )
        }


def _rejected_ratings(rows: pa.Table, names: tuple[str, ...], reason: str, field: str) -> pa.Table:
    files = pa.array(names).take(rows[_SPAN].combine_chunks())
    return _of_files(parse.rejected(parse.RATINGS_FILE, rows, reason, field), files)


def _rows_by_hour(rows: pa.Table) -> dict[int, int]:
    timestamps = rows[features.TIMESTAMP.name].to_numpy()
    hours, n = np.unique(timestamps // split.SECONDS_PER_HOUR, return_counts=True)
    return dict(zip(hours.tolist(), n.tolist(), strict=True))


def _sum_counts(parts: Iterable[dict[int, int]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for part in parts:
        for key, n in part.items():
            total[key] = total.get(key, 0) + n
    return total


def _boundaries(rows_by_hour: dict[int, int], config: ExampleGenConfig) -> tuple[int, int] | None:
    if config.split is SplitMethod.RANDOM:
        return None
    try:
        return split.time_boundaries(rows_by_hour, config)
    except ValueError as error:
        raise RunStoppedError(str(error)) from error


def _assign_split(
    shard: tuple[int, pa.Table],
    config: ExampleGenConfig,
    evaluation_from: int,
    boundaries: tuple[int, int] | None,
) -> tuple[int, pa.Table]:
    """Add the column `split`, and put the rows into the order of their hash."""
    number, rows = shard
    uid, mid = (rows[f.name].to_numpy() for f in (features.UID, features.MID))
    hashes = split.row_hash(uid, mid, config.split_seed)
    if config.spans:
        splits = split.split_by_span(hashes, rows[_SPAN].to_numpy() >= evaluation_from, config)
    elif boundaries is None:
        splits = split.split_by_hash(hashes, config)
    else:
        splits = split.split_by_time(rows[features.TIMESTAMP.name].to_numpy(), boundaries)
    rows = rows.append_column(_SPLIT, pa.array(splits))
    # Another hash than the split's: within one split its values would be all small or all large.
    return number, rows.take(pa.array(np.argsort(split.mix(hashes), kind="stable")))


def _train_counts(rows: pa.Table, name: str) -> pa.Table:
    """Count the training rows of each id."""
    train = rows.filter(pc.equal(rows[_SPLIT], split.TRAIN))
    ids, n = np.unique(train[name].to_numpy(), return_counts=True)
    return pa.table({name: ids, _COUNT: n})


def _merge_counts(parts: Iterable[pa.Table]) -> pa.Table:
    tables = list(parts)
    if not tables:
        return pa.table({features.MID.name: pa.array([], pa.int64()), _COUNT: pa.array([], pa.int64())})
    summed = pa.concat_tables(tables).group_by(features.MID.name).aggregate([(_COUNT, "sum")])
    return summed.rename_columns([features.MID.name, _COUNT])


class _WriteExamples(beam.DoFn):
    """Joins a shard with users and movies, and writes its tf.Examples split by split."""

    def __init__(self, config: ExampleGenConfig, uri: str, shards: int) -> None:
        self._config = config
        self._uri = uri
        self._shards = shards

    def process(
        self, shard: tuple[int, pa.Table], users: pa.Table, movies: pa.Table, movie_counts: pa.Table
    ) -> Iterator[tuple[str, RowCounts]]:
        """Yield how many rows each split got."""
        number, rows = shard
        user_counts = _train_counts(rows, features.UID.name)
        rows = _join(rows, users, features.UID.name)
        rows = _join(rows, movies, features.MID.name)
        for name, key, table in (
            (features.USER_ACTIVITY.name, features.UID.name, user_counts),
            (features.MOVIE_ACTIVITY.name, features.MID.name, movie_counts),
        ):
            rows = rows.append_column(name, self._activity(rows[key], table, key))
        times = _first_and_last(rows.filter(pc.not_equal(rows[_SPLIT], split.TEST)))
        rows = _to_lists(rows)
        for index, name in enumerate(split.SPLITS):
            part = rows.filter(pc.equal(rows[_SPLIT], index)).select([f.name for f in features.EXAMPLE])
            path = os.path.join(
                self._uri, f"Split-{name}", f"data_tfrecord-{number:05d}-of-{self._shards:05d}.gz"
            )
            _write_records(part, path)
            yield (
                parse.RATINGS_FILE,
                RowCounts(
                    accepted=len(part),
                    splits=collections.Counter({name: len(part)}),
                    times=times if index == split.TRAIN else [],
                ),
            )

    def _activity(self, ids: pa.ChunkedArray, table: pa.Table, key: str) -> pa.Array:
        positions = pc.index_in(ids, value_set=table[key].combine_chunks())
        n = pc.fill_null(table[_COUNT].take(positions), 0).to_numpy()
        levels = np.digitize(n, [self._config.cold_below, self._config.heavy_from])
        return pa.array(np.array(features.ACTIVITY_LEVELS, object)[levels], pa.large_string())


def _first_and_last(rows: pa.Table) -> list[int]:
    """Return the first and the last time of a rating; none where there are no rows."""
    found = pc.min_max(rows[features.TIMESTAMP.name])
    return [time.as_py() for time in found.values()] if len(rows) else []


def _join(rows: pa.Table, table: pa.Table, key: str) -> pa.Table:
    """Append the table's columns to the rows; every key is known to be in the table."""
    found = table.take(pc.index_in(rows[key], value_set=table[key].combine_chunks()))
    for name in table.column_names:
        if name != key:
            rows = rows.append_column(name, found[name])
    return rows


def _to_lists(rows: pa.Table) -> pa.Table:
    """Return the columns as lists, as tf.Example has them; a null becomes a missing feature."""
    arrays: dict[str, pa.Array] = {_SPLIT: rows[_SPLIT].combine_chunks()}
    for feature in features.EXAMPLE:
        values = rows[feature.name].combine_chunks()
        if feature.dtype is features.Dtype.FLOAT:
            values = values.cast(pa.float32())
        if feature.multivalent:
            lists = pc.split_pattern(values, "|")
            arrays[feature.name] = lists.cast(pa.large_list(pa.large_binary()))
            continue
        if feature.dtype is features.Dtype.BYTES:
            values = values.cast(pa.large_binary())
        offsets = pa.array(np.arange(len(values) + 1, dtype=np.int64))
        lists = pa.LargeListArray.from_arrays(offsets, values)
        lists = pc.if_else(values.is_valid(), lists, pa.scalar(None, lists.type))
        arrays[feature.name] = lists
    return pa.table(arrays)


def _write_records(rows: pa.Table, path: str) -> None:
    """Write rows as a TFRecord of tf.Examples; the file appears under its name only when whole."""
    partial = path + ".partial"
    encoder = RecordBatchToExamplesEncoder()
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
    with tf.io.TFRecordWriter(partial, options) as writer:
        for batch in rows.combine_chunks().to_batches(max_chunksize=_ENCODE_ROWS):
            for record in encoder.encode(batch):
                writer.write(record)
    fileio.rename(partial, path, overwrite=True)


def _write_rejected(rejected: pa.Table, uri: str) -> tuple[str, RowCounts]:
    """Write rejected rows of one file as Parquet, and count them by reason."""
    file = rejected["file"][0].as_py()
    first = f"{file.replace('/', '-')}-{rejected['line'][0].as_py():012d}"
    name = f"{first}-{len(rejected)}-{rejected['reason'][0].as_py()}.parquet"
    buffer = io.BytesIO()
    pq.write_table(rejected, buffer, compression="zstd")
    with fileio.open(os.path.join(uri, name), "wb") as out:
        out.write(buffer.getvalue())
    reasons, files = (
        collections.Counter({v["values"]: v["counts"] for v in pc.value_counts(rejected[name]).to_pylist()})
        for name in ("reason", "file")
    )
    for reason, count in reasons.items():
        beam.metrics.Metrics.counter("RatingsExampleGen", f"rejected_{reason}").inc(count)
    return os.path.basename(file), RowCounts(rejected=reasons, rejected_by_file=files)


def _write_catalogue(uri: str, users: pa.Table, movies: pa.Table) -> None:
    position = movies.column_names.index(features.GENRES.name)
    genres = pc.split_pattern(movies[features.GENRES.name], "|")
    movies = movies.set_column(position, features.GENRES.name, genres)
    catalogue.write(_as(movies, catalogue.MOVIES), _as(users, catalogue.USERS), uri)


def _write_rated(shard: tuple[int, pa.Table], uri: str, shards: int) -> None:
    number, rows = shard
    rated.write_part(rows, uri, number, shards)


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return table.select(schema.names).cast(schema)


def _write_counts(files: dict[str, RowCounts], uri: str) -> dict[str, RowCounts]:
    for name, file in files.items():
        if file.accepted + file.rejected_total + file.replaced != file.read:
            raise AssertionError(
                f"{name}: {file.accepted} accepted + {file.rejected_total} rejected + "
                f"{file.replaced} replaced != {file.read} read"
            )
    with fileio.open(os.path.join(uri, counts.COUNTS_FILE), "w") as out:
        out.write(counts.to_json(files))
    return files
