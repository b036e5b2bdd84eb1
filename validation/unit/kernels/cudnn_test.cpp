// What can be said of cuDNN's attention without a GPU: its front end accepts the graphs that
// training asks for, and refuses others. (Their results: kernels.attention under
// validation/gpu/run.)

#include "kernels/attention/attention_cudnn.hpp"

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace trireme::kernels::attention {
namespace {

std::string complaints(const AttentionShape& shape, DType dtype = DType::bf16) {
  std::string all;
  for (const int capability : {80, 90})
    all += fmt::format("{}", fmt::join(cudnn_complaints(shape, dtype, capability), "; "));
  return all;
}

TEST(Cudnn, TheFrontEndAcceptsTheGraphsOfTraining) {
  for (const DType dtype : {DType::bf16, DType::f16})
    for (const AttentionShape& shape : {AttentionShape{8, 1024, 12, 12, 64},
                                        {1, 4096, 25, 25, 64},
                                        {4, 1024, 32, 8, 128},
                                        {2, 512, 8, 1, 128},
                                        {1, 72, 4, 2, 32}})
      EXPECT_EQ(complaints(shape, dtype), "") << shape.seq << " x " << shape.heads;
}

TEST(Cudnn, TheFrontEndRefusesWhatItCannotDo) {
  EXPECT_NE(complaints({2, 512, 8, 8, 68}), "");  // rows of a head that are no multiple of 16 bytes
  EXPECT_NE(complaints({2, 512, 8, 3, 64}), "");  // heads that do not divide
}

TEST(Cudnn, ItsVersionIsNamedForTheDtypesItTakes) {
  EXPECT_EQ(cudnn_attention(DType::bf16).substr(0, 7), "cuDNN 9");
  EXPECT_EQ(cudnn_attention(DType::f32), "");
}

}  // namespace
}  // namespace trireme::kernels::attention
