// Attributes: one string, int64 or double on a group or dataset.

#include "io/hdf5/file.hpp"

#include <fmt/format.h>

namespace trireme::io {
namespace {

/// Fixed-length string of these bytes; HDF5 has no strings of length 0, so one byte is padding.
Hdf5Handle string_type(std::size_t bytes) {
  Hdf5Handle type(check_hdf5(H5Tcopy(H5T_C_S1), "string type"), &H5Tclose);
  check_hdf5(H5Tset_size(type.get(), bytes + 1), "string type");
  check_hdf5(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "string type");
  check_hdf5(H5Tset_cset(type.get(), H5T_CSET_UTF8), "string type");
  return type;
}

}  // namespace

void Hdf5File::replace_attribute(std::string_view object, std::string_view name, hid_t file_type,
                                 hid_t memory_type, const void* value) {
  const std::string where = fmt::format("{}, attribute '{}'", place(object), name);
  const std::string text(name);
  const Hdf5Handle owner = open_object(object);
  if (check_hdf5(H5Aexists(owner.get(), text.c_str()), where) > 0)
    check_hdf5(H5Adelete(owner.get(), text.c_str()), where);
  const Hdf5Handle space(check_hdf5(H5Screate(H5S_SCALAR), where), &H5Sclose);
  const Hdf5Handle attribute(check_hdf5(H5Acreate2(owner.get(), text.c_str(), file_type,
                                                   space.get(), H5P_DEFAULT, H5P_DEFAULT),
                                        where),
                             &H5Aclose);
  check_hdf5(H5Awrite(attribute.get(), memory_type, value), where);
}

void Hdf5File::set_attribute(std::string_view object, std::string_view name,
                             std::string_view value) {
  const Hdf5Lock lock;
  const Hdf5Handle type = string_type(value.size());
  const std::string padded(value);  // its terminating zero is the padding byte
  replace_attribute(object, name, type.get(), type.get(), padded.c_str());
}

void Hdf5File::set_int_attribute(std::string_view object, std::string_view name,
                                 std::int64_t value) {
  const Hdf5Lock lock;
  replace_attribute(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

void Hdf5File::set_attribute(std::string_view object, std::string_view name, double value) {
  const Hdf5Lock lock;
  replace_attribute(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

bool Hdf5File::has_attribute(std::string_view object, std::string_view name) const {
  const Hdf5Lock lock;
  const Hdf5Handle owner = open_object(object);
  return check_hdf5(H5Aexists(owner.get(), std::string(name).c_str()), place(object)) > 0;
}

Hdf5Handle Hdf5File::open_attribute(std::string_view object, std::string_view name) const {
  const std::string text(name);
  const Hdf5Handle owner = open_object(object);
  check(H5Aexists(owner.get(), text.c_str()) > 0, Exit::kFile,
        "{}: expected an attribute '{}', found none: the file was written by another program or "
        "version",
        place(object), name);
  Hdf5Handle attribute(check_hdf5(H5Aopen(owner.get(), text.c_str(), H5P_DEFAULT), place(object)),
                       &H5Aclose);
  return attribute;
}

std::string Hdf5File::string_attribute(std::string_view object, std::string_view name) const {
  const Hdf5Lock lock;
  const Hdf5Handle attribute = open_attribute(object, name);
  const Hdf5Handle stored(check_hdf5(H5Aget_type(attribute.get()), place(object)), &H5Tclose);
  check(H5Tget_class(stored.get()) == H5T_STRING && H5Tis_variable_str(stored.get()) == 0,
        Exit::kFile, "{}: expected attribute '{}' to be a string of fixed length", place(object),
        name);
  std::string value(H5Tget_size(stored.get()), '\0');
  check_hdf5(H5Aread(attribute.get(), stored.get(), value.data()), place(object));
  if (!value.empty() && value.back() == '\0') value.pop_back();  // only our padding byte
  return value;
}

std::int64_t Hdf5File::int_attribute(std::string_view object, std::string_view name) const {
  const Hdf5Lock lock;
  const Hdf5Handle attribute = open_attribute(object, name);
  std::int64_t value = 0;
  check_hdf5(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value),
             fmt::format("{}, attribute '{}' as an integer", place(object), name));
  return value;
}

double Hdf5File::double_attribute(std::string_view object, std::string_view name) const {
  const Hdf5Lock lock;
  const Hdf5Handle attribute = open_attribute(object, name);
  double value = 0;
  check_hdf5(H5Aread(attribute.get(), H5T_NATIVE_DOUBLE, &value),
             fmt::format("{}, attribute '{}' as a number", place(object), name));
  return value;
}

}  // namespace trireme::io
