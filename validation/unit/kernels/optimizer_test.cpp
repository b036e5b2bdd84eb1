// Every optimizer against plain float64 loops of its formulas over 20 steps, against PyTorch's
// known behaviour, and bit for bit between threads and between shards of a range.

#include "kernels/optimizer/optimizer.hpp"

#include "validation/harness/reference_math.hpp"
#include "validation/unit/kernels/every_way.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

namespace trireme::kernels {
namespace {

using validation::in_every_way;
using validation::relative_error;
using validation::TestTensor;
using Values = std::vector<double>;

const auto* const kRuntime = validation::with_runtime_and_device(4);
constexpr std::int64_t kCount = 40'003;  // three chunks and a tail
constexpr int kSteps = 20;
constexpr double kScale = 0.25, kRate = 1e-2, kDecay = 0.1;

using Floats = validation::SpaceVector<float>;

/// Weights with their state as floats.
struct State {
  Floats p, m, v;
  TestTensor copy;

  explicit State(DType copy_type = DType::bf16)
      : p(floats(1, 0.5)),
        m(std::vector<float>(kCount)),
        v(std::vector<float>(kCount)),
        copy({kCount}, copy_type) {}
  static std::vector<float> floats(std::uint64_t seed, double scale) {
    const Values values = TestTensor::random({kCount}, DType::f32, seed, scale).values();
    return {values.begin(), values.end()};
  }
  Values values() const {
    Values all;
    for (const Floats* part : {&p, &m, &v}) {
      const std::vector<float> floats = part->values();
      all.insert(all.end(), floats.begin(), floats.end());
    }
    return all;
  }
};

std::vector<float> gradient(int step) {
  std::vector<float> made = State::floats(100 + static_cast<std::uint64_t>(step), 1);
  for (std::size_t i = 0; i < made.size(); i += 7) made[i] = 0;
  return made;
}
/// Where kernels read it; made once.
std::span<const float> placed_gradient(int step) {
  static std::map<int, Floats> all;
  const auto found = all.find(step);
  return found != all.end() ? found->second.span()
                            : all.emplace(step, gradient(step)).first->second.span();
}

/// One step of an optimizer on elements [begin, end) of the state.
using Step = std::function<void(State&, int step, std::span<const float> gradient,
                                std::int64_t begin, std::int64_t end)>;

UpdateRange range_of(State& s, std::span<const float> g, std::int64_t begin, std::int64_t end,
                     bool with_copy = true) {
  const auto n = static_cast<std::size_t>(end - begin);
  const auto at = static_cast<std::size_t>(begin);
  UpdateRange range;
  range.master = s.p.span().subspan(at, n);
  range.gradient = g.subspan(at, n);
  if (with_copy) range.weights = s.copy.view().column_slice(begin, end - begin);
  range.gradient_scale = static_cast<float>(kScale);
  range.learning_rate = kRate;
  range.weight_decay = kDecay;
  range.space = validation::test_space();
  return range;
}
std::span<float> part(const Floats& v, std::int64_t begin, std::int64_t end) {
  return v.span().subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
}

State run(const Step& step, std::vector<std::int64_t> cuts = {0, kCount},
          DType copy_type = DType::bf16) {
  State state(copy_type);
  for (int t = 1; t <= kSteps; ++t) {
    const auto g = placed_gradient(t);
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) step(state, t, g, cuts[i], cuts[i + 1]);
  }
  return state;
}

/// A reference step on one element: (p, m, v, scaled gradient, step).
using Formula = std::function<void(double&, double&, double&, double, int)>;

struct Reference {
  Values p, m, v;
};
Reference reference(const Formula& formula) {
  const std::vector<float> start = State().p.values();
  Reference r{Values(start.begin(), start.end()), Values(kCount), Values(kCount)};
  for (int t = 1; t <= kSteps; ++t) {
    const auto g = gradient(t);
    for (std::size_t i = 0; i < r.p.size(); ++i)
      formula(r.p[i], r.m[i], r.v[i], static_cast<double>(g[i]) * kScale, t);
  }
  return r;
}

/// |p - reference| over the distance that the weights have moved.
double error_of(const State& s, const Reference& r) {
  const std::vector<float> start = State().p.values(), p = s.p.values();
  double error = 0, moved = 0;
  for (std::size_t i = 0; i < r.p.size(); ++i) {
    error += std::pow(p[i] - r.p[i], 2);
    moved += std::pow(r.p[i] - start[i], 2);
  }
  return std::sqrt(error / moved);
}
constexpr double kTolerance = 20 * 1.2e-7 * 4;  // 20 roundings of p, larger than its way by 4

void expect_lawful(const Step& step, const Formula& formula, const Formula& faulty) {
  State last;
  in_every_way([&] {
    last = run(step);
    return last.values();
  });
  EXPECT_LT(error_of(last, reference(formula)), kTolerance);
  EXPECT_GT(error_of(last, reference(faulty)), 10 * kTolerance);
  // Shards of any size give the bits of the whole.
  EXPECT_EQ(run(step, {0, 1, 17, 20'000, 36'001, kCount}).values(), last.values());
  for (const DType type : {DType::bf16, DType::f16}) {
    const State s = run(step, {0, kCount}, type);
    EXPECT_EQ(s.values(), last.values());
    const std::vector<float> p = s.p.values();
    EXPECT_EQ(s.copy.values(),
              TestTensor::from(Values(p.begin(), p.end()), {kCount}, type).values());
  }
}

Step adam_step(const Adam& adam) {
  return [=](State& s, int t, std::span<const float> g, std::int64_t begin, std::int64_t end) {
    adam_update(adam, t, range_of(s, g, begin, end), part(s.m, begin, end), part(s.v, begin, end));
  };
}
/// Formula of adam, with `correct` = false leaving out the bias correction.
Formula adam_formula(const Adam& a, bool correct) {
  return [=](double& p, double& m, double& v, double g, int t) {
    if (!a.decoupled) g += kDecay * p;
    m = a.beta1 * m + (1 - a.beta1) * g;
    v = a.beta2 * v + (1 - a.beta2) * g * g;
    const double c1 = correct ? 1 - std::pow(a.beta1, t) : 1;
    const double c2 = correct ? 1 - std::pow(a.beta2, t) : 1;
    const double decay = a.decoupled ? kDecay : 0;
    p -= kRate * (m / c1 / (std::sqrt(v / c2) + a.epsilon) + decay * p);
  };
}

TEST(Adam, FollowsItsFormula) {
  for (const bool decoupled : {true, false})
    for (const bool correct : {true, false}) {
      Adam adam{.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-6};
      adam.decoupled = decoupled;
      adam.bias_correction = correct;
      expect_lawful(adam_step(adam), adam_formula(adam, correct), adam_formula(adam, !correct));
      Adam other = adam;
      other.decoupled = !decoupled;  // the fault: the other kind of decay
      EXPECT_GT(error_of(run(adam_step(adam)), reference(adam_formula(other, correct))),
                10 * kTolerance);
    }
}

/// Ranges without decay: `count` of them at odd places, some one element long, some touching.
std::vector<Range> random_ranges(std::size_t count, std::uint64_t seed) {
  const Values noise = TestTensor::random({kCount}, DType::f32, seed, 1).values();
  std::vector<Range> ranges;
  const auto room = kCount / static_cast<std::int64_t>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = [&](std::size_t k) {
      return static_cast<std::int64_t>(std::abs(noise[2 * i + k]) * 1e6);
    };
    const std::int64_t first = static_cast<std::int64_t>(i) * room;
    const std::int64_t begin = first + (i % 3 == 0 ? 0 : at(0) % (room / 2));
    const std::int64_t size = i % 3 == 1 ? 1 : 1 + at(1) % (room - (begin - first));
    ranges.push_back({begin, i % 3 == 0 ? first + room : begin + size});
  }
  return ranges;
}

/// `step` in one call with these ranges, against a call for each stretch of equal decay.
template <class Call>
void expect_one_call_as_many(const Call& call) {
  for (const std::size_t count : {1u, 7u, 64u, 65u, 200u}) {
    const std::vector<Range> ranges = random_ranges(count, 40 + count);
    const auto train = [&](const std::vector<Range>& undecayed) {
      return run([&](State& s, int t, std::span<const float> g, std::int64_t, std::int64_t) {
        UpdateRange range = range_of(s, g, 0, kCount);
        range.undecayed = undecayed;
        call(t, range, s.m.span(), s.v.span());
      });
    };
    const State apart =
        run([&](State& s, int t, std::span<const float> g, std::int64_t, std::int64_t) {
          const auto stretch = [&](std::int64_t begin, std::int64_t end, double decay) {
            UpdateRange range = range_of(s, g, begin, end);
            range.weight_decay = decay;
            if (begin < end) call(t, range, part(s.m, begin, end), part(s.v, begin, end));
          };
          std::int64_t done = 0;
          for (const Range& range : ranges) {
            stretch(done, range.begin, kDecay);
            stretch(range.begin, range.end, 0);
            done = range.end;
          }
          stretch(done, kCount, kDecay);
        });
    const State together = train(ranges);
    EXPECT_EQ(together.values(), apart.values()) << count << " ranges";
    EXPECT_EQ(together.copy.values(), apart.copy.values()) << count << " ranges";
    std::vector<Range> shifted = ranges;  // the fault: one element more decays
    ++shifted.back().begin;
    if (shifted.back().size() == 0) shifted.pop_back();
    EXPECT_NE(train(shifted).values(), apart.values()) << count << " ranges";
  }
}

TEST(Undecayed, OneCallGivesTheBitsOfACallForEachStretch) {
  for (const bool decoupled : {true, false})
    expect_one_call_as_many([=](int t, const UpdateRange& range, auto m, auto v) {
      Adam adam;
      adam.decoupled = decoupled;
      adam_update(adam, t, range, m, v);
    });
  for (const double momentum : {0.0, 0.9})
    expect_one_call_as_many([=](int t, const UpdateRange& range, auto m, auto) {
      sgd_update({momentum, 0, false}, t, range, m);
    });
  expect_one_call_as_many(
      [](int, const UpdateRange& range, auto m, auto) { lion_update({}, range, m); });
}

TEST(Undecayed, RangesThatAreNoneAreNamed) {
  State s;
  UpdateRange range = range_of(s, placed_gradient(1), 0, kCount);
  for (const std::vector<Range>& bad :
       {std::vector<Range>{{5, 9}, {8, 10}}, {{5, 5}}, {{-1, 3}}, {{9, kCount + 1}}}) {
    range.undecayed = bad;
    EXPECT_THROW(adam_update({}, 1, range, s.m.span(), s.v.span()), Error);
  }
  const std::vector<Range> some{{3, 5}};
  range.undecayed = some;
  EXPECT_THROW(lamb_moments({}, range, s.m.span(), s.v.span(), nullptr), Error);
}

TEST(Adam, FirstStepMovesByTheRate) {
  // m / c1 = g and v / c2 = g^2 at step 1: PyTorch's AdamW moves every weight by lr sign(g).
  const std::vector<float> slopes{1, -2, 3, 1e-3f, -1e3f, 5, 6, 7, 8};
  const Floats p(std::vector<float>(9, 1.0f)), m(std::vector<float>(9)), v = m, g(slopes);
  UpdateRange range;
  range.master = p.span();
  range.gradient = g.span();
  range.learning_rate = 0.01;
  range.space = validation::test_space();
  adam_update({.epsilon = 0}, 1, range, m.span(), v.span());
  const std::vector<float> moved = p.values();
  for (std::size_t i = 0; i < 9; ++i) EXPECT_NEAR(moved[i], slopes[i] > 0 ? 0.99f : 1.01f, 1.3e-7);
}

TEST(Sgd, FollowsPyTorch) {
  struct Kind {
    Sgd sgd;
  };
  for (const Sgd& sgd : {Sgd{}, Sgd{0.9, 0, false}, Sgd{0.9, 0.3, false}, Sgd{0.8, 0, true}}) {
    const Step step = [=](State& s, int t, std::span<const float> g, std::int64_t begin,
                          std::int64_t end) {
      sgd_update(sgd, t, range_of(s, g, begin, end), part(s.m, begin, end));
    };
    const auto formula = [=](bool first_is_gradient) -> Formula {
      return [=](double& p, double& m, double&, double g, int t) {
        g += kDecay * p;
        double d = g;
        if (sgd.momentum != 0) {
          m = t == 1 && first_is_gradient ? g : sgd.momentum * m + (1 - sgd.dampening) * g;
          d = sgd.nesterov ? g + sgd.momentum * m : m;
        }
        p -= kRate * d;
      };
    };
    // The fault: a decayed gradient forgotten, or dampening already at the first step.
    const Formula faulty =
        sgd.dampening != 0
            ? formula(false)
            : Formula([=](double& p, double&, double&, double g, int) { p -= kRate * g; });
    expect_lawful(step, formula(true), faulty);
  }
  State s;
  const auto g = placed_gradient(1);
  EXPECT_THROW(sgd_update({0, 0, true}, 1, range_of(s, g, 0, kCount), s.m.span()), Error);
}

TEST(Lion, FollowsItsFormula) {
  const Lion lion{.beta1 = 0.9, .beta2 = 0.99};
  const Step step = [=](State& s, int, std::span<const float> g, std::int64_t begin,
                        std::int64_t end) {
    lion_update(lion, range_of(s, g, begin, end), part(s.m, begin, end));
  };
  const auto formula = [=](double beta1) -> Formula {
    return [=](double& p, double& m, double&, double g, int) {
      // The sign of a sum that fp32 rounds to the other side would be another trajectory: keep it
      // in fp32, the rest in fp64.
      const float c = std::fma(static_cast<float>(beta1), static_cast<float>(m),
                               static_cast<float>(1 - beta1) * static_cast<float>(g));
      p -= kRate * ((c > 0) - (c < 0) + kDecay * p);
      m = std::fma(static_cast<float>(lion.beta2), static_cast<float>(m),
                   static_cast<float>(1 - lion.beta2) * static_cast<float>(g));
    };
  };
  expect_lawful(step, formula(lion.beta1), formula(lion.beta2));  // the fault: betas exchanged
}

TEST(Lamb, FollowsDeepSpeed) {
  // Three tensors; the small ratio limits make one of them clip.
  const std::vector<std::int64_t> tensors{0, 5000, 30'000, kCount};
  for (const double most : {10.0, 0.05}) {
    const Lamb lamb{.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-6, .max_coefficient = most};
    const auto train = [&](std::int64_t shard) {
      State s;
      for (int t = 1; t <= kSteps; ++t) {
        const auto g = placed_gradient(t);
        for (std::size_t k = 0; k + 1 < tensors.size(); ++k) {
          const validation::SpaceVector<double> norms({0, 0});
          auto* sums = reinterpret_cast<LambNorms*>(norms.data());
          const auto each_shard = [&](const auto& f) {
            for (std::int64_t b = tensors[k]; b < tensors[k + 1]; b += shard)
              f(b, std::min(b + shard, tensors[k + 1]));
          };
          each_shard([&](std::int64_t b, std::int64_t e) {
            lamb_moments(lamb, range_of(s, g, b, e), part(s.m, b, e), part(s.v, b, e), sums);
          });
          each_shard([&](std::int64_t b, std::int64_t e) {
            UpdateRange range = range_of(s, g, b, e);
            range.gradient = {};
            lamb_apply(lamb, t, sums, range, part(s.m, b, e), part(s.v, b, e));
          });
        }
      }
      return s;
    };
    const auto reference_of = [&](bool clamp) {
      const std::vector<float> start = State().p.values();
      Reference r{Values(start.begin(), start.end()), Values(kCount), Values(kCount)};
      for (int t = 1; t <= kSteps; ++t) {
        const auto g = gradient(t);
        for (std::size_t k = 0; k + 1 < tensors.size(); ++k) {
          double ww = 0, uu = 0;
          Values u(kCount);
          for (auto i = static_cast<std::size_t>(tensors[k]);
               i < static_cast<std::size_t>(tensors[k + 1]); ++i) {
            const double d = static_cast<double>(g[i]) * kScale;
            r.m[i] = lamb.beta1 * r.m[i] + (1 - lamb.beta1) * d;
            r.v[i] = lamb.beta2 * r.v[i] + (1 - lamb.beta2) * d * d;
            u[i] = r.m[i] / (std::sqrt(r.v[i]) + lamb.epsilon) + kDecay * r.p[i];
            ww += r.p[i] * r.p[i];
            uu += u[i] * u[i];
          }
          double ratio = std::sqrt(ww / uu);
          if (clamp) ratio = std::clamp(ratio, lamb.min_coefficient, lamb.max_coefficient);
          const double rate = kRate * std::sqrt(1 - std::pow(lamb.beta2, t)) /
                              (1 - std::pow(lamb.beta1, t)) * ratio;
          for (auto i = static_cast<std::size_t>(tensors[k]);
               i < static_cast<std::size_t>(tensors[k + 1]); ++i)
            r.p[i] -= rate * u[i];
        }
      }
      return r;
    };
    State last;
    in_every_way([&] {
      last = train(kCount);
      return last.values();
    });
    EXPECT_LT(error_of(last, reference_of(true)), kTolerance * 10);
    EXPECT_LT(error_of(train(4096 + 3), reference_of(true)), kTolerance * 10);
    if (most < 1) {
      EXPECT_GT(error_of(last, reference_of(false)), 0.1);  // the fault: a ratio without limits
    }
  }
  EXPECT_EQ(lamb_ratio({}, {0, 3}), 1);
  EXPECT_EQ(lamb_ratio({}, {3, 0}), 1);
}

// More elements than a GPU's blocks take in one round.
TEST(Lamb, SumsOfLargeTensorsMissNothing) {
  constexpr std::int64_t kLarge = 1'100'003;
  const Values values = TestTensor::random({kLarge}, DType::f32, 7).values();
  const Floats p(std::vector<float>(values.begin(), values.end()));
  const Floats zeros{std::vector<float>(kLarge)}, m = zeros, v = zeros;
  UpdateRange range;
  range.master = p.span();
  range.gradient = zeros.span();
  range.weight_decay = 1;
  range.space = validation::test_space();
  const validation::SpaceVector<double> norms({0, 0});
  lamb_moments({}, range, m.span(), v.span(), reinterpret_cast<LambNorms*>(norms.data()));
  double want = 0;
  for (const double value : values) want += value * value;
  // Without a gradient u is the decayed weight itself.
  for (const double norm : norms.values()) EXPECT_NEAR(norm, want, 1e-9 * want);
}

TEST(Optimizer, SizesThatDoNotFitAreNamed) {
  State s;
  const auto g = placed_gradient(1);
  const auto few = s.m.span().first(3);
  EXPECT_THROW(adam_update({}, 1, range_of(s, g, 0, kCount), few, s.v.span()), Error);
  EXPECT_THROW(adam_update({}, 0, range_of(s, g, 0, kCount), s.m.span(), s.v.span()), Error);
  UpdateRange range = range_of(s, g, 0, kCount);
  range.gradient = few;
  EXPECT_THROW(lion_update({}, range, s.m.span()), Error);
}

}  // namespace
}  // namespace trireme::kernels
