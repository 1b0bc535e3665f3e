"""DataGate: stops the run on anomalies, which ExampleValidator only records, and on data unlike before.

executor.py says what is measured and what follows, drift.py compares statistics, days.py holds each new day
against the days before it, oov.py counts who and what is new, config.py has the bounds, report.py the result.
"""
