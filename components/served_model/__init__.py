"""ServedModel: the model now served, which the Trainer begins with and the gates compare with."""
