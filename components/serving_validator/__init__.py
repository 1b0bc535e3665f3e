"""ServingValidator: loads the export as TensorFlow Serving does, and blesses what will be pushed."""
