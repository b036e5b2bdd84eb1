// Graphs of cuDNN's front end (nvidia-cudnn-frontend), one for each shape and direction.

#include "kernels/attention/attention_cudnn.hpp"

#include "kernels/attention/attention_workspace.hpp"
#include "kernels/base/device.hpp"
#include "kernels/base/device_cuda.hpp"

#include <fmt/format.h>

// Its own switches: the library is opened with dlopen, and graphs are not written as JSON.
#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#define NV_CUDNN_FRONTEND_SKIP_JSON_LIB
#include <cudnn_frontend.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>
#include <string_view>

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // NOLINT: what the front end asks for
}

namespace trireme::kernels::attention {
namespace {

namespace fe = cudnn_frontend;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;
/// In the order of their Uids: a map would take memory at every call.
using Pointers = std::initializer_list<void*>;

enum class Choice { found, own, cudnn };

Choice choice() {
  static const Choice made = [] {
    const char* name = std::getenv("TRIREME_ATTENTION");
    if (!name || !*name) return Choice::found;
    const std::string_view text(name);
    check(text == "own" || text == "cudnn", Exit::kUsage,
          "expected own or cudnn in TRIREME_ATTENTION, found {}", text);
    return text == "own" ? Choice::own : Choice::cudnn;
  }();
  return made;
}

/// Whether the library could be opened.
bool is_open() {
  static const bool open = [] {
    fe::cudnn_dlhandle = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    return fe::cudnn_dlhandle != nullptr;
  }();
  return open;
}

bool usable() {
  if (choice() == Choice::own) return false;
  check(is_open() || choice() == Choice::found, Exit::kUsage,
        "TRIREME_ATTENTION is cudnn, and libcudnn.so.9 can't be opened here; put its folder on "
        "LD_LIBRARY_PATH, or set TRIREME_ATTENTION to own");
  return is_open();
}

/// Sizes and rows of one call: what a plan depends on.
struct Key {
  AttentionShape shape;
  DType dtype = DType::bf16;
  float scale = 1;
  /// Elements between rows: q, k, v, out, then dout, dq, dk, dv; 0 in forward.
  std::array<std::int64_t, 8> rows{};

  bool backward() const { return rows[4] != 0; }
  auto tie() const {
    return std::tie(shape.batch, shape.seq, shape.heads, shape.kv_heads, shape.head_dim, dtype,
                    scale, rows);
  }
  friend bool operator<(const Key& a, const Key& b) { return a.tie() < b.tie(); }
};

enum Uid : std::int64_t { kQ = 1, kK, kV, kOut, kDout, kDq, kDk, kDv, kLse };

/// A graph from Key to the tensors with the Uids above.
class Graph {
 public:
  /// For this GPU, or for one of a compute capability (times ten) where there is none.
  explicit Graph(const Key& key, int capability = 0) : key_(key) {
    if (capability > 0) graph_.set_sm_version(capability);
    graph_
        .set_io_data_type(key.dtype == DType::bf16 ? fe::DataType_t::BFLOAT16
                                                   : fe::DataType_t::HALF)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
    const Tensor q = input("q", kQ, key.shape.heads);
    const Tensor k = input("k", kK, key.shape.kv_heads);
    const Tensor v = input("v", kV, key.shape.kv_heads);
    key.backward() ? add_backward(q, k, v) : add_forward(q, k, v);
  }
  fe::graph::Graph& operator*() { return graph_; }
  fe::graph::Graph* operator->() { return &graph_; }

 private:
  std::vector<std::int64_t> dims(std::int64_t heads) const {
    return {key_.shape.batch, heads, key_.shape.seq, key_.shape.head_dim};
  }
  /// Of [batch, heads, seq, head_dim] in memory that goes by tokens.
  std::vector<std::int64_t> strides(Uid uid) const {
    const std::int64_t row = key_.rows[static_cast<std::size_t>(uid - 1)];
    return {key_.shape.seq * row, key_.shape.head_dim, row, 1};
  }
  Tensor input(const char* name, Uid uid, std::int64_t heads) {
    return graph_.tensor(fe::graph::Tensor_attributes()
                             .set_name(name)
                             .set_dim(dims(heads))
                             .set_stride(strides(uid))
                             .set_uid(uid));
  }
  void output(const Tensor& tensor, Uid uid, std::int64_t heads) {
    tensor->set_output(true).set_dim(dims(heads)).set_stride(strides(uid)).set_uid(uid);
  }
  std::vector<std::int64_t> lse_dims() const {
    return {key_.shape.batch, key_.shape.heads, key_.shape.seq, 1};
  }
  std::vector<std::int64_t> lse_strides() const {
    return {key_.shape.heads * key_.shape.seq, key_.shape.seq, 1, 1};
  }

  /// Position i sees positions up to i.
  template <class Attributes>
  Attributes causal(const char* name) const {
    return Attributes()
        .set_name(name)
        .set_attn_scale(key_.scale)
        .set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT)
        .set_diagonal_band_right_bound(0);
  }

  void add_forward(const Tensor& q, const Tensor& k, const Tensor& v) {
    auto attributes = causal<fe::graph::SDPA_attributes>("attention").set_generate_stats(true);
    const auto [out, lse] = graph_.sdpa(q, k, v, attributes);
    output(out, kOut, key_.shape.heads);
    lse->set_output(true)
        .set_data_type(fe::DataType_t::FLOAT)
        .set_dim(lse_dims())
        .set_stride(lse_strides())
        .set_uid(kLse);
  }

  void add_backward(const Tensor& q, const Tensor& k, const Tensor& v) {
    const Tensor out = input("out", kOut, key_.shape.heads);
    const Tensor dout = input("dout", kDout, key_.shape.heads);
    const Tensor lse = graph_.tensor(fe::graph::Tensor_attributes()
                                         .set_name("lse")
                                         .set_dim(lse_dims())
                                         .set_stride(lse_strides())
                                         .set_data_type(fe::DataType_t::FLOAT)
                                         .set_uid(kLse));
    auto attributes = causal<fe::graph::SDPA_backward_attributes>("attention backward")
                          .set_deterministic_algorithm(true);
    const auto [dq, dk, dv] = graph_.sdpa_backward(q, k, v, out, dout, lse, attributes);
    output(dq, kDq, key_.shape.heads);
    output(dk, kDk, key_.shape.kv_heads);
    output(dv, kDv, key_.shape.kv_heads);
  }

  Key key_;
  fe::graph::Graph graph_;
};

/// Null where cuDNN can't start on this machine and nobody insists on it.
cudnnHandle_t handle() {
  thread_local const cudnnHandle_t made = []() -> cudnnHandle_t {
    cudnnHandle_t fresh = nullptr;
    const cudnnStatus_t status = fe::detail::create_handle(&fresh);
    if (status == CUDNN_STATUS_SUCCESS) return fresh;
    expect_no_fault("starting cuDNN");
    check(choice() == Choice::found, Exit::kUsage,
          "TRIREME_ATTENTION is cudnn, and cuDNN does not start here: it says {}",
          static_cast<int>(status));
    return nullptr;
  }();
  return made;
}

/// A graph with its execution plan; none where cuDNN does not take the shape.
struct Plan {
  std::unique_ptr<Graph> graph;
  std::int64_t workspace = 0;

  explicit Plan(const Key& key) {
    if (!handle()) return;
    auto made = std::make_unique<Graph>(key);
    const std::int64_t limit = cudnn_bytes(key.shape, key.backward());
    fe::error_t status = build(**made, limit);
    if (status.is_good()) status = (*made)->get_workspace_size(workspace);
    if (status.is_good() && workspace <= limit) {
      graph = std::move(made);
      return;
    }
    expect_no_fault("planning attention by cuDNN");
    check(choice() == Choice::found, Exit::kUsage,
          "TRIREME_ATTENTION is cudnn, and cuDNN does not take attention of seq {}, {} heads of "
          "{}, in {} bytes of working memory: {}",
          key.shape.seq, key.shape.heads, key.shape.head_dim, limit, status.get_message());
  }

 private:
  /// Of the plans that need no more than `limit`, the first that works here.
  static fe::error_t build(fe::graph::Graph& g, std::int64_t limit) try {
    fe::error_t status = g.validate();
    if (status.is_good()) status = g.build_operation_graph(handle());
    if (status.is_good()) status = g.create_execution_plans({fe::HeurMode_t::A});
    g.deselect_workspace_greater_than(limit);
    if (status.is_good()) status = g.check_support();
    if (status.is_good()) status = g.build_plans();
    return status;
  } catch (const std::runtime_error& error) {  // of a library that the front end opens itself
    return {fe::error_code_t::CUDNN_BACKEND_API_FAILED, error.what()};
  }
};

bool takes(DType dtype, const AttentionOptions& options) {
  const bool narrow = dtype == DType::bf16 || dtype == DType::f16;
  return narrow && !options.document_start && options.dropout.probability == 0 && usable();
}

/// Addresses and distances of rows that 16-byte accesses reach.
bool aligned(std::initializer_list<const TensorView*> views) {
  constexpr std::int64_t kBytes = 16;
  return std::all_of(views.begin(), views.end(), [](const TensorView* view) {
    return reinterpret_cast<std::uintptr_t>(view->data) % kBytes == 0 &&
           view->stride() * static_cast<std::int64_t>(size_of(view->dtype)) % kBytes == 0;
  });
}

bool run(const Key& key, const Pointers& pointers) {
  thread_local std::map<Key, Plan> plans;
  auto found = plans.find(key);
  if (found == plans.end()) found = plans.emplace(key, Plan(key)).first;
  const Plan& plan = found->second;
  if (!plan.graph) return false;
  Stream& stream = current_stream();
  const cudnnStatus_t bound =
      fe::detail::set_stream(handle(), static_cast<cudaStream_t>(stream.handle()));
  check(bound == CUDNN_STATUS_SUCCESS, Exit::kUnexpected, "cuDNN took no stream: it says {}",
        static_cast<int>(bound));
  std::array<void*, kLse> sorted{};
  std::ranges::copy(pointers, sorted.begin());
  fe::error_t status = (*plan.graph)
                           ->execute(handle(), sorted.data(), static_cast<int>(pointers.size()),
                                     stream.scratch("attention by cuDNN", plan.workspace));
  if (status.is_bad()) expect_no_fault("attention by cuDNN");
  check(status.is_good(), Exit::kUnexpected, "attention by cuDNN: {}", status.get_message());
  return true;
}

Key key_of(const AttentionShape& shape, const TensorView& q, const AttentionOptions& options,
           std::initializer_list<const TensorView*> views) {
  Key key{shape, q.dtype, options.scale};
  if (key.scale == 0) key.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  std::transform(views.begin(), views.end(), key.rows.begin(),
                 [](const TensorView* view) { return view->stride(); });
  return key;
}

}  // namespace

bool forward_by_cudnn(const AttentionShape& shape, const TensorView& out, const TensorView& lse,
                      const TensorView& q, const TensorView& k, const TensorView& v,
                      const AttentionOptions& options) {
  if (!takes(q.dtype, options) || !aligned({&q, &k, &v, &out})) return false;
  return run(key_of(shape, q, options, {&q, &k, &v, &out}),
             {q.data, k.data, v.data, out.data, lse.data});
}

bool backward_by_cudnn(const AttentionShape& shape, const TensorView& dq, const TensorView& dk,
                       const TensorView& dv, const TensorView& dout, const TensorView& q,
                       const TensorView& k, const TensorView& v, const TensorView& out,
                       const TensorView& lse, const AttentionOptions& options) {
  if (!takes(q.dtype, options) || !aligned({&q, &k, &v, &out, &dout, &dq, &dk, &dv})) return false;
  return run(key_of(shape, q, options, {&q, &k, &v, &out, &dout, &dq, &dk, &dv}),
             {q.data, k.data, v.data, out.data, dout.data, dq.data, dk.data, dv.data, lse.data});
}

std::string cudnn_attention(DType dtype) {
  if (!takes(dtype, {})) return "";
  const std::size_t version = fe::detail::get_backend_version();
  return fmt::format("cuDNN {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::vector<std::string> cudnn_complaints(const AttentionShape& shape, DType dtype,
                                          int capability) {
  if (!is_open()) return {"libcudnn.so.9 can't be opened"};
  std::vector<std::string> found;
  Key key{shape, dtype, 1.0f};
  const std::int64_t packed = (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
  const std::int64_t dense = shape.heads * shape.head_dim;
  key.rows = {packed, packed, packed, dense};
  for (const bool backward : {false, true}) {
    if (backward) key.rows = {packed, packed, packed, dense, dense, packed, packed, packed};
    Graph graph(key, capability);
    if (fe::error_t status = graph->validate(); status.is_bad())
      found.push_back(
          fmt::format("{}: {}", backward ? "backward" : "forward", status.get_message()));
  }
  return found;
}

}  // namespace trireme::kernels::attention
