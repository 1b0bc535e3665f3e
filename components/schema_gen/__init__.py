"""TFX's ImportSchemaGen with an executor that knows where the schema lies."""
