"""One folder per node that the project writes, and the modules that TFX's own nodes host."""
