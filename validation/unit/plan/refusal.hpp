#pragma once
// The message of an error that a call must throw.

#include "kernels/base/error.hpp"

#include <string>

namespace trireme::validation {

/// Text of the Error(kUsage) that `call` throws; "" when it throws none, or another one.
template <class Call>
std::string refusal(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code() == Exit::kUsage ? error.text() : "";
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace trireme::validation
