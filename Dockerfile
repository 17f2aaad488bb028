# The webhook as one file: what it is made with and the dependencies it is made of stay behind.
FROM node:24.21.0-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY build.ts tsconfig.json ./
COPY src ./src
RUN npm run build

FROM node:24.21.0-slim
WORKDIR /app
# It says that the file is a module; without it Node would read the file twice to find out.
COPY package.json ./
COPY --from=build /build/dist ./
# The user `node` of the image, by number: the kubelet can tell that it is not root.
USER 1000:1000
EXPOSE 8443
# Memory before speed: a large cluster in view takes half of it (docs/performance.md).
ENTRYPOINT ["node", "--optimize-for-size", "--max-semi-space-size=2", "meshvip.js"]
CMD ["serve", "--metrics-listen", "0.0.0.0:9090"]
