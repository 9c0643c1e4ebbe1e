#!/usr/bin/env bash
# Throughput on a compute node that has torch, numpy, xarray, h5py and safetensors: nothing is
# installed, the checkout itself is on the path. Any option of throughput.py may follow:
#   benchmarks/gpu.sh                              CUDA if there is one; under three minutes
#   benchmarks/gpu.sh --device cpu --size small    seconds, anywhere
#   PYTHON=/opt/env/bin/python benchmarks/gpu.sh --json throughput.json
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export PYTHONPATH="${here}/..${PYTHONPATH:+:${PYTHONPATH}}"
exec "${PYTHON:-python3}" "${here}/throughput.py" "$@"
