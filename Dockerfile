# syntax=docker/dockerfile:1

# Downloads the engine library from npm.
FROM node:22-bookworm-slim AS engine
# The versions of Debian's packages are those of the base image's release.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3 && rm -rf /var/lib/apt/lists/*
COPY scripts/fetch_engine.py /
RUN XDG_CACHE_HOME=/cache python3 /fetch_engine.py && mv /cache/millrace/engine/*/libchdb.so /libchdb.so

# Builds the dashboard page.
FROM node:22-bookworm-slim AS page
WORKDIR /src
COPY web/package.json web/package-lock.json web/
RUN npm --prefix web ci --no-audit --no-fund
COPY proto proto
COPY web web
RUN npm --prefix web run build

# Builds the binary, with the page inside.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
COPY --from=page /src/web/dist web/dist
# With Kafka, which needs two more minutes: the base image has a C compiler, make and Perl.
RUN cargo build --release --locked --features kafka

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates tini && rm -rf /var/lib/apt/lists/* \
    # A fixed number, so that volumes and Kubernetes can name the user.
    && useradd --system --uid 10001 --user-group --no-create-home millrace \
    && install --directory --owner=millrace --group=millrace --mode=700 /data
COPY --from=engine /libchdb.so /usr/lib/millrace/libchdb.so
COPY --from=build /src/target/release/millrace /usr/bin/millrace
# Below /data is the only place where Millrace writes: the root file system may be read-only.
ENV MILLRACE_ENGINE_LIB=/usr/lib/millrace/libchdb.so \
    MILLRACE_DATA_DIR=/data \
    MILLRACE_LISTEN=0.0.0.0:8080
USER 10001:10001
VOLUME /data
EXPOSE 8080
# Ready means that events are accepted, also while ClickHouse is down.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /readyz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r -t 4 _ status _ <&3 && [[ $status == 200 ]]"]
ENTRYPOINT ["tini", "--", "millrace"]
CMD ["serve"]
