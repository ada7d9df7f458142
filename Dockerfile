# The sidecar as a static binary and nothing else: no shell, no simulator, not root. Without the feature pkcs11: what is
# linked statically cannot load an HSM's library.
#   docker build -t bankside . && docker run -v ./bankside.toml:/etc/bankside/bankside.toml:ro bankside

FROM rust:1.95-alpine AS build
RUN apk add --no-cache build-base cmake perl linux-headers ca-certificates
WORKDIR /bankside

# Dependencies in a layer of their own: it is built anew only when they change.
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo .cargo
COPY config config
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --locked --release --no-default-features --features pkcs12 \
    && rm -r src

COPY src src
RUN touch src/main.rs src/lib.rs \
    && cargo build --locked --release --no-default-features --features pkcs12 \
    && mkdir -p /image/etc/bankside /image/etc/ssl/certs /image/var/lib/bankside \
    && cp target/release/bankside /image/bankside \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/

FROM scratch
COPY --from=build /image/bankside /bankside
COPY --from=build /image/etc /etc
# Where a relative store lies; mount a volume here, or grants end with the container.
COPY --from=build --chown=65532:65532 /image/var/lib/bankside /var/lib/bankside
USER 65532:65532
WORKDIR /var/lib/bankside
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
ENTRYPOINT ["/bankside"]
CMD ["run"]
