"""Batch inference: a file of pairs or users in, a file of ratings or rankings out, through Beam."""
