"""Which movie a user chooses next, and the order that `rank` makes of it."""
