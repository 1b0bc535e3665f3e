import re

import pytest

from components.deepfm.fields import CategoricalField


def test_scalar_field():
    field = CategoricalField(name="colour", index_name="colour_index", vocabulary_size=7, oov_buckets=2)
    assert (field.rows, field.shape) == (10, ())


def test_multivalued_field():
    field = CategoricalField(name="tags", index_name="tags_index", vocabulary_size=7, length=3)
    assert (field.rows, field.shape) == (9, (3,))


@pytest.mark.parametrize("argument", ["vocabulary_size", "oov_buckets", "length"])
def test_rejects(argument):
    with pytest.raises(ValueError, match=re.escape(f"`{argument}` of colour must be positive, got 0")):
        CategoricalField(**{"name": "colour", "index_name": "i", "vocabulary_size": 1, argument: 0})
