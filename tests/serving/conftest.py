"""A small model with the signatures of the real one, whose ratings can be worked out by hand."""

import datetime
import ipaddress
import shutil
import socket
from pathlib import Path

import pyarrow as pa
import pytest
import tensorflow as tf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import text_format

from schema import features
from serving import catalogue, rated, versions, warmup
from serving.catalogue import Catalogue
from serving.server.config import ServerConfig
from serving.server.server import Server

MISSING = features.MISSING_STRING


def _spec(feature, batch):
    dtype = tf.int64 if feature.dtype is features.Dtype.INT64 else tf.string
    return tf.TensorSpec([batch, None] if feature.multivalent else [batch], dtype, name=feature.name)


class StandInModel(tf.Module):
    """rating = bias + (uid mod 4)/4 + (mid mod 8)/8 + genres/16 + (gender is F)/2
    + age/1024 + occupation/2048 + (length of zip)/4096 + timestamp/8192, each exact in float32; missing ages
    and occupations count as -1, timestamps from 1024 on, such as those of now, and missing ones as 0.

    Args:
        bias: The rating's part that tells one version from another.
        served: What its requests carry.
    """

    def __init__(self, bias, served=features.SERVED):
        super().__init__()
        self.bias = tf.Variable(float(bias))
        self.served = served

    def rating(self, raw):
        def number(feature):
            return tf.cast(raw[feature.name], tf.float32)

        timestamp = raw.get(features.TIMESTAMP.name, tf.constant(0, tf.int64))
        early = tf.where((timestamp > 0) & (timestamp < 1024), timestamp, 0)
        genres = tf.cast(raw[features.GENRES.name] != MISSING, tf.float32)
        return (
            self.bias
            + tf.cast(raw[features.UID.name] % 4, tf.float32) / 4
            + tf.cast(raw[features.MID.name] % 8, tf.float32) / 8
            + tf.reduce_sum(genres, axis=1) / 16
            + tf.cast(raw[features.GENDER.name] == "F", tf.float32) / 2
            + number(features.AGE) / 1024
            + number(features.OCCUPATION) / 2048
            + tf.cast(tf.strings.length(raw[features.ZIP.name]), tf.float32) / 4096
            + tf.cast(early, tf.float32) / 8192
        )

    def signatures(self):
        def predict(**raw):
            return {features.RATING.name: self.rating(raw)}

        def rank(**raw):
            rating = self.rating(raw)
            order = tf.argsort(rating, direction="DESCENDING", stable=True)
            return {
                features.MID.name: tf.gather(raw[features.MID.name], order),
                features.RATING.name: tf.gather(rating, order),
            }

        def examples(examples):
            parsed = tf.io.parse_example(
                examples,
                {
                    feature.name: tf.io.VarLenFeature(tf.string)
                    if feature.multivalent
                    else tf.io.FixedLenFeature(
                        [],
                        tf.int64 if feature.dtype is features.Dtype.INT64 else tf.string,
                        features.MISSING_INT if feature in features.CONTEXT_FEATURES else None,
                    )
                    for feature in self.served
                },
            )
            parsed[features.GENRES.name] = tf.sparse.to_dense(parsed[features.GENRES.name])
            return predict(**parsed)

        def busy(rounds):
            _, value = tf.while_loop(
                lambda index, _: index < rounds,
                lambda index, value: (index + 1, tf.math.cos(value)),
                [tf.constant(0, tf.int64), tf.ones([100_000])],
                parallel_iterations=1,
            )
            return {features.RATING.name: tf.reduce_mean(value)}

        def read(path):
            return {"content": tf.io.read_file(path)}

        movie = (features.MID, *features.MOVIE_FEATURES)
        return {
            "serving_default": tf.function(
                examples, input_signature=[tf.TensorSpec([None], tf.string, name="examples")]
            ).get_concrete_function(),
            "predict": tf.function(predict).get_concrete_function(
                **{feature.name: _spec(feature, None) for feature in self.served}
            ),
            "rank": tf.function(rank).get_concrete_function(
                **{feature.name: _spec(feature, None if feature in movie else 1) for feature in self.served}
            ),
            "busy": tf.function(busy).get_concrete_function(tf.TensorSpec([], tf.int64, name="rounds")),
            "read": tf.function(read).get_concrete_function(tf.TensorSpec([], tf.string, name="path")),
        }


def movies_table():
    return pa.table(
        {
            features.MID.name: [1193, 661, 8],
            features.TITLE.name: [
                "One Flew Over the Cuckoo's Nest (1975)",
                "Misérables, Les (1995)",
                "Eight",
            ],
            features.GENRES.name: [["Drama"], ["Animation", "Children's", "Musical"], []],
        },
        schema=catalogue.MOVIES,
    )


def users_table():
    return pa.table(
        {
            features.UID.name: [1, 6040],
            features.GENDER.name: ["F", "M"],
            features.AGE.name: [1, 25],
            features.OCCUPATION.name: [10, 6],
            features.ZIP.name: ["48067", None],
        },
        schema=catalogue.USERS,
    )


@pytest.fixture(scope="session")
def movie_catalogue():
    return Catalogue(movies_table(), users_table())


@pytest.fixture
def rated_catalogue(tmp_path):
    """The catalogue where user 1 has rated 8 and 661, and user 6040 has rated 1193."""
    folder = tmp_path / "catalogue"
    catalogue.write(movies_table(), users_table(), folder)
    pairs = {features.UID.name: [1, 1, 6040], features.MID.name: [8, 661, 1193]}
    rated.write_part(pa.table(pairs), folder, part=0, parts=1)
    return Catalogue.load(folder)


@pytest.fixture(scope="session")
def models(tmp_path_factory, movie_catalogue):
    """Folders of three complete models, by bias: 1, 2 and 3."""
    folders = {}
    for bias in (1, 2, 3):
        folder = tmp_path_factory.mktemp("model") / str(bias)
        model = StandInModel(bias)
        tf.saved_model.save(model, str(folder), signatures=model.signatures())
        catalogue.write(movies_table(), users_table(), folder / catalogue.FOLDER)
        warmup.write_warmup_requests(
            folder / warmup.REQUESTS,
            "deepfm",
            [
                ("predict", movie_catalogue.predict_inputs([1, 2], [1193, 5])),
                ("rank", movie_catalogue.rank_inputs(1, [1193, 661, 8])),
            ],
        )
        folders[bias] = folder
    return folders


@pytest.fixture(scope="session")
def older_model(tmp_path_factory):
    """A complete model of bias 1 as it was before requests carried a timestamp."""
    folder = tmp_path_factory.mktemp("older") / "model"
    model = StandInModel(1, [feature for feature in features.SERVED if feature != features.TIMESTAMP])
    tf.saved_model.save(model, str(folder), signatures=model.signatures())
    catalogue.write(movies_table(), users_table(), folder / catalogue.FOLDER)
    return folder


@pytest.fixture(scope="session")
def model_folder(models):
    return models[1]


@pytest.fixture
def broken_model(tmp_path, models):
    """A model whose variables are cut off."""
    folder = tmp_path / "broken"
    shutil.copytree(models[2], folder)
    data = next(Path(folder, "variables").glob("*.data-*"))
    data.write_bytes(b"")
    return folder


@pytest.fixture
def start_server(tmp_path):
    """Start servers on folders, in this process, each on a port of its own."""
    servers = []

    def start(base_path, **settings):
        config = ServerConfig(**{"port": 0, "grpc_max_threads": 4, "model_base_path": base_path, **settings})
        server = Server(config)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop(0)


@pytest.fixture(scope="module")
def server(tmp_path_factory, models):
    """A server of version 1, bias 1, for the tests that change nothing."""
    base_path = tmp_path_factory.mktemp("serving")
    versions.publish(models[1], base_path, fingerprint="one")
    running = Server(ServerConfig(model_base_path=base_path, port=0, grpc_max_threads=4))
    running.start()
    yield running
    running.stop(0)


class Authority:
    """Signs certificates, and writes them and their keys to a folder as PEM."""

    def __init__(self, folder, name):
        self.folder = folder
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self.name, self.key.public_key(), is_authority=True)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), is_authority=False)
        chain, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return chain, private

    def _sign(self, subject, public_key, is_authority):
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )


@pytest.fixture(scope="session")
def make_authority():
    """Make an authority by the folder of its files and its name."""
    return Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory, make_authority):
    return make_authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture
def write_ssl_config(authority, tmp_path):
    """Write an SSLConfig with a certificate that the authority signed."""

    def write(*, client_verify=False, **changes):
        chain, private = authority.issue("server")
        texts = {
            "server_key": private.read_text(),
            "server_cert": chain.read_text(),
            "custom_ca": authority.path.read_text(),
            **changes,
        }
        lines = [
            f'{name}: "{text_format.text_encoding.CEscape(text, False)}"' for name, text in texts.items()
        ]
        path = tmp_path / "ssl.config"
        path.write_text("\n".join([*lines, f"client_verify: {str(client_verify).lower()}"]))
        return path

    return write


@pytest.fixture(scope="session")
def free_port():
    """Return a port that nothing listens on."""

    def find():
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return probe.getsockname()[1]

    return find
