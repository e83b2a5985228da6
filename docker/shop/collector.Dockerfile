# The example collector: prints each trace as a tree. Its context is the project's root.
FROM python:3.12-slim-bookworm

RUN pip install --no-cache-dir --root-user-action ignore opentelemetry-proto grpcio

WORKDIR /shop
COPY examples/collector.py .
USER nobody
CMD ["python", "collector.py", "--host", "0.0.0.0", "--http", "4318", "--grpc", "4317", "--tree"]
