import pytest

from components.ratings_example_gen import parse
from schema import features


@pytest.mark.parametrize(
    ("line", "reason", "field"),
    [
        (b"", "blank_line", ""),
        (b"1::2::\x003::4", "nul_byte", ""),
        (b"\xef\xbb\xbf1::2::3::4", "byte_order_mark", ""),
        (b"1::2::3::4\r", "crlf_line_end", ""),
        (b"UserID::MovieID::Rating::Timestamp", "header", ""),
        (b"1::2::3\xe9::4", "bad_encoding", ""),
        (b"1::2::3", "wrong_number_of_fields", ""),
        (b"1::2::3::4::5", "wrong_number_of_fields", ""),
        (b"x1::2::3::4", "uid_not_a_number", "uid"),
        (b"-1::2::3::4", "uid_not_a_number", "uid"),
        (b"1::two::3::4", "mid_not_a_number", "mid"),
        (b"1::2::nan::4", "rating_not_a_number", "rating"),
        (b"1::2::6::4", "rating_out_of_range", "rating"),
        (b"1::2::0.5::4", "rating_out_of_range", "rating"),
        (b"1::2::-3::4", "rating_out_of_range", "rating"),
        (b"1::2::3::soon", "bad_timestamp", "timestamp"),
        (b"1::2::3::0", "bad_timestamp", "timestamp"),
        (b"1::2::3::978300760000", "bad_timestamp", "timestamp"),
    ],
)
def test_each_bad_rating_line_is_rejected_with_its_reason(line, reason, field):
    data = b"1::1193::5::978300760\n" + line + b"\n" + b"1::661::3.5::978302109"
    accepted, rejected = parse.parse(data, parse.RATINGS, first_line=10)
    assert accepted[features.MID.name].to_pylist() == [1193, 661]
    assert accepted[features.RATING.name].to_pylist() == [5.0, 3.5]
    assert accepted[parse.LINE].to_pylist() == [10, 12]
    assert rejected.to_pylist() == [
        {"file": "ratings.dat", "line": 11, "field": field, "reason": reason, "text": line}
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Amélie (2001)".encode(), "bad_encoding"),
        (b"Don\x92t Look Now (1973)", "bad_encoding"),
        (b"  ", "empty_title"),
        (b"A::B", "wrong_number_of_fields"),
        (b"Toy\x00Story (1995)", "nul_byte"),
    ],
)
def test_bad_movie_titles(line, reason):
    accepted, rejected = parse.parse(b"7::" + line + b"::Drama\n", parse.MOVIES)
    assert len(accepted) == 0
    assert rejected["reason"].to_pylist() == [reason]


@pytest.mark.parametrize(
    ("line", "file", "reason", "field"),
    [
        (b"", parse.MOVIES, "blank_line", ""),
        (b"7::Heat (1995)::Dra\x00ma", parse.MOVIES, "nul_byte", ""),
        (b"\xef\xbb\xbf7::Heat (1995)::Drama", parse.MOVIES, "byte_order_mark", ""),
        (b"7::Heat (1995)::Drama\r", parse.MOVIES, "crlf_line_end", ""),
        (b"MovieID::Title::Genres", parse.MOVIES, "header", ""),
        (b"7::Heat (1995)", parse.MOVIES, "wrong_number_of_fields", ""),
        (b"x::Heat (1995)::Drama", parse.MOVIES, "mid_not_a_number", "mid"),
        (b"7::Heat (1995)::", parse.MOVIES, "bad_genres", "genres"),
        (b"7::Heat (1995)::Drama||War", parse.MOVIES, "bad_genres", "genres"),
        (b"7::F::1::10::480\x0067", parse.USERS, "nul_byte", ""),
        (b"\xef\xbb\xbf7::F::1::10::48067", parse.USERS, "byte_order_mark", ""),
        (b"7::F::1::10::48067\r", parse.USERS, "crlf_line_end", ""),
        (b"7::F::1::10::4806\xe9", parse.USERS, "bad_encoding", ""),
        (b"7::F::1::10", parse.USERS, "wrong_number_of_fields", ""),
        (b"x::F::1::10::48067", parse.USERS, "uid_not_a_number", "uid"),
        (b"7::1::1::10::48067", parse.USERS, "bad_gender", "gender"),
        (b"7::F::one::10::48067", parse.USERS, "age_not_a_number", "age"),
        (b"7::F::1::ten::48067", parse.USERS, "occupation_not_a_number", "occupation"),
    ],
)
def test_each_bad_line_of_the_other_files_is_rejected_with_its_reason(line, file, reason, field):
    accepted, rejected = parse.parse(line + b"\n", file)
    assert len(accepted) == 0
    assert rejected.to_pylist() == [
        {"file": file.name, "line": 1, "field": field, "reason": reason, "text": line}
    ]


def test_latin1_titles_become_utf8():
    data = (
        b"1::Mis\xe9rables, Les (1995)::Drama|Musical\n2::Star Wars: Episode IV::Action\n3::\xdc\xdf::War\n"
    )
    accepted, rejected = parse.parse(data, parse.MOVIES)
    assert len(rejected) == 0
    titles = parse.latin1_to_utf8(accepted[features.TITLE.name].slice(0, 3))
    assert titles.to_pylist() == ["Misérables, Les (1995)", "Star Wars: Episode IV", "Üß"]
    assert parse.latin1_to_utf8(accepted[features.TITLE.name].slice(0, 0)).to_pylist() == []


def test_users_keep_any_zip_and_an_empty_one():
    data = (
        b"1::F::1::10::48067\n2::M::56::16::98107-2117\n3::M::25::15::V6B 1A1\n"
        b"4::M::25::15::\n5::M::x::1::1\n"
    )
    accepted, rejected = parse.parse(data, parse.USERS)
    assert accepted[features.ZIP.name].to_pylist() == [b"48067", b"98107-2117", b"V6B 1A1", b""]
    assert rejected["reason"].to_pylist() == ["age_not_a_number"]


def test_the_first_line_of_a_repeated_pair_is_kept():
    data = b"1::2::3::10\n1::3::4::11\n1::2::5::12\n1::2::1::13\n"
    rows, _ = parse.parse(data, parse.RATINGS)
    kept, repeated = parse.drop_repeated(rows, [features.UID.name, features.MID.name])
    assert kept[features.RATING.name].to_pylist() == [3.0, 4.0]
    assert repeated[parse.LINE].to_pylist() == [3, 4]
    assert repeated[parse.TEXT].to_pylist() == [b"1::2::5::12\n", b"1::2::1::13\n"]


def test_the_last_row_of_a_sorted_key_is_kept():
    rows, _ = parse.parse(b"1::2::3::10\n1::3::4::11\n1::3::5::12\n2::3::1::13\n", parse.RATINGS)
    pair = [features.UID.name, features.MID.name]
    assert parse.drop_replaced(rows, pair)[features.RATING.name].to_pylist() == [3.0, 5.0, 1.0]
    assert len(parse.drop_replaced(rows.slice(0, 0), pair)) == 0
