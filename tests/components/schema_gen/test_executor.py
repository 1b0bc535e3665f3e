import pytest
from tfx.types import standard_artifacts

from components.schema_gen.executor import Executor
from schema import features


def test_the_schema_is_the_one_of_the_installation(tmp_path):
    schema = standard_artifacts.Schema()
    schema.uri = str(tmp_path)
    Executor().Do({}, {"schema": [schema]}, {"schema_file": "schema.pbtxt"})
    assert (tmp_path / "schema.pbtxt").read_bytes() == features.SCHEMA_PATH.read_bytes()


def test_another_name_is_no_schema(tmp_path):
    schema = standard_artifacts.Schema()
    schema.uri = str(tmp_path)
    with pytest.raises(Exception, match=r"schema/other\.pbtxt"):
        Executor().Do({}, {"schema": [schema]}, {"schema_file": "other.pbtxt"})
