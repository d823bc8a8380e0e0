# One image for every process of the engine: the command says which (docker-compose.yml). Debian's glibc, because the
# native core of the Temporal worker has no build for musl.
ARG NODE_IMAGE=node:24.22.3-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
# What the version says it was built from; the sources come without their history.
ARG COMMIT=
RUN COMMIT="$COMMIT" npm run build

FROM ${NODE_IMAGE} AS packages
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# Optional packages are what only a development machine needs; of the native core's platforms this one is enough.
RUN npm ci --omit=dev --omit=optional \
  && find node_modules/@temporalio/core-bridge/releases -mindepth 1 -maxdepth 1 ! -name "$(uname -m)-unknown-linux-gnu" -exec rm -r {} + \
  && test -d node_modules/@temporalio/core-bridge/releases

FROM ${NODE_IMAGE}
# Node brings its own list of authorities; the worker's native core reads the system's.
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/*
ENV NODE_ENV=production TZ=UTC
WORKDIR /app
# Owned by root and written by nobody: the processes keep nothing on disk, so the file system may be read-only. Reports
# of the audit are the exception, and belong on a volume.
RUN mkdir -p /app/audit-reports && chown node /app/audit-reports
COPY --from=packages /build/node_modules ./node_modules
COPY --from=build /build/package.json ./
COPY --from=build /build/dist ./dist
USER node
CMD ["node", "dist/api/main.js"]
