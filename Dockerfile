# syntax=docker/dockerfile:1
# One build, two small images:
#   docker build --target control-plane -t tollgate/control-plane .
#   docker build --target data-plane -t tollgate/data-plane .

FROM swift:6.3-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        libuv1-dev libnghttp2-dev libhttp-parser-dev libssl-dev libcurl4-openssl-dev libhiredis-dev libpq-dev \
        libxxhash-dev libargon2-dev libjemalloc-dev libsimdjson-dev zlib1g-dev libbrotli-dev libzstd-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Package.swift ./
COPY Sources ./Sources
COPY Tests ./Tests
RUN swift build -c release --static-swift-stdlib --explicit-target-dependency-import-check error \
        --product control-plane \
    && swift build -c release --static-swift-stdlib --explicit-target-dependency-import-check error \
        --product data-plane \
    && mkdir /out \
    && cp .build/release/control-plane .build/release/data-plane /out/ \
    && strip /out/* \
    && ! ldd /out/data-plane | grep libpq

# What both programs link against. Debian's names are those of bookworm, which the build stage has too.
FROM debian:bookworm-slim AS runtime
RUN apt-get update && apt-get install -y --no-install-recommends \
        ca-certificates tzdata libstdc++6 libuv1 libnghttp2-14 libhttp-parser2.9 libssl3 libcurl4 libhiredis0.14 \
        libxxhash0 libargon2-1 libjemalloc2 libsimdjson14 zlib1g libbrotli1 libzstd1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin tollgate \
    && install -d -o tollgate -g tollgate -m 700 /var/lib/tollgate/journal
USER 10001:10001
STOPSIGNAL SIGTERM

FROM runtime AS control-plane
USER root
RUN apt-get update && apt-get install -y --no-install-recommends libpq5 && rm -rf /var/lib/apt/lists/*
USER 10001:10001
COPY --from=build /out/control-plane /usr/local/bin/control-plane
# The internal listener is for workers elsewhere, so it must be given TOLLGATE_INTERNAL_TLS_CERT and _KEY.
ENV TOLLGATE_ADMIN_LISTEN=0.0.0.0:8081 \
    TOLLGATE_INTERNAL_LISTEN=0.0.0.0:8082 \
    TOLLGATE_OPS_LISTEN=0.0.0.0:8084
EXPOSE 8081 8082 8084
ENTRYPOINT ["/usr/local/bin/control-plane"]

FROM runtime AS data-plane
COPY --from=build /out/data-plane /usr/local/bin/data-plane
ENV TOLLGATE_LISTEN=0.0.0.0:8080 \
    TOLLGATE_OPS_LISTEN=0.0.0.0:8085 \
    TOLLGATE_JOURNAL_DIR=/var/lib/tollgate/journal
# Usage that could reach neither Redis nor the control plane waits here.
VOLUME /var/lib/tollgate/journal
EXPOSE 8080 8085
ENTRYPOINT ["/usr/local/bin/data-plane"]
