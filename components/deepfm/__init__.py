"""The model: DeepFM, its parts and its relatives as Keras models, and their drawings."""
