#pragma once
// The device tier of a rank with a GPU: its memory, host memory that it reaches, and the streams in
// which it is worked on. The device was selected (kernels/base/device.hpp) before this is made.

#include "kernels/base/device.hpp"

namespace trireme::state {

struct DeviceTier {
  /// `bytes` of device memory, zero; [host, host + host_bytes) is page-locked for as long as this
  /// lives. Exit::kUsage where the device has less.
  DeviceTier(std::int64_t bytes, void* host, std::int64_t host_bytes);
  ~DeviceTier();
  DeviceTier(const DeviceTier&) = delete;
  DeviceTier& operator=(const DeviceTier&) = delete;

  DeviceMemory memory;
  PinnedRange pinned;
  Stream compute;   ///< its kernels work in memory that the plan has reserved; the others' in none
  Stream copy_out;  ///< to the host
  Stream copy_in;   ///< from the host, and within the device
  Stream comm;      ///< to and from other devices
};

}  // namespace trireme::state
