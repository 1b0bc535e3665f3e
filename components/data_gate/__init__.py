"""DataGate: stops the run on anomalies, which ExampleValidator only records, and on data unlike before.

executor.py decides, measure.py says what is measured, drift.py compares statistics, days.py holds each new
day against the days before it, oov.py counts who and what is new, requests.py reads what a server logged,
driver.py makes the node run again for that, config.py has the bounds, report.py the result.
"""
