# Two images. The last stage is the product: one image for all three services and the command line, and what it runs is the
# command (hubgate edge|policycore|sender serve). The stage `proxy` is the way in from the outside: it ends TLS.
FROM debian:bookworm-slim AS proxy
RUN apt-get update \
 && apt-get install --yes --no-install-recommends haproxy \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin hubgate
COPY deploy/proxy/haproxy.cfg /etc/haproxy/haproxy.cfg
COPY deploy/proxy/run /usr/local/bin/hubgate-proxy
USER 10001:10001
EXPOSE 8080 8443
STOPSIGNAL SIGTERM
CMD ["hubgate-proxy"]

FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/hubgate
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# The pins change seldom, the code often: two layers.
COPY requirements/run.txt requirements/
RUN /opt/hubgate/bin/pip install --quiet --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY proto/gen proto/gen
COPY certificates certificates
COPY edge edge
COPY policycore policycore
COPY sender sender
COPY cli cli
RUN /opt/hubgate/bin/pip install --quiet --no-deps --no-index --no-build-isolation .

FROM python:3.11-slim
# The folders of certificates are there so that volumes mounted over them belong to the user.
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/hubgate --shell /usr/sbin/nologin hubgate \
 && install -d -o hubgate -g hubgate -m 0700 /var/lib/hubgate /run/hubgate /run/hubgate/tls \
 && for name in "" authority edge policycore sender admin proxy; do \
      install -d -o hubgate -g hubgate -m 0700 "/var/lib/hubgate/certificates/$name" || exit; done
COPY --from=build /opt/hubgate /opt/hubgate
ENV PATH=/opt/hubgate/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HUBGATE_DATA=/var/lib/hubgate
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/hubgate
STOPSIGNAL SIGTERM
CMD ["hubgate", "--help"]
