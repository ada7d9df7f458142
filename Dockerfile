# The sidecar as a static binary and nothing else: no shell, no simulator, not root. Without the feature pkcs11: what is
# linked statically cannot load an HSM's library.
#
#   docker build -t bankside .
#
# deploy/compose.yaml and deploy/kubernetes.yaml run it. The same sources and the same base make the same binary: name the
# base by its digest (--build-arg BASE=rust:1.95-alpine@sha256:…), and give the commit's time, which dates the layers too:
#
#   docker buildx build --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) \
#       --output type=image,name=bankside,rewrite-timestamp=true .
#
# BASE may be any Alpine or Debian with a Rust toolchain. tests/image builds with a Debian made on the spot, where no image
# can be pulled and no daemon runs, and proves what is said here.

ARG BASE=rust:1.95-alpine

FROM ${BASE} AS build
# A C compiler and the kernel's headers for aws-lc and SQLite; the roots for the image. Debian's musl has no kernel headers
# of its own: they are those of the C library beside it.
RUN if command -v apk; then apk add --no-cache build-base linux-headers ca-certificates; exit; fi; \
    set -eu; arch=$(uname -m); \
    if ! command -v musl-gcc || ! [ -e /etc/ssl/certs/ca-certificates.crt ]; then \
        apt-get update; apt-get install -y --no-install-recommends gcc libc6-dev musl-tools ca-certificates; \
    fi; \
    for part in linux asm-generic "${arch}-linux-gnu/asm"; do \
        ln -sfn "/usr/include/${part}" "/usr/include/${arch}-linux-musl/${part##*/}"; \
    done; \
    if command -v rustup; then rustup target add "${arch}-unknown-linux-musl"; fi
WORKDIR /bankside
ARG SOURCE_DATE_EPOCH=0
ARG FEATURES=pkcs12,postgres
# How many compilers at a time; without it, as many as there are cores.
ARG CARGO_BUILD_JOBS
# One unit for the whole program: it is a fifth smaller so.
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never \
    CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
# The target is named, so that it is this one whatever the base's own is.
RUN mkdir -p /.cargo && printf '[build]\ntarget = "%s-unknown-linux-musl"\ntarget-dir = "/target"\n' "$(uname -m)" \
    > /.cargo/config.toml

# Dependencies in a layer of their own, on a program that is empty: it is built anew only when they change.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' | tee src/main.rs > build.rs \
    && cargo build --locked --release --no-default-features --features "${FEATURES}" \
    && rm -r src build.rs

# The sources keep the dates that they came with, which may be before those of the empty program: cargo goes by them.
COPY build.rs ./
COPY config config
COPY layout layout
COPY src src
RUN touch build.rs src/main.rs src/lib.rs \
    && cargo build --locked --release --no-default-features --features "${FEATURES}" \
    && install -D /target/*-unknown-linux-musl/release/bankside /image/bankside \
    && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && mkdir -p /image/etc/bankside /image/var/lib/bankside

FROM scratch
COPY --from=build /image/bankside /bankside
COPY --from=build /image/etc /etc
# For the store: mount a volume here, and name it in full (url = "sqlite:/var/lib/bankside/bankside.db"). A relative path
# would be relative to the configuration's folder, which nobody needs to write.
COPY --from=build --chown=65532:65532 /image/var/lib/bankside /var/lib/bankside
USER 65532:65532
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt BANKSIDE_CONFIG=/etc/bankside/bankside.toml
# Whether it lives, not whether it is ready: without a grant it waits for a person, whom a restart does not bring.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 CMD ["/bankside", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/bankside"]
CMD ["run"]
