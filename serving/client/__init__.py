"""Ask a served model: ratings for pairs, and the best movies for a user.

    catalogue = Catalogue.load(version_folder / FOLDER)
    with Client("127.0.0.1:8500", catalogue, router=ReleaseRouter(version_folder.parent)) as client:
        client.predict([(1, 1193), (1, 661)])
        client.rank(uid=1, top=10)

It speaks TensorFlow Serving's PredictionService, so the server may be TensorFlow Serving or its stand-in.
`AsyncClient` has the same methods as coroutines.
"""

from serving.client.aio import AsyncClient, AsyncGrpcTransport, AsyncTransport
from serving.client.channel import TlsConfig
from serving.client.client import Client, GrpcTransport, Transport
from serving.client.logic import Recommendation
from serving.client.routing import CanaryRouter, OneVersion, ReleaseRouter, Router

__all__ = [
    "AsyncClient",
    "AsyncGrpcTransport",
    "AsyncTransport",
    "CanaryRouter",
    "Client",
    "GrpcTransport",
    "OneVersion",
    "Recommendation",
    "ReleaseRouter",
    "Router",
    "TlsConfig",
    "Transport",
]
