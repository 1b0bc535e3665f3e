import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.ratings_example_gen.config import ExampleGenConfig
from pipeline.dataset.generated import generate
from tests.benchmarks.quality import learning_curve, splits


def test_the_pipeline_splits_a_share_into_the_same_rows(tmp_path):
    data, rows, whole = (tmp_path / name for name in ("data", "rows", "whole"))
    generate(data, ratings=8000, users=100, movies=200, seed=3)
    config = ExampleGenConfig(split_seed=5)
    learning_curve.make(data, config, 0.4, rows)
    splits.make(data, config, whole)
    parts = [pq.read_table(rows / name) for name in (splits.TRAIN, splits.VALID, splits.QUESTIONS)]
    train, valid, test = splits.divide(splits.accepted(rows / learning_curve.DATASET), config)
    assert parts == [train, valid, test.select(parts[2].column_names)]
    assert parts[2] == pq.read_table(whole / splits.QUESTIONS)
    for part, name in zip(parts, (splits.TRAIN, splits.VALID), strict=False):
        assert len(part) == pytest.approx(0.4 * len(pq.read_table(whole / name)), rel=0.15)


def test_a_share_is_part_of_a_larger_one(tmp_path):
    generate(tmp_path / "data", ratings=3000, users=60, movies=120, seed=3)
    rows = splits.accepted(tmp_path / "data")
    small, large = (learning_curve.kept(rows, ExampleGenConfig(), share) for share in (0.2, 0.6))
    assert rows.filter(pa.array(small)) == rows.filter(pa.array(small & large))
    assert [mask.mean() for mask in (small, large)] == [
        pytest.approx(0.2, abs=0.03),
        pytest.approx(0.6, abs=0.03),
    ]
