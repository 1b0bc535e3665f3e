"""TFX's Pusher with an executor that publishes atomically."""
