"""ServedModel: the model now served, read from the serving folder; the Evaluator's baseline."""
