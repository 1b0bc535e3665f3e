"""Where the ratings come from: a folder or zip of the user's, MovieLens 1M, or generated data."""
