"""DataGate: stops the run on anomalies, which ExampleValidator only records."""
