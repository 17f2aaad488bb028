# The webhook as it runs from the checkout. Node strips the types itself, so there is nothing to build.
FROM node:24.21.0-slim
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The image has its Node already: the one that npm could bring along stays out.
RUN npm ci --omit=dev --omit=optional && npm cache clean --force
COPY src ./src
# The user `node` of the image, by number: the kubelet can tell that it is not root.
USER 1000:1000
EXPOSE 8443
ENTRYPOINT ["node", "src/main.ts"]
CMD ["serve", "--metrics-listen", "0.0.0.0:9090"]
