FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/everlink
WORKDIR /everlink
RUN useradd --system --no-create-home everlink

COPY requirements-service.txt .
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-service.txt

COPY everlink everlink
COPY providers providers
COPY store store
COPY activities activities
COPY workflows workflows
COPY api api
COPY doctor doctor
COPY worker.py manage.py ./

USER everlink
CMD ["python", "worker.py"]
