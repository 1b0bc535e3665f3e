"""What TensorFlow Serving needs in production, written from one configuration."""
