"""TFX's Evaluator with this project's executor and metrics."""
