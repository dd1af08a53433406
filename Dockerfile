# The image for a Deployment, a CronJob or a pipeline's step.
#
#   docker build --tag chaosrun .
#   docker build --build-arg BASE=localhost/python:3.11 --tag chaosrun .   # any base with Python >= 3.11
#
# A mirror's settings are read as a build secret and never stay in the image:
#   docker build --secret id=pip.conf,src=$HOME/.config/pip/pip.conf ...
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
WORKDIR /source
RUN python3 -m venv /opt/chaosrun
COPY requirements/image.lock requirements/image.lock
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /opt/chaosrun/bin/pip install --no-cache-dir --require-hashes --requirement requirements/image.lock
COPY . .
RUN /opt/chaosrun/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/chaosrun/bin/pip uninstall --yes --quiet hatchling editables

FROM ${BASE}
# By these programs it does harm inside of pods, as the agent of faults on Kubernetes. A base that
# has them already, or no apt, is left as it is.
RUN if command -v apt-get >/dev/null && ! command -v nft >/dev/null; then \
      apt-get update -qq && apt-get install -qq --yes --no-install-recommends \
        iproute2 netbase nftables stress-ng util-linux >/dev/null && rm -rf /var/lib/apt/lists/*; \
    fi
COPY --from=build /opt/chaosrun /opt/chaosrun
ENV PATH=/opt/chaosrun/bin:$PATH \
    CHAOSRUN_JOURNAL=sqlite:////var/lib/chaosrun/journal.db
# A numeric user, so that Kubernetes' runAsNonRoot can tell that it is not root.
RUN mkdir /var/lib/chaosrun && chown 65532:65532 /var/lib/chaosrun
USER 65532:65532
VOLUME /var/lib/chaosrun
WORKDIR /experiments
ENTRYPOINT ["chaosrun"]
