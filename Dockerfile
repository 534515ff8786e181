# Two stages: the toolchain builds, a slim image runs. Not root; certificates for https:// upstreams are there.
#
#   docker build -t hookward .
#   docker run -p 8080:8080 -v ./hookward.toml:/etc/hookward/hookward.toml:ro -v hookward:/var/lib/hookward hookward

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches benches
COPY migrations migrations
COPY presets presets
COPY src src
COPY templates templates
RUN cargo build --locked --profile dist --bin hookward && cp target/dist/hookward /hookward

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --uid 10001 hookward && install -d -o hookward /var/lib/hookward
COPY --from=build /hookward /usr/local/bin/hookward
USER 10001
# For sqlite: stores.
VOLUME /var/lib/hookward
EXPOSE 8080 9090
ENTRYPOINT ["hookward"]
CMD ["serve"]
