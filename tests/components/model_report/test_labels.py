from components.evaluator.results import SliceMetrics
from components.model_report.labels import grouped
from schema import features


def found(feature, value, rows):
    return SliceMetrics(
        feature=feature.name,
        value=value,
        rows=rows,
        rmse=1.0,
        mae=1.0,
        calibration=1.0,
        mean_rating=1.0,
        mean_prediction=1.0,
        baseline_rmse=None,
        judged=True,
    )


def test_slices_are_grouped_labelled_and_ordered():
    groups = grouped(
        [
            found(features.MOVIE_ACTIVITY, "heavy", 90),
            found(features.MOVIE_ACTIVITY, "cold", 3),
            found(features.MOVIE_ACTIVITY, "light", 7),
            found(features.GENRES, "Drama", 40),
            found(features.GENRES, "Comedy", 60),
            found(features.GENRES, "Action", 40),
            found(features.AGE, 56, 70),
            found(features.AGE, 18, 20),
            found(features.AGE, 1, 10),
            found(features.OCCUPATION, 12, 1),
            found(features.OCCUPATION, 99, 2),
            found(features.GENDER, "F", 30),
            found(features.GENDER, "M", 70),
        ]
    )
    assert [(group.title, [row.label for row in group.rows]) for group in groups] == [
        ("Gender", ["male", "female"]),
        ("Age", ["under 18", "18 to 24", "56 and over"]),
        ("Occupation", ["99", "programmer"]),
        ("Genres", ["Comedy", "Action", "Drama"]),
        ("Movie activity", ["cold", "light", "heavy"]),
    ]
