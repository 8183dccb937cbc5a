#include "transport/registry.h"

#include "base/error.h"
#include "transport/local.h"

namespace ringsync {
namespace {

struct Entry {
  std::string name;
  std::unique_ptr<BlockSource> (*make_source)(Store&, int rank, int size);
};

const std::vector<Entry>& entries() {
  static const std::vector<Entry> kEntries = {
      {"inproc", &make_inproc_source},
      {"shm", &make_shm_source},
  };
  return kEntries;
}

}  // namespace

std::vector<std::string> transport_names() {
  std::vector<std::string> names;
  for (const Entry& entry : entries()) names.push_back(entry.name);
  return names;
}

std::unique_ptr<Transport> make_transport(const std::string& name, Store& store, int rank, int size,
                                          Deadline deadline) {
  for (const Entry& entry : entries()) {
    if (entry.name != name) continue;
    return std::make_unique<LocalTransport>(entry.make_source(store, rank, size), store, rank, size,
                                            deadline);
  }
  throw ConfigError("[transport] '" + name + "' is unknown; one of inproc, shm is expected.");
}

}  // namespace ringsync
