"""ModelReport: an HTML report and a model card of every run, blessed or not."""
