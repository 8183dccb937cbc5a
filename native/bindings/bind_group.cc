#include "bindings/bind_group.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bindings/bindings.h"
#include "bindings/bound_engine.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ringsync {
namespace {

/// A rank's part of a group that is being made, and the engine that makes it and outlives it.
struct BoundOffer {
  Engine* engine;
  std::vector<int> ranks;
  std::unique_ptr<Offer> offer;
};

BoundOffer make_offer(BoundEngine& engine, const std::string& name, std::vector<int> ranks) {
  const GilRelease release;
  std::unique_ptr<Offer> offer = engine.get().offer_group(name, ranks);
  return {&engine.get(), std::move(ranks), std::move(offer)};
}

size_t connect(BoundOffer& bound) {
  const GilRelease release;
  return bound.engine->add_group(*bound.offer, bound.ranks);
}

void withdraw(BoundOffer& bound) {
  const GilRelease release;
  bound.offer->withdraw();
}

}  // namespace

std::optional<size_t> BoundGroup::number_in(const Engine& engine) const {
  // Not the address alone, where a new engine may lie.
  return engine_.lock().get() == &engine ? number_ : std::nullopt;
}

void BoundGroup::close() {
  const std::shared_ptr<Engine> engine = engine_.lock();
  if (!engine || !number_) {
    throw ConfigError("[close] this is no open group of this rank's. Close each group once.");
  }
  {
    const GilRelease release;
    engine->close_group(*number_);
  }
  number_.reset();
}

void bind_groups(nb::module_& module, nb::class_<BoundEngine>& engine) {
  nb::class_<BoundOffer>(module, "Offer", "A rank's part of a group that is being made.")
      .def("connect", &connect,
           "Once all members have made theirs: connect to them, and return the group's number.")
      .def("withdraw", &withdraw, "Let nobody find it any more.");
  engine.def("offer_group", &make_offer, "name"_a, "ranks"_a, nb::keep_alive<0, 1>(),
             "Make this rank's part of a group of some ranks, and show it to the others.");
  nb::class_<BoundGroup>(module, "ProcessGroup", "Some of the ranks, for the calls of one engine.")
      .def(
          "__init__",
          [](BoundGroup* group, BoundEngine& engine, std::optional<size_t> number) {
            std::construct_at(group, engine.share(), number);
          },
          "engine"_a, "number"_a.none())
      .def(
          "_number_in",
          [](const BoundGroup& group, BoundEngine& engine) {
            return group.number_in(engine.get());
          },
          "engine"_a, "The number that calls name it by; None where it cannot be used.")
      .def("_close", &BoundGroup::close);
}

}  // namespace ringsync
