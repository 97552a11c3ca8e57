# docker build -t stde .
# docker run --gpus all --volume "$PWD/runs:/work/runs" stde solve pde=allen_cahn dim=1000000
FROM nvidia/cuda:12.9.1-runtime-ubuntu24.04

RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/stde/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY stde_cli stde_cli
COPY hydra_plugins hydra_plugins
COPY configs configs
RUN python3 -m venv /opt/stde \
    && pip install --no-cache-dir --constraint constraints.txt '.[cuda,sweep,tune]' \
    && rm -rf /src

# User 1000, as the owner of a mounted runs/ mostly is.
RUN userdel --remove ubuntu && useradd --uid 1000 --create-home solver && mkdir --parents /work/runs && chown -R solver /work
USER solver
WORKDIR /work
ENTRYPOINT ["stde"]
CMD ["--help"]
