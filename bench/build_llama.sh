#!/usr/bin/env bash
# llama.cpp's server, benchmark and tools into a folder, from the source package that llama-cpp-python has on PyPI.
#   bash bench/build_llama.sh FOLDER ["-DGGML_NATIVE=OFF -DGGML_AVX2=ON …"]
# Its code for AMX crashes on some virtual machines; flags that leave AMX out help there.
set -euo pipefail

VERSION=0.3.36
folder=$(realpath -m "$1")
flags=${2:-${LLAMA_FLAGS:-}}
python=${PYTHON:-python3}
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT

"$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
  "llama-cpp-python==$VERSION" -d "$source"
tar -xzf "$source"/llama_cpp_python-*.tar.gz -C "$source"
# shellcheck disable=SC2086  # several flags
cmake -G Ninja -S "$source/llama_cpp_python-$VERSION/vendor/llama.cpp" -B "$source/build" \
  -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_TESTS=OFF \
  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF $flags
ninja -C "$source/build" llama-server llama-bench llama-quantize llama-perplexity
mkdir -p "$folder"
cp "$source"/build/bin/llama-{server,bench,quantize,perplexity} "$folder"
