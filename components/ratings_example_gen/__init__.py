"""RatingsExampleGen: three MovieLens files in, joined and split tf.Examples out.

component.py says what the node takes and emits, spans.py and inputs.py which files it reads, driver.py what
makes it run again, executor.py how the work is laid out on Beam, parse.py and split.py what happens to the
rows.
"""
