# Quarry as an image: built in one stage, run from a small one by a user of its own.
#
# It builds with BuildKit and with the classic builder. Both base images are arguments, so that it also builds
# where no registry can be reached: name images that are already there.
ARG BUILDER_IMAGE=rust:1-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILDER_IMAGE} AS builder
# What cleans up after repeated builds can tell this stage by its label.
LABEL quarry.stage=builder

# RocksDB needs a C++ compiler, and its bindings libclang with Clang's own headers.
RUN if command -v c++ && ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/llvm-*/lib/clang/*/include/stddef.h; \
    then echo "C++ compiler and libclang are in the base image"; \
    else apt-get update && apt-get install -y --no-install-recommends g++ libclang-dev && rm -rf /var/lib/apt/lists/*; \
    fi

# The dependencies, in a layer of their own: an empty crate with the same manifest compiles RocksDB and all the
# others, and a change of Quarry's source does not compile them again. Declared benches need a file to exist.
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches && echo '//! Nothing yet.' > src/lib.rs \
    && printf '%s\n' '//! Nothing yet.' 'fn main() {}' | tee src/main.rs > build.rs \
    && for bench in $(sed -n '/^\[\[bench]]/,/^name/s/^name *= *"\(.*\)"/\1/p' Cargo.toml); do \
         echo 'fn main() {}' > "benches/$bench.rs"; \
       done \
    && cargo build --release --locked

# The rest of what .dockerignore lets in. Cargo compares times, and a copied file is often older than what the empty
# crate left behind: hence the touch.
COPY . .
RUN find build.rs proto src -exec touch {} + \
    && cargo build --release --locked \
    && install -D -s "${CARGO_TARGET_DIR:-target}/release/quarry" /out/quarry

FROM ${RUNTIME_IMAGE}
RUN if ls /usr/lib/*/libstdc++.so.6; \
    then echo "the C++ library is in the base image"; \
    else apt-get update && apt-get install -y --no-install-recommends libstdc++6 && rm -rf /var/lib/apt/lists/*; \
    fi \
    && useradd --uid 10001 --create-home --shell /usr/sbin/nologin quarry \
    && install -d -o quarry -g quarry -m 0700 /data
COPY deploy/replica /usr/local/bin/quarry-replica
COPY --from=builder /out/quarry /usr/local/bin/quarry

# Peers, RPC, explorer. RPC and explorer listen on loopback inside the container unless told otherwise.
EXPOSE 7667/tcp 7668/tcp 7669/tcp
ENV QUARRY_DATADIR=/data
VOLUME /data
USER quarry
WORKDIR /home/quarry
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["quarry", "health"]
ENTRYPOINT ["quarry"]
CMD ["up"]
