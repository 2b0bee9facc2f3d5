#include "engine/graph.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <utility>

#include "engine/ops/ops.h"

namespace vergence {

thread_local void (*op_observer)(const char* name) = nullptr;

namespace {

std::uint64_t next_order() {
  static std::atomic<std::uint64_t> counter{0};
  return ++counter;
}

using Nodes = std::vector<std::shared_ptr<Node>>;

/// Moves all references from `node` to other nodes into `out`.
void strip(Node& node, Nodes& out) {
  for (Edge& edge : node.in)
    if (edge.node) out.push_back(std::move(edge.node));
  for (Tensor& tensor : node.kept)
    if (tensor.node) out.push_back(std::move(tensor.node));
  node.in.clear();
  node.kept.clear();
}

}  // namespace

const Tensor& VjpContext::operator[](int index) const {
  Tensor& tensor = kept[static_cast<std::size_t>(index)];
  if (!tensor) tensor = tensor.restored();
  return tensor;
}

Node::~Node() {
  Nodes pending;
  strip(*this, pending);
  while (!pending.empty()) {
    std::shared_ptr<Node> last = std::move(pending.back());
    pending.pop_back();
    if (last.use_count() == 1) strip(*last, pending);
  }
}

void record(const char* name, const Tensors& inputs, Tensors kept, const std::vector<Tensor*>& outputs, Vjp vjp,
            std::shared_ptr<const Epilogue> epilogue) {
  require(!epilogue || outputs.size() == 1, name, ": an op with an epilogue has one output");
  if (op_observer) op_observer(name);
  if (std::none_of(inputs.begin(), inputs.end(), [](const Tensor& input) { return input.node != nullptr; })) return;
  auto node = std::make_shared<Node>();
  node->name = name;
  node->order = next_order();
  node->vjp = std::move(vjp);
  node->epilogue = std::move(epilogue);
  node->outputs = static_cast<int>(outputs.size());
  for (const Tensor& input : inputs) node->in.push_back({input.node, input.slot});
  for (Tensor& tensor : kept) {
    int own = -1, slot = 0;
    for (const Tensor* output : outputs) {
      if (tensor && tensor.data == output->data) own = slot;
      ++slot;
    }
    if (own >= 0) tensor = tensor.detached();
    node->kept_outputs.push_back(own);
    node->kept.push_back(tensor.released());
  }
  int slot = 0;
  for (Tensor* output : outputs) {
    output->node = node;
    output->slot = slot++;
  }
}

Tensor leaf(const Tensor& value) {
  Tensor tensor = value.detached();
  tensor.node = std::make_shared<Node>();
  tensor.node->name = "leaf";
  tensor.node->order = next_order();
  return tensor;
}

namespace {

/// One backward walk: the nodes that matter, and the cotangents collected for them so far.
class Walk {
 public:
  Walk(const Tensors& outputs, const Tensors& wrt, const GradOptions& options)
      : options_(options), wrt_(wrt), results_(wrt.size()) {
    require(!options.create || !options.ready, "grad: with `create`, derivatives are not reported");
    for (std::size_t i = 0; i < wrt.size(); ++i) {
      require(wrt[i].node != nullptr, "grad: argument ", i, " is a constant; make it a leaf first");
      targets_[wrt[i].node.get()].push_back(i);
      if (!options.places.empty()) places_[wrt[i].node.get()] = options.places.at(i);
      first_ = std::min(first_, wrt[i].node->order);
    }
    collect(outputs);
    seed(outputs);
  }

  /// Runs the walk and returns the cotangent of each of `wrt`.
  Tensors run() {
    for (std::size_t i = 0; i < wrt_.size(); ++i) {
      const auto found = states_.find(wrt_[i].node.get());
      if (found == states_.end() || found->second.uses == 0) finish(i);
    }
    for (auto at = nodes_.rbegin(); at != nodes_.rend(); ++at) visit(*at);
    return std::move(results_);
  }

 private:
  struct State {
    bool leads = false;   // a target can be reached from here (or this is one)
    bool beyond = false;  // a target can be reached through an input
    int uses = 0;         // upper bound on the cotangents still to come from other nodes
    Tensors cotangents;
    Tensor gathered;  // from the vjp that applied the node's epilogue, with the first cotangent
  };

  static Tensor& slot_of(State& state, int slot) {
    if (state.cotangents.size() <= static_cast<std::size_t>(slot))
      state.cotangents.resize(static_cast<std::size_t>(slot) + 1);
    return state.cotangents[static_cast<std::size_t>(slot)];
  }

  /// Collects the nodes below the outputs that are no older than the oldest target, oldest first, and fills in `leads`.
  void collect(const Tensors& outputs) {
    Nodes pending;
    auto push = [&](const std::shared_ptr<Node>& node) {
      if (node && node->order >= first_ && states_.try_emplace(node.get()).second) pending.push_back(node);
    };
    for (const Tensor& output : outputs) push(output.node);
    while (!pending.empty()) {
      std::shared_ptr<Node> node = std::move(pending.back());
      pending.pop_back();
      for (const Edge& edge : node->in) push(edge.node);
      nodes_.push_back(std::move(node));
    }
    std::sort(nodes_.begin(), nodes_.end(), [](const auto& a, const auto& b) { return a->order < b->order; });
    for (const auto& node : nodes_) {
      State& state = states_[node.get()];
      for (const Edge& edge : node->in) {
        state.beyond = state.beyond || leads(edge);
        if (leads(edge)) ++states_[edge.node.get()].uses;
      }
      state.leads = state.beyond || targets_.contains(node.get());
    }
  }

  bool leads(const Edge& edge) const {
    auto found = edge.node ? states_.find(edge.node.get()) : states_.end();
    return found != states_.end() && found->second.leads;
  }

  void seed(const Tensors& outputs) {
    require(options_.seeds.empty() || options_.seeds.size() == outputs.size(), "grad: ", outputs.size(),
            " outputs need as many seeds, got ", options_.seeds.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const Tensor& output = outputs[i];
      if (options_.seeds.empty()) {
        require(output.size() == 1, "grad: output ", i, " has shape ", output.shape, "; give its seed");
        if (output.node) accumulate({output.node, output.slot}, full(output.backend(), output.shape, 1, output.dtype));
        continue;
      }
      const Tensor& seed = options_.seeds[i];
      if (!seed || !output.node) continue;
      require(seed.shape == output.shape, "grad: seed ", i, " has shape ", seed.shape, ", its output ", output.shape);
      accumulate({output.node, output.slot}, seed);
    }
  }

  void accumulate(const Edge& edge, const Tensor& cotangent) {
    auto found = states_.find(edge.node.get());
    if (found == states_.end() || !found->second.leads) return;
    Tensor& sum = slot_of(found->second, edge.slot);
    sum = sum ? add(sum, cotangent) : cotangent;
    if (!options_.create) sum = sum.detached();
  }

  void visit(const std::shared_ptr<Node>& node) {
    propagate(node);
    for (const Edge& edge : node->in)
      if (leads(edge) && --states_[edge.node.get()].uses == 0)
        if (const auto found = targets_.find(edge.node.get()); found != targets_.end())
          for (const std::size_t index : found->second) finish(index);
  }

  /// Nothing more is added to the derivative with respect to this one of `wrt_`.
  void finish(std::size_t index) {
    const Tensor& tensor = wrt_[index];
    const Tensor* sum = sum_of({tensor.node, tensor.slot});
    results_[index] = sum ? *sum : zeros_like(tensor);
    if (options_.ready) options_.ready(index, results_[index]);
  }

  void propagate(const std::shared_ptr<Node>& node) {
    State& state = states_[node.get()];
    if (!state.beyond || state.cotangents.empty()) return;
    Tensors cotangents = state.cotangents;
    const Tensor gathered = std::exchange(state.gathered, {});
    if (!targets_.contains(node.get())) state.cotangents.clear();
    cotangents.resize(static_cast<std::size_t>(node->outputs));
    require(!node->freed, "grad: the graph of '", node->name,
            "' was freed by an earlier grad; pass keep (or create) to that one");
    std::vector<VjpInput> inputs;
    for (const Edge& edge : node->in) inputs.push_back(input_from(edge, repeated(node->in, edge)));
    const Tensors results = run_vjp(node, {cotangents, node->kept, inputs, gathered});
    require(results.size() == node->in.size(), "grad: '", node->name, "' returned ", results.size(), " cotangents for ",
            node->in.size(), " inputs");
    for (std::size_t i = 0; i < results.size(); ++i) {
      const Edge& edge = node->in[i];
      const VjpInput& input = inputs[i];
      if (!input.needed || !results[i]) continue;
      if (input.partial && results[i].data == input.partial.data)
        slot_of(states_[edge.node.get()], edge.slot) = options_.create ? results[i] : results[i].detached();
      else
        accumulate(edge, results[i]);
      if (input.gathered) states_[edge.node.get()].gathered = input.gathered;
    }
  }

  VjpInput input_from(const Edge& edge, bool repeated) const {
    VjpInput input;
    input.needed = leads(edge);
    if (!input.needed) return input;
    if (!repeated) input.partial = partial(edge);
    input.place = place(edge);
    if (completes(edge, input.partial)) input.epilogue = edge.node->epilogue.get();
    return input;
  }

  /// The sum so far; null if nothing has arrived.
  const Tensor* sum_of(const Edge& edge) const {
    const auto found = states_.find(edge.node.get());
    if (found == states_.end()) return nullptr;
    const Tensors& sums = found->second.cotangents;
    const auto slot = static_cast<std::size_t>(edge.slot);
    return slot < sums.size() && sums[slot] ? &sums[slot] : nullptr;
  }
  /// True if an earlier one of `edges` is the same.
  static bool repeated(const std::vector<Edge>& edges, const Edge& edge) {
    return std::any_of(edges.data(), &edge, [&](const Edge& e) { return e.node == edge.node && e.slot == edge.slot; });
  }
  /// See VjpContext::partial. Nobody else holds a storage that has one owner and is not part of a larger one.
  Tensor partial(const Edge& edge) const {
    const Tensor* sum = sum_of(edge);
    return sum && sum->data.use_count() == 1 && !sum->data->whole() ? *sum : Tensor{};
  }
  Tensor place(const Edge& edge) const {
    const auto found = places_.find(edge.node.get());
    if (options_.create || found == places_.end() || edge.slot != 0) return {};
    const bool alone = states_.at(edge.node.get()).uses == 1 && !sum_of(edge);
    return alone ? found->second : Tensor{};
  }
  /// True if the edge's node gets exactly one more cotangent (added to `partial` if that exists) and is not a target.
  bool completes(const Edge& edge, const Tensor& partial) const {
    if (options_.create || targets_.contains(edge.node.get())) return false;
    return states_.at(edge.node.get()).uses == 1 && (partial || !sum_of(edge));
  }

  Tensors run_vjp(const std::shared_ptr<Node>& node, const VjpContext& context) {
    const bool keep = options_.keep || options_.create;
    Tensors kept = keep ? node->kept : std::move(node->kept);
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (!options_.create) {
        kept[i] = kept[i].detached();
      } else if (node->kept_outputs[i] >= 0) {
        kept[i].node = node;
        kept[i].slot = node->kept_outputs[i];
      }
    }
    if (!keep) node->freed = true;  // even if the vjp throws: what the node kept is gone
    Tensors results = node->vjp({context.cotangents, kept, context.inputs, context.gathered});
    if (!keep) {
      node->kept.clear();
      node->epilogue = nullptr;
      node->vjp = nullptr;
    }
    return results;
  }

  const GradOptions& options_;
  const Tensors& wrt_;
  Tensors results_;  // one per argument, once it is final
  std::uint64_t first_ = ~std::uint64_t{0};
  std::unordered_map<const Node*, std::vector<std::size_t>> targets_;  // indices of wrt_
  std::unordered_map<const Node*, Tensor> places_;
  std::unordered_map<const Node*, State> states_;
  Nodes nodes_;
};

}  // namespace

Tensors grad(const Tensors& outputs, const Tensors& wrt, const GradOptions& options) {
  return Walk(outputs, wrt, options).run();
}

}  // namespace vergence
