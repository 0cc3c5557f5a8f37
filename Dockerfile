# syntax=docker/dockerfile:1
# Packages are those of the Debian release, whose security updates are wanted: not pinned.
# The program alone, built and run on the same Debian: docker build -t data-bridge .
FROM rust:1.95-bookworm AS build
# librdkafka is compiled from source, with TLS and zlib of the system.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libssl-dev make pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package data-bridge --bin data-bridge \
    && install -D --mode=0755 --strip target/release/data-bridge /out/usr/local/bin/data-bridge

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --no-log-init --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin bridge
COPY --from=build /out/ /
# A container is reached from beside it: loopback would hide it from probes, Prometheus and hub.
ENV HTTP_LISTEN=0.0.0.0:9401 \
    NO_COLOR=1
WORKDIR /etc/data-bridge
USER 10001:10001
EXPOSE 9400 9401
HEALTHCHECK --interval=15s --timeout=10s --start-period=20s --retries=3 \
    CMD ["data-bridge", "check"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["data-bridge"]
CMD ["run"]
