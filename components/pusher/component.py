"""The Pusher node."""

from tfx import components as tfx_components
from tfx.dsl.components.base import executor_spec

from components.pusher.driver import Driver
from components.pusher.executor import Executor


class Pusher(tfx_components.Pusher):
    """TFX's Pusher, atomic, and run again where its model is not the latest version of the serving folder."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver
