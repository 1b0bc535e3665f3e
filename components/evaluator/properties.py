"""What the Evaluator says of a model in the blessing's properties, for whoever has the blessing alone."""

TEST_RMSE = "test_rmse"  # float; in stars, on the whole test split
