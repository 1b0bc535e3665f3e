"""Blocks of rows to answers and rejected rows, on Beam."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.pvalue import TaggedOutput
from apache_beam.typehints.decorators import no_annotations

from pipeline.batch import ids
from pipeline.batch.questions import Question, Version
from schema import features

ANSWERED: Final = "answered"
REJECTED: Final = "rejected"
REASON: Final = "reason"


@dataclasses.dataclass(frozen=True)
class Block:
    """Rows that are read, answered and written together."""

    first_row: int  # place in the whole input; names the block
    rows: pa.Table


def judge(
    block: Block, identities: Sequence[features.Feature], optional: Sequence[features.Feature] = ()
) -> tuple[Block, Block]:
    """Part the rows whose ids have no fault from the others, which get a column `reason`.

    Args:
        block: The rows.
        identities: Features that they have.
        optional: Features that they may have; judged where they do.
    """
    present = [feature for feature in optional if feature.name in block.rows.column_names]
    faults = ids.faults(block.rows, [*identities, *present])
    good = block.rows.filter(pc.is_null(faults))
    rejected = block.rows.append_column(REASON, faults).filter(pc.is_valid(faults))
    return Block(block.first_row, good), Block(block.first_row, rejected)


@dataclasses.dataclass
class Score(beam.PTransform):
    """Blocks to blocks of answers, and of rejected rows with a column `reason`; empty ones are left out."""

    version_folder: str
    question: Question

    def __post_init__(self) -> None:
        super().__init__()

    @no_annotations  # Beam's type hints know no dict
    def expand(self, blocks: beam.PCollection) -> dict[str, beam.PCollection]:
        """Attach the steps; returns the collections `ANSWERED` and `REJECTED`."""
        judged = blocks | "Judge" >> beam.ParDo(_Judge(self.question)).with_outputs(REJECTED, main="good")
        answered = judged.good | "Answer" >> RunInference(VersionHandler(self.version_folder, self.question))
        return {ANSWERED: answered, REJECTED: judged[REJECTED]}


class VersionHandler(ModelHandler[Block, Block, Version]):
    """Loads a version once for each worker process, and asks it block by block.

    Args:
        folder: The version's folder.
        question: What is asked.
    """

    def __init__(self, folder: str, question: Question) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._folder = folder
        self._question = question

    def load_model(self) -> Version:
        """Load the version."""
        return Version(self._folder)

    def run_inference(
        self, batch: Sequence[Block], model: Version, inference_args: dict[str, Any] | None = None
    ) -> Iterator[Block]:
        """Yield the answer to each block."""
        for block in batch:
            yield Block(block.first_row, self._question.answer(model, block.rows))

    def get_num_bytes(self, batch: Sequence[Block]) -> int:
        """Return the size of the blocks; the default would pickle them."""
        return sum(block.rows.nbytes for block in batch)


class _Judge(beam.DoFn):
    """Parts the rows whose ids have a fault from the others."""

    def __init__(self, question: Question) -> None:
        self._identities, self._optional = question.identities, question.optional

    def process(self, block: Block) -> Iterator[Any]:
        """Yield the good rows, and the rejected ones with the reason."""
        good, rejected = judge(block, self._identities, self._optional)
        if len(good.rows):
            yield good
        if len(rejected.rows):
            yield TaggedOutput(REJECTED, rejected)
