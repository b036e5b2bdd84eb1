#include "io/hdf5/texts.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trireme::io {
namespace {

/// HDF5 has no strings of length 0.
Hdf5Handle padded_string(std::size_t bytes) {
  Hdf5Handle type(check_hdf5(H5Tcopy(H5T_C_S1), "string type"), &H5Tclose);
  check_hdf5(H5Tset_size(type.get(), std::max<std::size_t>(bytes, 1)), "string type");
  check_hdf5(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "string type");
  check_hdf5(H5Tset_cset(type.get(), H5T_CSET_UTF8), "string type");
  return type;
}

}  // namespace

void write_texts(Hdf5File& file, std::string_view name, const std::vector<std::string>& texts) {
  const std::string where = fmt::format("file '{}': '{}'", file.path(), name);
  check(!file.parallel(), Exit::kUsage, "{}: texts are written by one process", where);
  std::size_t longest = 1;
  for (const std::string& text : texts) {
    check(text.find('\0') == std::string::npos, Exit::kUsage,
          "{}: expected texts without zero bytes", where);
    longest = std::max(longest, text.size());
  }
  std::string bytes(longest * texts.size(), '\0');
  for (std::size_t i = 0; i < texts.size(); ++i)
    std::copy(texts[i].begin(), texts[i].end(), bytes.data() + i * longest);

  const Hdf5Lock lock;
  const Hdf5Handle type = padded_string(longest);
  const hsize_t count = texts.size();
  const Hdf5Handle space(check_hdf5(H5Screate_simple(1, &count, nullptr), where), &H5Sclose);
  const Hdf5Handle data(check_hdf5(H5Dcreate2(file.id(), std::string(name).c_str(), type.get(),
                                              space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                                   where),
                        &H5Dclose);
  if (count > 0)
    check_hdf5(H5Dwrite(data.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()),
               where);
}

std::vector<std::string> read_texts(const Hdf5File& file, std::string_view name) {
  const std::string where = fmt::format("file '{}': '{}'", file.path(), name);
  const Hdf5Lock lock;
  const Hdf5Handle data(
      check_hdf5(H5Dopen2(file.id(), std::string(name).c_str(), H5P_DEFAULT), where), &H5Dclose);
  const Hdf5Handle space(check_hdf5(H5Dget_space(data.get()), where), &H5Sclose);
  const Hdf5Handle stored(check_hdf5(H5Dget_type(data.get()), where), &H5Tclose);
  check(H5Tget_class(stored.get()) == H5T_STRING && H5Tis_variable_str(stored.get()) == 0 &&
            H5Sget_simple_extent_ndims(space.get()) == 1,
        Exit::kFile, "{}: expected one dim of fixed-length strings", where);
  const std::size_t longest = H5Tget_size(stored.get());
  hsize_t count = 0;
  check_hdf5(H5Sget_simple_extent_dims(space.get(), &count, nullptr), where);
  std::string bytes(longest * count, '\0');
  const Hdf5Handle type = padded_string(longest);
  if (count > 0)
    check_hdf5(H5Dread(data.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()), where);
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string one = bytes.substr(i * longest, longest);
    texts.push_back(one.substr(0, one.find('\0')));
  }
  return texts;
}

}  // namespace trireme::io
