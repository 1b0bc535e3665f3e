"""What the Evaluator says in properties of its artifacts, for whoever does not read their files."""

TEST_RMSE = "test_rmse"  # float, of the blessing; in stars, on the whole test split
COMPARED = "compared"  # int, of the evaluation; 1 where the model was compared with the served one, else 0
COMPARISON = "comparison"  # string, of the evaluation; with which version, or why not, for people
