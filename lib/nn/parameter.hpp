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

/// How the ranks of a data axis share flat buffers (ZeRO: Rajbhandari et al., SC 2020). The default
/// shares nothing.
struct Sharding {
  std::int64_t ranks = 1;  ///< that divide the body of a unit among them
  bool cyclic = false;     ///< chunks dealt in turn; otherwise one chunk a rank
  /// Tensors of up to so many elements (on one rank) lie in the tail and stay whole on every rank,
  /// as long as all of them together do not exceed `whole_in_total`.
  std::int64_t whole_up_to = 0;
  std::int64_t whole_in_total = 0;
  /// Elements that bounds of chunks are multiples of; a multiple of kParameterAlignment where ranks
  /// > 1.
  std::int64_t alignment = 1;
  friend bool operator==(const Sharding&, const Sharding&) = default;
};

/// A dense piece of a parameter's local matrix: whole rows, or a part of one row. Vectors are one
/// column.
struct Rectangle {
  Range rows;
  Range columns;
  std::int64_t flat = 0;  ///< its first element in the unit's flat buffer
};
/// The at most three rectangles that the elements `flat` of a flat buffer and a parameter have in
/// common, in order. Rows behind `held_rows` (padding of a divided dim) are left out.
std::vector<Rectangle> rectangles(const PlacedParameter& placed, Range flat,
                                  std::int64_t held_rows);

/// The flat buffer of one block's (or one tied) set of parameters: same layout for weights,
/// gradients, masters and moments. The body [0, body) is what ranks may divide and move between
/// tiers; the tail [body, elements) holds small tensors that stay whole and where they are.
struct Unit {
  std::string name;  ///< "layers.3" or "tied"
  std::vector<PlacedParameter> parameters;
  /// Elements with partial gradients, to be added up over the tensor group: neighbours across the
  /// end of the body.
  Range partial;
  std::int64_t body = 0;
  std::int64_t elements = 0;  ///< of the whole flat buffer, padding included
  /// body = chunk x ranks x rounds: rank r holds chunks r, r + ranks, ..., which are its share.
  std::int64_t chunk = 0;
  std::int64_t ranks = 1;
  /// Used by blocks of the first and of the last stage: each holds a replica, gradients are added
  /// up.
  bool tied = false;
  bool frozen = false;  ///< not trained: no gradients, no optimizer state

  /// Sum of the logical sizes of its parameters (no padding, whole over tensor ranks).
  std::int64_t logical_elements() const;
  /// Elements of one rank's share of the body.
  std::int64_t share() const { return body / ranks; }
  /// Where element `i` of the share of `rank` lies in the flat buffer.
  std::int64_t flat_of(std::int64_t i, std::int64_t rank) const {
    return chunk == 0 ? 0 : (i / chunk * ranks + rank) * chunk + i % chunk;
  }
  /// Elements between parameters and behind the last: zero in weights, without meaning elsewhere.
  std::vector<Range> gaps() const;
};

/// Elements that parameters and shares start at multiples of: the blocks of the exact sum of
/// squares (kernels::kNormBlock), so that the norm has the same bits however flat buffers are laid
/// out and divided.
inline constexpr std::int64_t kParameterAlignment = 256;

/// The name checkpoints and messages use: "layers.3.attention.q_proj.weight".
std::string logical_name(const Unit& unit, const Parameter& parameter);

/// Places parameters: first those of the body in order, then those of the tail; those with partial
/// gradients at the border. `whole_left` is what is left of whole_in_total, and is reduced.
Unit make_unit(std::string name, const std::vector<Parameter>& parameters, std::int64_t tensor,
               const Sharding& sharding, std::int64_t& whole_left);
/// Without sharding.
Unit make_unit(std::string name, const std::vector<Parameter>& parameters, std::int64_t tensor);

}  // namespace trireme::nn
