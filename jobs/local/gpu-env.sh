# Sourced by scripts that start GPU programs: puts NVIDIA's libraries on LD_LIBRARY_PATH where the loader does not find
# them (the CUDA toolkit's folder, or Python wheels), and names those that are nowhere. $program is what will be started.
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

missing_libraries() { ldd "$program" 2>/dev/null | awk '/not found/ {print $1}'; }
# Programs look for NCCL only when ranks have a GPU each, and say so where it is missing.
knows_nccl() { /sbin/ldconfig -p 2>/dev/null | grep -q 'libnccl\.so\.2'; }

if [ -n "$(missing_libraries)" ] || ! knows_nccl; then
  shopt -s nullglob
  for folder in "${CUDA_HOME:-/usr/local/cuda}"/lib64 /usr/local/cuda-*/lib64 \
    {"${VIRTUAL_ENV:-/usr}","$HOME/.local",/usr/local}/lib/python3*/{site,dist}-packages/nvidia/*/lib; do
    LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
  done
  shopt -u nullglob
  export LD_LIBRARY_PATH
fi
if [ -n "$(missing_libraries)" ]; then
  echo "missing libraries: $(missing_libraries | tr '\n' ' ')" >&2
  echo "install the CUDA 13 toolkit (or its Python wheels) and set CUDA_HOME or VIRTUAL_ENV, or add their folder to LD_LIBRARY_PATH" >&2
  exit 1
fi
