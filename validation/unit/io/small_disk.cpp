#include "validation/unit/io/small_disk.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <unistd.h>

namespace trireme::test {
namespace {

bool works(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

}  // namespace

SmallDisk::SmallDisk(std::string folder, std::int64_t bytes)
    : folder_(std::move(folder)), image_(folder_ + ".ext4") {
  std::filesystem::create_directories(folder_);
  { std::ofstream made(image_); }
  std::filesystem::resize_file(image_, static_cast<std::uintmax_t>(bytes));
  const std::string path = "PATH=$PATH:/usr/sbin:/sbin ";
  if (::geteuid() != 0)
    why_not_ = "only root may mount";
  else if (!works(fmt::format("{}mkfs.ext4 -q -F '{}'", path, image_)))
    why_not_ = "mkfs.ext4 is missing or fails";
  else if (!works(fmt::format("{}mount -o loop '{}' '{}'", path, image_, folder_)))
    why_not_ = "mount -o loop fails: no loop device here";
  else
    mounted_ = true;
}

SmallDisk::~SmallDisk() {
  if (mounted_) works(fmt::format("umount '{}'", folder_));
}

bool SmallDisk::make_read_only() {
  const bool made = works(fmt::format("mount -o remount,ro '{}'", folder_));
  if (!made) why_not_ = "mount -o remount,ro fails";
  return made;
}

}  // namespace trireme::test
