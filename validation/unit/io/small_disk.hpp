#pragma once
// A disk of a few megabytes, for tests that fill it: an ext4 in a file, mounted through a loop
// device.

#include <cstdint>
#include <string>

namespace trireme::test {

/// Needs root, loop devices and mkfs.ext4; where one lacks, mounted() is false and why_not() says
/// which. Unmounted at the end.
class SmallDisk {
 public:
  /// Makes `folder` and, beside it, the file that holds the disk.
  SmallDisk(std::string folder, std::int64_t bytes);
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool mounted() const { return mounted_; }
  const std::string& why_not() const { return why_not_; }
  const std::string& path() const { return folder_; }
  bool make_read_only();

 private:
  std::string folder_;
  std::string image_;
  std::string why_not_;
  bool mounted_ = false;
};

}  // namespace trireme::test
