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

ARG BASE=rust:1.95-alpine

FROM ${BASE} AS build
# A C compiler and the kernel's headers for aws-lc and SQLite; the roots for the image.
RUN apk add --no-cache build-base linux-headers ca-certificates
WORKDIR /bankside
ARG SOURCE_DATE_EPOCH=0
ARG FEATURES=pkcs12,postgres
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never

# Dependencies in a layer of their own, on a program that is empty: it is built anew only when they change.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' | tee src/main.rs > build.rs \
    && cargo build --locked --release --no-default-features --features "${FEATURES}" \
    && rm -r src build.rs

# The sources keep the dates that they came with, which may be before those of the empty program: cargo goes by them.
COPY build.rs ./
COPY config config
COPY src src
RUN touch build.rs src/main.rs src/lib.rs \
    && cargo build --locked --release --no-default-features --features "${FEATURES}" \
    && install -D target/release/bankside /image/bankside \
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
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=1s --retries=3 CMD ["/bankside", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/bankside"]
CMD ["run"]
