"""What requests hold, and when they are made."""

import pytest
from google.protobuf import text_format

from schema import features
from serving import wire
from serving.catalogue import Catalogue
from serving.client.logic import Deadline
from serving.errors import DeadlineExceeded
from serving.protos import example_pb2

MOMENTS = [978300760, features.MISSING_INT]
KNOWN = f"""
features {{
  feature {{ key: "{features.UID.name}" value {{ int64_list {{ value: 1 }} }} }}
  feature {{ key: "{features.MID.name}" value {{ int64_list {{ value: 661 }} }} }}
  feature {{ key: "{features.GENDER.name}" value {{ bytes_list {{ value: "F" }} }} }}
  feature {{ key: "{features.AGE.name}" value {{ int64_list {{ value: 1 }} }} }}
  feature {{ key: "{features.OCCUPATION.name}" value {{ int64_list {{ value: 10 }} }} }}
  feature {{ key: "{features.ZIP.name}" value {{ bytes_list {{ value: "48067" }} }} }}
  feature {{
    key: "{features.GENRES.name}"
    value {{ bytes_list {{ value: "Animation" value: "Children's" value: "Musical" }} }}
  }}
  feature {{ key: "{features.TIMESTAMP.name}" value {{ int64_list {{ value: 978300760 }} }} }}
}}
"""
UNKNOWN = f"""
features {{
  feature {{ key: "{features.UID.name}" value {{ int64_list {{ value: 5 }} }} }}
  feature {{ key: "{features.MID.name}" value {{ int64_list {{ value: 6 }} }} }}
  feature {{ key: "{features.GENDER.name}" value {{ bytes_list {{ value: "" }} }} }}
  feature {{ key: "{features.AGE.name}" value {{ int64_list {{ value: -1 }} }} }}
  feature {{ key: "{features.OCCUPATION.name}" value {{ int64_list {{ value: -1 }} }} }}
  feature {{ key: "{features.ZIP.name}" value {{ bytes_list {{ value: "" }} }} }}
  feature {{ key: "{features.GENRES.name}" value {{ bytes_list {{ }} }} }}
  feature {{ key: "{features.TIMESTAMP.name}" value {{ int64_list {{ value: -1 }} }} }}
}}
"""


@pytest.fixture
def script(scripted):
    return scripted()


@pytest.fixture
def client(make_client, script, movie_catalogue):
    return make_client(script, catalogue=movie_catalogue, examples=True)


def _examples(request):
    assert list(request.inputs) == ["examples"]
    return [example_pb2.Example.FromString(row) for row in wire.decode(request.inputs["examples"])]


def _example(text):
    return text_format.Parse(text, example_pb2.Example())


def test_pairs_as_examples(client, script):
    client.predict([(1, 661), (5, 6)], MOMENTS)
    (request,) = script.requests
    assert request.model_spec.signature_name == "serving_default"
    assert _examples(request) == [_example(KNOWN), _example(UNKNOWN)]


def test_each_ranked_movie_is_an_example(client, script):
    client.rank(1, [661, 6], top=1, timestamp=MOMENTS[0])
    (request,) = script.requests
    assert request.model_spec.signature_name == "serving_default"
    known, other = _examples(request)
    assert known == _example(KNOWN)
    assert (
        other.features.feature[features.UID.name].int64_list.value,
        other.features.feature[features.MID.name].int64_list.value,
        other.features.feature[features.GENDER.name].bytes_list.value,
        other.features.feature[features.TIMESTAMP.name].int64_list.value,
    ) == ([1], [6], [b"F"], MOMENTS[:1])


class _Counting(Catalogue):
    """Counts the requests that it was asked for."""

    made = 0

    def predict_inputs(self, *asked):
        self.made += 1
        return super().predict_inputs(*asked)


def test_requests_are_made_when_it_is_their_turn(make_client, script, monkeypatch):
    catalogue = _Counting.empty()
    made = []
    answer = script.answer
    monkeypatch.setattr(script, "answer", lambda *asked: made.append(catalogue.made) or answer(*asked))
    monkeypatch.setattr("serving.client.logic.ROWS_PER_REQUEST", 1)
    monkeypatch.setattr("serving.client.logic.REQUESTS_AT_ONCE", 2)
    make_client(script, catalogue=catalogue).predict([(1, 2)] * 5)
    assert made == [2, 2, 4, 4, 5]


def test_a_deadline_passes(monkeypatch):
    now = 99.0
    monkeypatch.setattr("serving.client.logic.time.monotonic", lambda: now)
    deadline = Deadline(2.5)
    now = 100.0
    assert deadline.left() == 2.5
    now = 102.0
    assert deadline.left() == 0.5
    now = 102.5
    with pytest.raises(DeadlineExceeded, match=r"not all was asked within 2.5 s; allow more time"):
        deadline.left()
