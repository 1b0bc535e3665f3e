"""What ServedModel says of the baseline: properties of its artifact, and keys of a version's manifest."""

import os

BASELINE_VERSION = "baseline_version"  # int; NO_VERSION where there is none
TRAINING_IDENTITY = "training_identity"  # string; all that the training of a run depends on
SPLIT_IDENTITY = "split_identity"  # string; what decides which rows are test rows
UNFAIR = "unfair"  # string property of the artifact: why it may have seen this run's test rows; "" if not

NO_VERSION = 0

TRAIN_STATISTICS = os.path.join("assets.extra", "train_statistics.pb")
"""In a version's folder: what StatisticsGen says of its training split, a DatasetFeatureStatisticsList."""
