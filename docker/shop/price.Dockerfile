# The shop's price under rbinder. Its context is the project's root.
FROM python:3.12-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends default-jdk-headless \
    && rm -rf /var/lib/apt/lists/*

COPY pyproject.toml README.md LICENSE /usr/src/rbinder/
COPY rbinder /usr/src/rbinder/rbinder
RUN pip install --no-cache-dir --root-user-action ignore /usr/src/rbinder

WORKDIR /shop
COPY examples/shop/Price.java .
USER nobody
CMD ["rbinder", "java", "Price.java", "8082"]
