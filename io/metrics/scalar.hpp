#pragma once
// One number with the name that monitors know it by.

#include <string_view>

namespace trireme::io {

struct Scalar {
  std::string_view tag;  ///< "Train/Samples/train_loss"
  double value = 0;
};

}  // namespace trireme::io
