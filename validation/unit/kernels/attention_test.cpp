// Fused attention against the textbook's, whose gradients are checked by finite differences:
// dtypes, odd sizes, grouped heads, packed strides, documents, dropout, every number of threads;
// and that the same checks catch a wrong mask and a dropped tile.

#include "kernels/attention/attention.hpp"
#include "kernels/gemm/product.hpp"
#include "validation/harness/device_fixture.hpp"
#include "validation/harness/reference_math.hpp"
#include "validation/unit/kernels/attention_reference.hpp"

#include <array>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <span>

namespace trireme::kernels {
namespace {

using validation::relative_error;
using validation::TestTensor;
using Values = std::vector<double>;

const auto* const kRuntime = validation::with_runtime_and_device(4);

struct Case {
  AttentionShape shape;
  DType dtype = DType::f32;
  float scale = 0;
  std::vector<std::int32_t> starts = {};
  DropoutKey dropout = {};
};

struct Result {
  Values out, lse, dq, dk, dv;
};

/// Errors come from rounding p and ds to the dtype of the products (sums are fp32) and the result
/// to storage: about eps each; 3 leaves room for cancellation in ds.
double tolerance(DType dtype) { return dtype == DType::f32 ? 1e-5 : 3 * epsilon_of(dtype); }

/// q, k and v lie side by side in one packed projection, as do their gradients; out has a gap.
struct Buffers {
  TestTensor packed, gradient, out, dout, lse;

  explicit Buffers(const Case& c)
      : packed(TestTensor::random({c.shape.tokens(), width(c)}, c.dtype, 1)),
        gradient(TestTensor::random({c.shape.tokens(), width(c)}, c.dtype, 2)),
        out({c.shape.tokens(), q_width(c)}, c.dtype, q_width(c) + 24),
        dout(TestTensor::random({c.shape.tokens(), q_width(c)}, c.dtype, 3)),
        lse({c.shape.batch, c.shape.heads, c.shape.seq}, DType::f32) {}

  static std::int64_t q_width(const Case& c) { return c.shape.heads * c.shape.head_dim; }
  static std::int64_t kv_width(const Case& c) { return c.shape.kv_heads * c.shape.head_dim; }
  static std::int64_t width(const Case& c) { return q_width(c) + 2 * kv_width(c); }
};

struct Slices {
  TensorView q, k, v;
};
Slices slices(const Case& c, const TestTensor& packed) {
  const auto q = Buffers::q_width(c);
  const auto kv = Buffers::kv_width(c);
  return {packed.view().column_slice(0, q), packed.view().column_slice(q, kv),
          packed.view().column_slice(q + kv, kv)};
}

/// The values of q, k and v.
std::array<Values, 3> values_of(const Case& c, const TestTensor& packed) {
  const Values all = packed.values();
  const auto q = static_cast<std::size_t>(Buffers::q_width(c));
  const auto kv = static_cast<std::size_t>(Buffers::kv_width(c));
  std::array<Values, 3> slices;
  for (std::size_t row = 0; row < all.size(); row += q + 2 * kv) {
    const auto at = all.begin() + static_cast<std::ptrdiff_t>(row);
    const auto ends = {q, q + kv, q + 2 * kv};
    std::size_t begin = 0, which = 0;
    for (const std::size_t end : ends) {
      slices[which].insert(slices[which].end(), at + static_cast<std::ptrdiff_t>(begin),
                           at + static_cast<std::ptrdiff_t>(end));
      begin = end;
      ++which;
    }
  }
  return slices;
}

Result run(const Case& c) {
  const Buffers buffers(c);
  const auto [q, k, v] = slices(c, buffers.packed);
  const auto [dq, dk, dv] = slices(c, buffers.gradient);
  AttentionOptions options{.scale = c.scale, .dropout = c.dropout};
  const validation::TestIds starts(c.starts);
  if (!c.starts.empty()) options.document_start = starts.view();
  attention_forward(c.shape, buffers.out.view(), buffers.lse.view(), q, k, v, options);
  attention_backward(c.shape, dq, dk, dv, buffers.dout.view(), q, k, v, buffers.out.view(),
                     buffers.lse.view(), options);
  EXPECT_TRUE(buffers.out.gaps_intact());
  const auto [got_q, got_k, got_v] = values_of(c, buffers.gradient);
  return {buffers.out.values(), buffers.lse.values(), got_q, got_k, got_v};
}

Result reference(const Case& c, bool causal = true) {
  const Buffers buffers(c);
  const auto [q, k, v] = values_of(c, buffers.packed);
  const ReferenceAttention plain{c.shape, static_cast<double>(c.scale), c.starts, c.dropout,
                                 causal};
  const auto [out, lse] = plain.forward(q, k, v);
  const auto [dq, dk, dv] = plain.backward(q, k, v, buffers.dout.values());
  return {out, lse, dq, dk, dv};
}

/// Largest relative error of the five results.
double worst(const Result& got, const Result& want) {
  return std::max({relative_error(got.out, want.out), relative_error(got.lse, want.lse),
                   relative_error(got.dq, want.dq), relative_error(got.dk, want.dk),
                   relative_error(got.dv, want.dv)});
}

void expect_same_bits(const Result& first, const Result& again) {
  EXPECT_EQ(first.out, again.out);
  EXPECT_EQ(first.lse, again.lse);
  EXPECT_EQ(first.dq, again.dq);
  EXPECT_EQ(first.dk, again.dk);
  EXPECT_EQ(first.dv, again.dv);
}

constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16};

const AttentionShape kShapes[] = {
    {.batch = 2, .seq = 37, .heads = 3, .kv_heads = 3, .head_dim = 16},
    {.batch = 2, .seq = 130, .heads = 4, .kv_heads = 2, .head_dim = 24},
    {.batch = 1, .seq = 530, .heads = 2, .kv_heads = 1, .head_dim = 40},  // two tiles of keys
    {.batch = 1, .seq = 70, .heads = 2, .kv_heads = 2, .head_dim = 13},
    {.batch = 1, .seq = 75, .heads = 2, .kv_heads = 1, .head_dim = 128},
    {.batch = 1, .seq = 41, .heads = 1, .kv_heads = 1, .head_dim = 200},
    {.batch = 1, .seq = 33, .heads = 1, .kv_heads = 1, .head_dim = 397},  // deeper than a strip
};

/// Those that attention takes in this memory space: on the device heads of up to 256 elements.
std::span<const AttentionShape> shapes() {
  const std::span all(kShapes);
  return validation::test_space() == MemorySpace::device ? all.first(all.size() - 1) : all;
}

/// Documents of changing length: 5, 12, 19, ... positions.
std::vector<std::int32_t> some_documents(const AttentionShape& shape) {
  std::vector<std::int32_t> starts;
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    std::int64_t start = 0;
    std::int64_t length = 5 + b;
    for (std::int64_t i = 0; i < shape.seq; ++i) {
      if (i == start + length) {
        start = i;
        length += 7;
      }
      starts.push_back(static_cast<std::int32_t>(start));
    }
  }
  return starts;
}

const DropoutKey kDropout{
    .seed = 1, .step = 2, .layer_place = 3, .probability = 0.2f, .first_sample = 4};

TEST(Attention, AgreesWithTheTextbook) {
  for (const DType dtype : kTypes)
    for (const AttentionShape& shape : shapes()) {
      const Case c{shape, dtype};
      EXPECT_LT(worst(run(c), reference(c)), tolerance(dtype))
          << name_of(dtype) << " seq " << shape.seq;
    }
}

TEST(Attention, KnowsDocumentsDropoutAndScale) {
  for (const DType dtype : kTypes)
    for (const AttentionShape& shape : shapes()) {
      for (const Case& c : {Case{.shape = shape, .dtype = dtype, .starts = some_documents(shape)},
                            Case{.shape = shape, .dtype = dtype, .dropout = kDropout},
                            Case{.shape = shape,
                            .dtype = dtype,
                            .scale = 0.3f,
                            .starts = some_documents(shape),
                            .dropout = kDropout}}) {
        EXPECT_LT(worst(run(c), reference(c)), tolerance(dtype))
            << name_of(dtype) << " seq " << shape.seq;
      }
    }
}

TEST(Attention, ReferenceGradientsAreTheDerivatives) {
  const AttentionShape shape{.batch = 1, .seq = 9, .heads = 2, .kv_heads = 1, .head_dim = 4};
  Case c{shape, DType::f32, 0, some_documents(shape), kDropout};
  const Buffers buffers(c);
  const ReferenceAttention plain{shape, 0, c.starts, c.dropout};
  const Values dout = buffers.dout.values();
  const std::array<Values, 3> x = values_of(c, buffers.packed);
  const auto gradients = plain.backward(x[0], x[1], x[2], dout);
  const Values* const wanted[] = {&gradients.dq, &gradients.dk, &gradients.dv};
  for (std::size_t which = 0; which < 3; ++which) {
    std::vector<std::size_t> elements(x[which].size());
    std::iota(elements.begin(), elements.end(), 0);
    const auto loss = [&](const Values& changed) {
      Values y[] = {x[0], x[1], x[2]};
      y[which] = changed;
      const Values out = plain.forward(y[0], y[1], y[2]).out;
      return std::inner_product(out.begin(), out.end(), dout.begin(), 0.0);
    };
    EXPECT_LT(
        relative_error(*wanted[which], validation::finite_differences(loss, x[which], elements)),
        1e-8);
  }
}

/// The third shape has one kv head: from two threads on its backward is cut into parts.
TEST(Attention, SameBitsForAnyNumberOfThreads) {
  for (const DType dtype : kTypes)
    for (const AttentionShape& shape : shapes()) {
      const Case c{shape, dtype, 0, some_documents(shape), kDropout};
      const ExecutionScope alone(Execution::serial);
      const Result first = run(c);
      for (const auto way : validation::ways()) {
        const ExecutionScope scope(way.execution, way.threads);
        expect_same_bits(first, run(c));
      }
    }
}

TEST(Attention, ASingleKeyIsCopied) {
  for (const DType dtype : kTypes) {
    const Case c{{.batch = 2, .seq = 1, .heads = 2, .kv_heads = 2, .head_dim = 8}, dtype};
    const Result got = run(c);
    const Result want = reference(c);
    EXPECT_LT(relative_error(got.out, want.out), tolerance(dtype));
    EXPECT_LT(relative_error(got.dv, want.dv), tolerance(dtype));
    for (const Values& zero : {got.dq, got.dk})  // the score's gradient cancels
      for (const double value : zero) EXPECT_NEAR(value, 0, tolerance(dtype));
  }
}

TEST(Attention, LargeScoresDoNotOverflow) {
  Case c{kShapes[0], DType::f32, 60.0f};  // scores of several hundred
  EXPECT_LT(worst(run(c), reference(c)), 1e-3);
}

TEST(Attention, TheCheckCatchesWrongMasksAndDroppedTiles) {
  const Case c{kShapes[1], DType::bf16};
  const Result right = reference(c);
  EXPECT_GT(worst(reference(c, false), right), 10 * tolerance(c.dtype));
  Case documents = c;  // one token sees one key too many
  documents.starts = some_documents(c.shape);
  const Result want = reference(documents);
  auto late = documents;
  for (std::size_t i = 1; i < late.starts.size(); ++i)
    if (late.starts[i] != late.starts[i - 1] && late.starts[i] > 0) {
      late.starts[i] -= 1;
      break;
    }
  EXPECT_GT(worst(reference(late), want), tolerance(c.dtype));
  Result tile = right;  // dv of keys [0, 64) of the first sequence is lost
  const auto width = static_cast<std::size_t>(Buffers::kv_width(c));
  std::fill_n(tile.dv.begin(), 64 * width, 0.0);
  EXPECT_GT(worst(tile, right), 10 * tolerance(c.dtype));
  auto other = c;  // another draw of dropout
  other.dropout = kDropout;
  auto next = other;
  next.dropout.step += 1;
  EXPECT_GT(worst(reference(next), reference(other)), 10 * tolerance(c.dtype));
}

// What every path takes, cuDNN's too: 16 bits, heads of 8 n elements up to 128, no documents and no
// dropout. validation/gpu/run takes these with TRIREME_ATTENTION=cudnn as well, and all with own.

TEST(PlainAttention, AgreesWithTheTextbook) {
  for (const DType dtype : {DType::bf16, DType::f16})
    for (const AttentionShape& shape : {AttentionShape{2, 128, 4, 4, 64},
                                        {1, 192, 4, 1, 128},
                                        {2, 130, 4, 2, 24},
                                        {1, 77, 2, 2, 80}}) {
      const Case c{shape, dtype};
      EXPECT_LT(worst(run(c), reference(c)), tolerance(dtype))
          << name_of(dtype) << " seq " << shape.seq << " x " << shape.head_dim;
    }
}

/// Heads that share keys add to the same dk and dv; blocks of queries to the same dq.
TEST(PlainAttention, SameBitsAtEveryCall) {
  const bool device = validation::test_space() == MemorySpace::device;
  const bool gpu = device && describe_device(selected_device()).name != "emulated";
  const Case c{{.batch = gpu ? 4 : 1,
                .seq = device && !gpu ? 80 : 512,
                .heads = 8,
                .kv_heads = 2,
                .head_dim = 64},
               DType::bf16};
  const Result first = run(c);
  for (int again = 0; again < (gpu ? 8 : 1); ++again) expect_same_bits(first, run(c));
}

TEST(PlainAttention, GoesByThePathThatIsAskedFor) {
  const bool host = validation::test_space() == MemorySpace::host;
  const char* named = std::getenv("TRIREME_ATTENTION");
  const std::string asked = host ? "own" : named ? named : "";
  const std::string path = attention_path(DType::bf16, validation::test_space());
  const bool by_cudnn = path.find("cuDNN") != std::string::npos;
  EXPECT_TRUE(asked.empty() || by_cudnn == (asked == "cudnn")) << path;
}

TEST(Attention, SaysItsPath) {
  EXPECT_EQ(attention_path(DType::f32, validation::test_space()), "own kernels");
  EXPECT_EQ(attention_path(DType::bf16), "own kernels");
  if (validation::test_space() == MemorySpace::host) return;
  EXPECT_NE(attention_path(DType::bf16, MemorySpace::device).find("tensor cores"),
            std::string::npos);
}

TEST(Attention, RefusesWhatDoesNotFit) {
  Case c{kShapes[0], DType::f32};
  if (validation::test_space() == MemorySpace::host) {  // a device does not look at them
    c.starts.assign(static_cast<std::size_t>(c.shape.tokens()), 0);
    c.starts[3] = 4;  // beyond its own position
    EXPECT_THROW(run(c), Error);
  } else {
    EXPECT_THROW(run({kShapes[std::size(kShapes) - 1], DType::f32}), Error);  // heads too deep
  }
  c.starts.clear();
  c.shape.kv_heads = 2;
  EXPECT_THROW(run(c), Error);
}

}  // namespace
}  // namespace trireme::kernels
