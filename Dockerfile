# syntax=docker/dockerfile:1
# The gateway's image: one program, the libraries that it loads, certificates. No shell, no package manager.
#
#   make image                    antiphon:VERSION, with the commit it is built from
#   make image WITH=speech        antiphon:VERSION-speech, also flite and PocketSphinx
#   docker run --rm --read-only --tmpfs /tmp -v antiphon:/var/lib/antiphon -p 8080:8080 -p 8081:8081 antiphon:VERSION
#
# Dependencies are compiled in a layer of their own, which stays while Cargo.toml and Cargo.lock do.

ARG RUST=1.94
# As the workspace's Cargo.toml has it: scripts/release/version.py.
ARG VERSION=0.1.0
# The builder does not see the repository.
ARG COMMIT=""

FROM rust:${RUST}-bookworm AS tools
WORKDIR /build
RUN cargo install --locked --version 0.1.78 cargo-chef

FROM tools AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

# The dashboard, as a bundle that the program has inside. What xtask is built of stays while its lock does.
FROM tools AS web
RUN rustup target add wasm32-unknown-unknown
COPY xtask xtask
RUN cargo build --release --locked --manifest-path xtask/Cargo.toml
COPY . .
RUN cargo xtask web

FROM tools AS build
COPY --from=plan /build/recipe.json recipe.json
RUN cargo chef cook --release --locked --package antiphon --recipe-path recipe.json
COPY . .
COPY --from=web /build/web-ui/dist web-ui/dist
ARG COMMIT
RUN ANTIPHON_COMMIT=$COMMIT cargo build --release --locked --package antiphon
# It fetches the sources of what xtask is built of too, some of which is in the dashboard.
RUN python3 scripts/release/licences.py THIRD-PARTY.txt

# Debian's libraries of the same release as the builder's.
FROM debian:bookworm-slim AS tree
ARG WITH=""
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils ca-certificates \
       $([ "$WITH" != speech ] || echo flite pocketsphinx pocketsphinx-en-us) \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY LICENSE LICENSE
COPY scripts/image-tree.sh scripts/image-tree.sh
COPY --from=build /build/target/release/antiphon /build/THIRD-PARTY.txt ./
RUN scripts/image-tree.sh ./antiphon ./THIRD-PARTY.txt /image $WITH

FROM scratch
ARG VERSION
ARG COMMIT
LABEL org.opencontainers.image.title="Antiphon" \
    org.opencontainers.image.description="A multi-tenant gateway for voice APIs" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$COMMIT" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=tree /image /
ENV PATH=/usr/bin
USER 65532:65532
# What is written goes to the folders data and below; they are on a volume, for the root is read-only.
WORKDIR /var/lib/antiphon
EXPOSE 8080 8081 9464
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/antiphon"]
CMD ["serve", "--bind", "0.0.0.0:8080", "--admin-bind", "0.0.0.0:8081", "--metrics-bind", "0.0.0.0:9464"]
