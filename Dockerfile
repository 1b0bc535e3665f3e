# The image of every task on Kubeflow Pipelines, and of `deepfm` anywhere else: docker build -t deepfm .
# The packages are those of uv.lock, the sources lie as they do in a clone.

FROM python:3.11-slim-bookworm AS build
# A compiler, for pyfarmhash; Debian keeps no old versions that could be asked for.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /app
COPY pyproject.toml uv.lock README.md ./
RUN uv sync --locked --no-dev --no-install-project
COPY schema schema
COPY serving serving
COPY components components
COPY pipeline pipeline
RUN uv sync --locked --no-dev

FROM python:3.11-slim-bookworm
# Where Kubeflow's launcher copies artifacts to; not every release mounts something there.
RUN install --directory --mode=1777 /gcs /minio /s3
COPY --from=build /app /app
# Whichever user the cluster picks has no home; only /tmp can be written to.
ENV PATH=/app/.venv/bin:$PATH \
    HOME=/tmp \
    KERAS_HOME=/tmp/keras \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TF_CPP_MIN_LOG_LEVEL=1 \
    TF_ENABLE_ONEDNN_OPTS=0
WORKDIR /app
USER 10001:10001
ENTRYPOINT ["deepfm"]
