# Downloads the engine library from npm.
FROM node:22-bookworm-slim AS engine
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3 && rm -rf /var/lib/apt/lists/*
COPY scripts/fetch_engine.py /
RUN XDG_CACHE_HOME=/cache python3 /fetch_engine.py

# Builds the dashboard page.
FROM node:22-bookworm-slim AS page
WORKDIR /src
COPY proto proto
COPY web web
RUN npm --prefix web ci --no-audit --no-fund && npm --prefix web run build

# Builds the binary, with the page inside.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
COPY --from=page /src/web/dist web/dist
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates tini && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home millrace && mkdir /data && chown millrace /data
COPY --from=engine /cache/millrace/engine /usr/lib/millrace/engine
RUN ln -s /usr/lib/millrace/engine/*/libchdb.so /usr/lib/millrace/libchdb.so
COPY --from=build /src/target/release/millrace /usr/bin/millrace
ENV MILLRACE_ENGINE_LIB=/usr/lib/millrace/libchdb.so
USER millrace
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["tini", "--", "millrace"]
