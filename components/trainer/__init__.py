"""What TFX's Trainer hosts: run_fn.py trains, batches.py feeds it, export.py writes what is served."""
