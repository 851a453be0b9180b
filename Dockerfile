# One image, two commands: `inkling serve` (the default) and `inkling worker`. Builds with a network, runs without one.
FROM python:3.11-slim

# Where torch comes from. This index has the CPU build; empty: PyPI, whose build has CUDA in it and is ten times larger.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PATH=/opt/venv/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    INKLING_ASSETS_DIR=/opt/inkling-assets \
    INKLING_DATA_DIR=/data \
    INKLING_HOST=0.0.0.0 \
    INKLING_PORT=8000 \
    INKLING_LOG_FORMAT=json

RUN useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin inkling \
    && install -d -o inkling -g inkling -m 700 /data \
    && python3 -m venv /opt/venv
WORKDIR /srv/inkling

# Kernels are compiled for the processor that runs them: the image may have been built on another one.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*

# From what changes least to what changes most, so that a change of code builds in seconds.
# torch comes first and alone, at its pinned version: asked for by another package, pip would take the newest, with CUDA.
COPY constraints.txt ./
RUN pip install --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' constraints.txt)"

# The packages are named in pyproject.toml but not copied yet: empty ones stand in, the checkout comes over them below.
COPY pyproject.toml ./
RUN mkdir app workers && touch README.md app/__init__.py workers/__init__.py \
    && pip install --constraint constraints.txt --editable '.[gpu,traces]'

# The default model and GPT-2's vocabulary, pinned by hash; the kernels for this processor.
COPY app/__init__.py app/assets.py app/config.py app/
COPY app/llm/__init__.py app/llm/
COPY app/llm/kernels app/llm/kernels
RUN python -m app.assets

COPY . .
RUN python -m compileall -q app workers migrations

USER inkling
VOLUME /data
EXPOSE 8000
CMD ["inkling", "serve"]
