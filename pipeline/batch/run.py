"""Batch inference from files to a folder."""

import collections
import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from components import progress
from pipeline.batch import files, users
from pipeline.batch.questions import PREDICTION, VERSION, Question
from pipeline.batch.scoring import ANSWERED, REASON, REJECTED, Block, Score, judge
from serving.catalogue import FOLDER, Catalogue

_ONCE = "_once.parquet"  # of the output, while it is made


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a batch."""

    rows_read: int
    rows_written: int
    rejected: collections.Counter[str]  # rows by reason
    repeated: int  # rows whose id was answered for an earlier row
    seconds: float


def run(
    question: Question, source: Path, output: Path, version_folder: Path, beam_args: Sequence[str]
) -> Outcome:
    """Answer a question for every row of the input.

    Args:
        question: What is asked.
        source: The input, as `files.find_parts` takes it.
        output: Folder of the answers and, in `_rejected`, of the rows that have none; it must not exist,
            and appears whole or not at all.
        version_folder: Folder of the version that is asked.
        beam_args: Options of the Beam runner, which must share this machine's disk.

    Raises:
        InputError: The input cannot be read as what is asked for.
        FileExistsError: The output exists.
        ServingError: The version cannot be loaded, or fails.
        OSError: Files cannot be read or written.
    """
    start = time.monotonic()
    needed = [identity.name for identity in question.identities]
    optional = [feature.name for feature in question.optional]
    added = [REASON, PREDICTION, VERSION] if question.columns is None else []
    parts, rows = files.find_parts(source, needed, optional, added)
    with files.appearing(output) as folder:
        asked, repeated, once = rows, 0, folder / _ONCE
        if question.once:
            repeated = users.write_once(parts, question.identities[0], once, folder)
            parts, asked = files.find_parts(once, needed, optional, added)
        with beam.Pipeline(options=PipelineOptions(list(beam_args))) as pipeline:
            scored = (
                pipeline
                | "Parts" >> beam.Create(parts)
                | "Spread" >> beam.Reshuffle()
                | "Read" >> beam.FlatMap(_read, question=question, rows=asked)
                | "Score" >> Score(str(version_folder), question)
            )
            for name, target in ((ANSWERED, folder), (REJECTED, folder / files.REJECTED_FOLDER)):
                write = functools.partial(files.write_block, folder=target)
                _ = scored[name] | f"Write[{name}]" >> beam.Map(write)
        rejected = files.count_rejected(folder)
        written = files.count_answers(folder)
        answered, expected = _to_answer(question, parts, Catalogue.load(version_folder / FOLDER))
        if (answered + rejected.total() + repeated, written) != (rows, expected):
            raise AssertionError(
                f"of {rows} rows {answered} were to be answered, {rejected.total()} are rejected and "
                f"{repeated} repeated; {expected} rows were to be written, {written} are"
            )
        once.unlink(missing_ok=True)
    return Outcome(
        rows_read=rows,
        rows_written=written,
        rejected=rejected,
        repeated=repeated,
        seconds=time.monotonic() - start,
    )


def _to_answer(question: Question, parts: Sequence[files.Part], catalogue: Catalogue) -> tuple[int, int]:
    """Read the ids again; return how many rows have an answer, and how many rows the answers must have."""
    columns = [feature.name for feature in (*question.identities, *question.optional)]
    answered = expected = 0
    for part in parts:
        for block in files.read_blocks(part, columns, question.block_rows):
            good, _ = judge(block, question.identities, question.optional)
            answered += len(good.rows)
            expected += question.answer_rows(catalogue, good.rows)
    return answered, expected


def _read(part: files.Part, question: Question, rows: int) -> Iterator[Block]:
    for block in files.read_blocks(part, question.columns, question.block_rows):
        progress.report(block.first_row / rows, f"of {rows:,} rows")
        yield block
