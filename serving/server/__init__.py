"""A stand-in for TensorFlow Serving, for a laptop: the same gRPC protocol on the same serving folder.

It serves the versions that its configuration asks for, from TensorFlow's own Session loader, and answers
Predict, GetModelMetadata, GetModelStatus, HandleReloadConfigRequest and health checks with TensorFlow
Serving's status codes, and its REST API. It is no rival: production runs `tensorflow_model_server`, with
flags of the same names. It listens on the loopback interface unless told otherwise, and then wants TLS.
"""
