# One image for all three services and the command line; what it runs is the command: hubgate edge|policycore|sender serve.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/hubgate
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# The pins change seldom, the code often: two layers.
COPY requirements/run.txt requirements/
RUN /opt/hubgate/bin/pip install --quiet --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY proto/gen proto/gen
COPY edge edge
COPY policycore policycore
COPY sender sender
COPY cli cli
RUN /opt/hubgate/bin/pip install --quiet --no-deps --no-index --no-build-isolation .

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/hubgate --shell /usr/sbin/nologin hubgate \
 && install -d -o hubgate -g hubgate -m 0700 /var/lib/hubgate
COPY --from=build /opt/hubgate /opt/hubgate
ENV PATH=/opt/hubgate/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HUBGATE_DATA=/var/lib/hubgate
USER hubgate
WORKDIR /var/lib/hubgate
STOPSIGNAL SIGTERM
CMD ["hubgate", "--help"]
