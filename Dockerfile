# The gateway for production, with a Postgres of yours:
#
#   docker build --tag faurya-gateway .
#   docker run --env-file .env --volume ./config.yaml:/etc/faurya-gateway/config.yaml:ro --publish 8080:8080 faurya-gateway
#
# A provider plugin from another package is added in an image of your own:
#
#   FROM faurya-gateway
#   USER root
#   RUN pip --python /opt/gateway/bin/python install --no-cache-dir your-plugin==1.0
#   USER 10001:10001

FROM python:3.13-slim-trixie AS build

# extras of the package, such as: embedded
ARG EXTRAS=""

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY providers providers
# Nothing is installed by an unpinned name: it is the wheel that was just built.
# hadolint ignore=DL3013
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && python -m venv --without-pip /opt/gateway \
    && set -- /wheels/*.whl \
    && pip --python /opt/gateway/bin/python install --no-cache-dir "$1${EXTRAS:+[$EXTRAS]}"


FROM python:3.13-slim-trixie

LABEL org.opencontainers.image.title="Faurya Gateway" \
      org.opencontainers.image.description="Proves and keeps payment webhooks and records confirmed money in Faurya once" \
      org.opencontainers.image.licenses="Apache-2.0"

RUN groupadd --system --gid 10001 gateway \
    && useradd --system --uid 10001 --gid gateway --home-dir /var/lib/faurya-gateway --create-home gateway

COPY --from=build /opt/gateway /opt/gateway

# The port is published by the container's owner, so inside it every address is listened on.
ENV PATH="/opt/gateway/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_PORT=8080

WORKDIR /var/lib/faurya-gateway
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['GATEWAY_PORT'] + '/healthz', timeout=4)"]

ENTRYPOINT ["faurya-gateway"]
CMD ["serve", "--config", "/etc/faurya-gateway/config.yaml"]
