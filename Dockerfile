# The server with everything it needs for PostgreSQL and MongoDB. Alone it runs on SQLite:
#
#   docker build -t dservercore .
#   docker run --name dserver -p 5000:5000 -v dserver-data:/data dservercore
#   docker exec dserver flask user add --is_admin admin
#   docker exec dserver flask user token admin
#
# docker-compose.yml runs it behind nginx, with PostgreSQL and MongoDB.

FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    wheel="$(ls /wheels/dservercore-*.whl)" \
    && pip install --no-cache-dir "${wheel}[ldap,metrics,oidc,postgresql,s3]"

# The number is fixed, so that the owner of files in a volume stays the same from one image to the next.
RUN useradd --uid 1000 --no-create-home --home-dir /data --shell /usr/sbin/nologin dserver \
    && install --directory --owner dserver --group dserver --mode 700 /data
COPY --chmod=755 docker/entrypoint.sh /usr/local/bin/dserver-entrypoint

ENV FLASK_APP=dservercore \
    DSERVER_DATA_DIR=/data \
    PYTHONUNBUFFERED=1
USER dserver
WORKDIR /data
# Keys, and the database unless SQLALCHEMY_DATABASE_URI names another one.
VOLUME /data
EXPOSE 5000

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/config/health', timeout=4)"]

ENTRYPOINT ["dserver-entrypoint"]
# Slow clients hold up nobody here, so that it may be reached without a proxy, too. Workers, threads and limits are set by
# environment variables (DSERVER_WORKERS and so on); the seconds are fewer than those that docker waits before it kills.
CMD ["flask", "serve", "--host", "0.0.0.0", "--graceful-timeout", "8"]
