// Rows of the sections model and data: Trireme's own.
#include "lib/deck/table_sections.hpp"

namespace trireme::deck {

Section model_section() {
  return {
      "Model",
      "A preset fills every dim that is left \"auto\"; the deck may override each. Without a "
      "preset "
      "the family's rules do. A vocabulary is padded to the tensor axis while running, never in a "
      "checkpoint.",
      {
          ours("model.family", choice({"gpt", "llama"}).derived(), "\"auto\"", "",
               "gpt: learned positions, LayerNorm, GELU, biases, tied embeddings. llama: rotary "
               "positions, RMSNorm, SwiGLU, no biases, untied. \"auto\" = the preset's"),
          ours("model.preset", text().or_null(), "null", "",
               "name of a known model: gpt2-124m, gpt2-355m, gpt2-774m, gpt2-1.5b, llama-5m, "
               "llama-160m, llama-1b, llama-3b, llama-7b, llama-8b, llama-13b, llama-70b"),
          ours("model.layers", integer().from(1).up_to(1e4).derived(), "\"auto\"", "",
               "transformer blocks; needed without a preset"),
          ours("model.hidden", integer().from(1).up_to(1e6).derived(), "\"auto\"", "",
               "width of the residual stream; needed without a preset"),
          ours("model.heads", integer().from(1).up_to(1e4).derived(), "\"auto\"", "",
               "query heads; needed without a preset; divides by parallel.tensor"),
          ours("model.kv_heads", integer().from(1).up_to(1e4).derived(), "\"auto\"", "",
               "key and value heads, fewer than heads for grouped-query attention; \"auto\" = "
               "heads"),
          ours("model.head_dim", integer().from(1).up_to(1e4).derived(), "\"auto\"", "",
               "width of one head; \"auto\" = hidden / heads"),
          ours("model.ffn_hidden", integer().from(1).up_to(1e7).derived(), "\"auto\"", "",
               "inner width of the feed-forward part; \"auto\" = 4 hidden, with swiglu 8/3 hidden "
               "rounded up to a multiple of 256"),
          ours("model.vocabulary", integer().from(1).up_to(1e9).derived(), "\"auto\"", "tokens",
               "rows of the token embedding; needed without a preset"),
          ours("model.context", integer().from(1).up_to(1e8).derived(), "\"auto\"", "tokens",
               "sequence length of training; \"auto\" = the preset's, else 1024"),
          ours("model.norm.type", choice({"layernorm", "rmsnorm"}).derived(), "\"auto\"", "",
               "norm before attention, before the feed-forward part and before the head"),
          ours("model.norm.eps", number().above(0), "1e-5", "", "added to the variance"),
          ours("model.activation", choice({"gelu", "gelu_tanh", "silu", "swiglu"}).derived(),
               "\"auto\"", "",
               "gelu is exact, gelu_tanh GPT-2's approximation; swiglu gates with a third matrix"),
          ours(
              "model.positions", choice({"learned", "rotary"}).derived(), "\"auto\"", "",
              "learned: a table of context rows. rotary: queries and keys are rotated by position"),
          ours("model.rotary_theta", number().above(0).derived(), "\"auto\"", "",
               "base of the rotation's wavelengths; \"auto\" = the preset's, else 10000"),
          ours("model.qk_norm", boolean(), "false", "",
               "RMS norm over head_dim of queries and keys, before the rotation"),
          ours("model.bias.qkv", boolean().derived(), "\"auto\"", "",
               "biases of queries, keys and values"),
          ours("model.bias.projection", boolean().derived(), "\"auto\"", "",
               "bias of attention's output projection"),
          ours("model.bias.mlp", boolean().derived(), "\"auto\"", "",
               "biases of the feed-forward part"),
          ours("model.tied_embeddings", boolean().derived(), "\"auto\"", "",
               "the head uses the token embedding's matrix; it counts once in the norm and update"),
          ours("model.dropout.embedding", number().from(0).below(1), "0.0", "probability",
               "on the sum of token and position embedding"),
          ours("model.dropout.attention", number().from(0).below(1), "0.0", "probability",
               "on attention probabilities, after the softmax"),
          ours(
              "model.dropout.residual", number().from(0).below(1), "0.0", "probability",
              "on the output of attention and of the feed-forward part, before the addition. Masks "
              "are a function of seed, step, sample, layer and element: another grid, the same "
              "masks"),
          ours("model.frozen", list_of(text()), "[]", "",
               "blocks that are not trained: \"embedding\", \"layers.3\", \"layers.0-11\", "
               "\"head\"; with tied embeddings embedding and head together. They have no gradients "
               "and no optimizer state, and backward ends at the first block that is trained"),
          ours(
              "model.init.std", number().above(0), "0.02", "",
              "every matrix and embedding is drawn from N(0, std); biases start at 0, norm weights "
              "at 1"),
          ours("model.init.residual_scaled", boolean(), "true", "",
               "attention's projection and the last feed-forward matrix, which write into the "
               "residual stream, start with std / sqrt(2 layers), as in GPT-2"),
          idle("vocabulary_size", integer().from(1).or_null(), "null",
               "model.vocabulary is the size; padding is automatic",
               "DeepSpeed warns when it is no multiple of 8"),
      }};
}

Section data_section() {
  return {
      "Data",
      "Samples are sequences of model.context tokens cut from the token files, documents one after "
      "the other with their end marks. The order is a pure function of seed and sample number, "
      "whatever the grid.",
      {
          ours(
              "data.tokens", text().or_list(), "required", "path",
              "token file, or a list of them, made by trireme-data tokenize; relative to the deck"),
          ours("data.weights", list_of(number().above(0)).or_null(), "null", "",
               "share of samples from each file of data.tokens; null = in proportion to their "
               "tokens"),
          ours("data.validation_fraction", number().from(0).up_to(0.5), "0.01", "",
               "which documents validate: the last ones of every file, whole documents, as few as "
               "reach this share of its tokens; 0 = none"),
          ours("data.validation_tokens", text().or_list().or_null(), "null", "path",
               "own token files for validation; nothing is then split off data.tokens"),
          ours("data.shuffle", boolean(), "true", "",
               "false = samples in stored order (weights still deal between files)"),
          ours("data.seed", integer().from(0).derived(), "\"auto\"", "",
               "of the order of samples; \"auto\" = run.seed"),
          ours("data.attention_across_documents", boolean(), "true", "",
               "tokens of a sample attend to earlier documents of the same sample; false = to "
               "their own document only"),
          ours("data.read_ahead", integer().from(0), "2", "batches",
               "batches read before they are needed"),
          idle("dataloader_drop_last", boolean(), "false",
               "samples wrap round to the next epoch, so that no batch is short",
               "drop a last short batch"),
      }};
}

}  // namespace trireme::deck
