"""The graph on Kubeflow Pipelines: its package, and what runs in a task's container."""
