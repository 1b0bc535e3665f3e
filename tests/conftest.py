"""What holds for every test."""

from apache_beam.options.pipeline_options import StandardOptions

# As in a run: the default would look for the Prism runner first, on the network.
StandardOptions.DEFAULT_RUNNER = "FnApiRunner"
