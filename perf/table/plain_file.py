#!/usr/bin/env python3
"""Writes BYTES to PATH, synced, reads them back from the disk, and removes the file: plain_file.py PATH BYTES.

Blocks of 4 MiB. Prints both rates in GB/s as one JSON object. What the page cache holds is dropped before the read; what a
host below this machine holds is not.
"""

import json
import os
import sys
import time


def main():
    path, size = sys.argv[1], int(sys.argv[2])
    block = bytearray(os.urandom(1 << 22))
    start = time.perf_counter()
    with open(path, "wb", buffering=0) as file:
        for begin in range(0, size, len(block)):
            file.write(memoryview(block)[:min(len(block), size - begin)])
        os.fsync(file.fileno())
    written = time.perf_counter() - start
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    start = time.perf_counter()
    while os.readv(descriptor, [block]) > 0:
        pass
    seconds = time.perf_counter() - start
    os.close(descriptor)
    os.unlink(path)
    print(json.dumps({"plain write": size / written / 1e9, "plain read": size / seconds / 1e9}))


if __name__ == "__main__":
    main()
