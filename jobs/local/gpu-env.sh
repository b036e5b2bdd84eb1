# Sourced by scripts that start GPU programs: puts NVIDIA's libraries on LD_LIBRARY_PATH where the loader does not find
# them (the CUDA toolkit's folder, or Python wheels), and names those that are nowhere. $program is what will be started;
# $wheels are then the folders nvidia/ of Python's wheels.
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

missing_libraries() { ldd "$program" 2>/dev/null | awk '/not found/ {print $1}'; }
# Programs open NCCL and cuDNN themselves where they use them.
knows() { [[ $(/sbin/ldconfig -p 2>/dev/null) = *"$1"* ]]; }

# Folders of Python's wheels: of the python3 on PATH, whether or not its environment was activated, and the usual ones.
mapfile -t wheels < <(python3 -c 'import sysconfig
print(*dict.fromkeys(map(sysconfig.get_path, ("platlib", "purelib"))), sep="\n")' 2>/dev/null)
shopt -s nullglob
wheels=("${wheels[@]/%//nvidia}" {"${VIRTUAL_ENV:-/usr}","$HOME/.local",/usr/local}/lib/python3*/{site,dist}-packages/nvidia)
if [ -n "$(missing_libraries)" ] || ! knows libnccl.so.2 || ! knows libcudnn.so.9; then
  for folder in "${CUDA_HOME:-/usr/local/cuda}"/lib64 /usr/local/cuda-*/lib64; do
    LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
  done
  for wheel in "${wheels[@]}"; do
    for folder in "$wheel"/*/lib; do LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder; done
  done
  export LD_LIBRARY_PATH
fi
shopt -u nullglob
if [ -n "$(missing_libraries)" ]; then
  echo "missing libraries: $(missing_libraries | tr '\n' ' ')" >&2
  echo "install the CUDA 13 toolkit and set CUDA_HOME, or its Python wheels for the python3 on PATH, or add their folder to LD_LIBRARY_PATH" >&2
  exit 1
fi
