import dataclasses

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from schema import features
from schema.features import Dtype

TYPES = {
    "uid": schema_pb2.INT,
    "mid": schema_pb2.INT,
    "gender": schema_pb2.BYTES,
    "age": schema_pb2.INT,
    "occupation": schema_pb2.INT,
    "zip": schema_pb2.BYTES,
    "genres": schema_pb2.BYTES,
    "timestamp": schema_pb2.INT,
    "rating": schema_pb2.FLOAT,
    "title": schema_pb2.BYTES,
    "user_activity": schema_pb2.BYTES,
    "movie_activity": schema_pb2.BYTES,
}
GENRES = [
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]


@pytest.fixture(scope="module")
def schema():
    return text_format.Parse(features.SCHEMA_PATH.read_text(encoding="utf-8"), schema_pb2.Schema())


@pytest.fixture(scope="module")
def reviewed(schema):
    return {feature.name: feature for feature in schema.feature}


def _domain(schema, feature):
    return next(list(domain.value) for domain in schema.string_domain if domain.name == feature.domain)


def test_an_example_holds_these_features():
    assert [feature.name for feature in features.EXAMPLE] == list(TYPES)


def test_the_schema_has_each_feature_once_with_its_type(schema):
    assert len(schema.feature) == len(TYPES)
    assert {feature.name: feature.type for feature in schema.feature} == TYPES


def test_the_types_of_the_schema_are_those_of_the_features():
    same = {Dtype.INT64: schema_pb2.INT, Dtype.FLOAT: schema_pb2.FLOAT, Dtype.BYTES: schema_pb2.BYTES}
    assert {feature.name: same[feature.dtype] for feature in features.EXAMPLE} == TYPES


def test_genres_alone_are_a_list(reviewed):
    lists = [name for name, feature in reviewed.items() if feature.value_count.max > 1]
    assert lists == [feature.name for feature in features.EXAMPLE if feature.multivalent] == ["genres"]
    assert (reviewed["genres"].value_count.min, reviewed["genres"].value_count.max) == (1, 10)


def test_zip_alone_may_be_absent(reviewed):
    optional = {
        name: f.presence.min_fraction for name, f in reviewed.items() if f.presence.min_fraction < 1.0
    }
    assert optional == {"zip": 0.5}
    assert {f.presence.min_count for f in reviewed.values()} == {1}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("gender", ["F", "M"]),
        ("genres", GENRES),
        ("user_activity", ["cold", "light", "heavy"]),
        ("movie_activity", ["cold", "light", "heavy"]),
    ],
)
def test_string_domains(schema, reviewed, name, values):
    assert _domain(schema, reviewed[name]) == values
    # Anything less would let unknown strings through.
    assert reviewed[name].distribution_constraints.min_domain_mass == 1.0


def test_activity_levels_are_those_of_the_schema(schema, reviewed):
    assert features.ACTIVITY_LEVELS == ("cold", "light", "heavy")
    for feature in (features.USER_ACTIVITY, features.MOVIE_ACTIVITY):
        assert _domain(schema, reviewed[feature.name]) == list(features.ACTIVITY_LEVELS)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("age", 1, 56), ("occupation", 0, 20), ("timestamp", 1, 4_102_444_799)],
)
def test_integer_domains(reviewed, name, low, high):
    assert (reviewed[name].int_domain.min, reviewed[name].int_domain.max) == (low, high)


def test_the_largest_timestamp_is_that_of_the_schema(reviewed):
    assert reviewed[features.TIMESTAMP.name].int_domain.max == features.MAX_TIMESTAMP


@pytest.mark.parametrize("name", ["uid", "mid"])
def test_ids_are_positive_categories(reviewed, name):
    domain = reviewed[name].int_domain
    assert (domain.min, domain.HasField("max"), domain.is_categorical) == (1, False, True)


def test_ratings_lie_on_a_scale_of_five(reviewed):
    domain = reviewed["rating"].float_domain
    assert (domain.min, domain.max, domain.disallow_nan, domain.disallow_inf) == (1.0, 5.0, True, True)


def test_no_valid_value_reads_as_missing(schema, reviewed):
    integers = [f for f in features.SERVED if f.dtype is Dtype.INT64]
    assert features.MISSING_INT == -1
    assert all(reviewed[feature.name].int_domain.min > features.MISSING_INT for feature in integers)
    assert features.MISSING_STRING == ""
    assert all(features.MISSING_STRING not in domain.value for domain in schema.string_domain)


def test_derived_names():
    assert features.GENRES.index_name == "genres_index"
    assert features.ZIP.z_score_name == "zip_z"
    assert features.UID.vocabulary_name == "uid_vocabulary"


def test_derived_names_do_not_collide():
    names = [
        name
        for feature in features.EXAMPLE
        for name in (feature.name, feature.index_name, feature.z_score_name, feature.vocabulary_name)
    ]
    assert len(set(names)) == len(names) == 48


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("USER_FEATURES", ["gender", "age", "occupation", "zip"]),
        ("MOVIE_FEATURES", ["genres"]),
        ("CONTEXT_FEATURES", ["timestamp"]),
        ("SERVED", ["uid", "mid", "gender", "age", "occupation", "zip", "genres", "timestamp"]),
        ("CATEGORICAL", ["uid", "mid", "genres", "gender", "age", "occupation"]),
        ("NUMERIC", ["zip", "age", "occupation"]),
    ],
)
def test_groups(group, names):
    assert [feature.name for feature in getattr(features, group)] == names


def test_each_categorical_feature_and_no_other_has_an_oov_bucket():
    buckets = {feature.name: feature.oov_buckets for feature in features.EXAMPLE if feature.oov_buckets}
    assert buckets == {"uid": 1, "mid": 1, "genres": 1, "gender": 1, "age": 1, "occupation": 1}


def test_the_rating_is_the_label_and_is_not_served():
    assert features.LABEL is features.RATING
    assert features.LABEL not in features.SERVED


def test_a_feature_is_frozen_and_keyword_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        features.UID.name = "user"
    with pytest.raises(TypeError):
        features.Feature("user", Dtype.INT64)
