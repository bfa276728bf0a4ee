#!/usr/bin/env bash
# What ottla compresses, kafka-python reads, and the other way around, for all codecs. Installs kafka-python and the codecs
# that it needs into a directory outside of the project, which is removed at the end. Needs python3 and a way to PyPI.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

outside=$(mktemp -d)
trap 'rm -rf "$outside"' EXIT
python3 -m venv "$outside"
"$outside/bin/pip" install --quiet kafka-python python-snappy lz4 zstandard crc32c

KAFKA_PYTHON=$outside/bin/python cargo test --all-features --test it -- --ignored --nocapture kafka_python
