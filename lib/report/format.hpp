#pragma once
// Numbers with their units, for people. An unknown number is "-".

#include <cstdint>
#include <string>

namespace trireme::report {

std::string format_count(double value);                        ///< 5.24 M, 812
std::string format_speed(double per_second);                   ///< 2,431 up to 100,000, then 131 k
std::string format_integer(std::int64_t value);                ///< 1,048,576
std::string format_bytes(double bytes);                        ///< 3.1 GiB
std::string format_rate(double per_second, const char* unit);  ///< 84.2 G + unit: "84.2 GFLOP/s"
std::string format_seconds(double seconds);           ///< 812 us, 41.3 ms, 2.50 s, 4 min 05 s
std::string format_share(double share);               ///< 41.3 %
std::string format_number(double value, int digits);  ///< fixed, "-" when unknown

}  // namespace trireme::report
