#pragma once
// Parameters by logical name and shape, how tensor-parallel ranks divide them, and the flat buffer
// (unit) that the parameters of a block share. Pure arithmetic: no memory, no ranks.

#include "kernels/base/checked.hpp"
#include "kernels/base/tensor_view.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace trireme::nn {

/// How a parameter starts: element e of tensor `name` is a pure function of (seed, name, e), so
/// that every grid starts from the same model.
struct Initialisation {
  enum class Kind : std::uint8_t { zeros, ones, normal } kind = Kind::zeros;
  double std = 0;  ///< standard deviation of `normal`
};

/// One logical tensor of a model, and which dim tensor-parallel ranks divide.
struct Parameter {
  std::string name;    ///< within its block: "attention.q_proj.weight"
  Shape shape;         ///< logical, whole; weights of products are [out, in]
  int split_dim = -1;  ///< dim divided over the tensor group; -1: every rank holds all of it
  bool pad_split =
      false;  ///< divide split_dim by rounding up (vocabulary); padding is never stored
  bool follows_previous =
      false;            ///< lies right behind its predecessor, so that both are one fused matrix
  bool decays = false;  ///< weight decay applies (matrices; not norms, biases)
  /// Held whole by every tensor rank, but each sees only its tokens (sequence parallelism) or its
  /// heads: the gradient is a partial sum to be added up over the tensor group. Such parameters lie
  /// in the unit's tail.
  bool partial_gradient = false;
  Initialisation init;
};

/// Rows (along split_dim) of the logical tensor that tensor rank `index` of `tensor` holds. The
/// range may be shorter than local_rows() where the dim is padded.
Range local_range(const Parameter& parameter, std::int64_t tensor, std::int64_t index);
/// Shape of one rank's part, padding included; equal on all ranks of the tensor group.
Shape local_shape(const Parameter& parameter, std::int64_t tensor);

/// Where one parameter lies in its unit's flat buffer.
struct PlacedParameter {
  Parameter parameter;
  Shape local;              ///< [rows, columns] or [n] on one rank
  std::int64_t offset = 0;  ///< first element in the flat buffer
  std::int64_t elements() const { return local.elements(); }
};

/// The flat buffer of one block's (or one tied) set of parameters: same layout for weights,
/// gradients, masters and moments. Matrices come first, the tail [tail_begin, elements) holds the
/// parameters with partial gradients.
struct Unit {
  std::string name;  ///< "layers.3" or "tied"
  std::vector<PlacedParameter> parameters;
  std::int64_t tail_begin = 0;
  std::int64_t elements = 0;  ///< of the whole flat buffer, padding included
  /// Used by blocks of the first and of the last stage: each holds a replica, gradients are added
  /// up.
  bool tied = false;

  /// Sum of the logical sizes of its parameters (no padding, whole over tensor ranks).
  std::int64_t logical_elements() const;
};

inline constexpr std::int64_t kParameterAlignment =
    64;  ///< elements: 128 bytes in 16-bit, 256 in f32

/// The name checkpoints and messages use: "layers.3.attention.q_proj.weight".
std::string logical_name(const Unit& unit, const Parameter& parameter);

/// Places parameters in order (those with partial gradients last).
Unit make_unit(std::string name, const std::vector<Parameter>& parameters, std::int64_t tensor);

}  // namespace trireme::nn
