FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/recpipe && /opt/recpipe/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock \
    && python -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY keys keys
COPY recpipe recpipe
COPY ftp ftp
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation -w /tmp . \
    && /opt/recpipe/bin/pip install --no-cache-dir --no-deps /tmp/recpipe-*.whl

FROM python:3.11-slim-bookworm
# openssl is for people who run commands inside; recpipe itself does not call it.
RUN apt-get update && apt-get install -y --no-install-recommends openssl && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data recpipe && install -d -o recpipe -g recpipe /data
COPY --from=build /opt/recpipe /opt/recpipe
ENV PATH=/opt/recpipe/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RECPIPE_DATA_DIR=/data \
    RECPIPE_HTTP_LISTEN=0.0.0.0:8080 \
    RECPIPE_METRICS_LISTEN=0.0.0.0:8080 \
    RECPIPE_FTP_LISTEN=0.0.0.0:2121 \
    RECPIPE_FTP_PASSIVE_PORTS=30000-30100 \
    RECPIPE_LOG_FORMAT=json
# Recordings of another user: run the container as that one (--user UID), so that the kernel tells recpipe whether a recorder
# still has its file open (a lease goes to the owner or to CAP_LEASE, which --cap-add does not give to a plain user).
USER recpipe
WORKDIR /data
VOLUME /data
EXPOSE 8080 2121 30000-30100
# Port 8080 answers whatever the roles are: without the role web, RECPIPE_METRICS_LISTEN does.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
# SIGTERM finishes the files in work, commits them and lets the spools go.
STOPSIGNAL SIGTERM
ENTRYPOINT ["recpipe"]
CMD ["serve"]
