#pragma once
// Checksums moved to io/checksum.hpp, which every folder of io may include.

#include "io/checksum.hpp"
