#pragma once
// Columns of texts: one-dim datasets of fixed-length UTF-8 strings, as h5py and pandas read them.

#include "io/hdf5/file.hpp"

namespace trireme::io {

/// Creates the dataset and writes it, each text padded with zero bytes to the longest one. A file
/// of one process. Exit::kFile; a text with a zero byte is Exit::kUsage.
void write_texts(Hdf5File& file, std::string_view name, const std::vector<std::string>& texts);

/// Exit::kFile: no such dataset, or it holds something else.
std::vector<std::string> read_texts(const Hdf5File& file, std::string_view name);

}  // namespace trireme::io
