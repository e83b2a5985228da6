# The shop's storefront under rbinder. Its context is the project's root.
FROM python:3.12-slim-bookworm

COPY pyproject.toml README.md LICENSE /usr/src/rbinder/
COPY rbinder /usr/src/rbinder/rbinder
RUN pip install --no-cache-dir --root-user-action ignore /usr/src/rbinder

WORKDIR /shop
COPY examples/shop/storefront.py .
USER nobody
CMD ["rbinder", "python", "storefront.py", "8080"]
