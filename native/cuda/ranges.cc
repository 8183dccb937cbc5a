// Ranges of NVTX, in a domain of our own: Nsight shows them over the threads that launch, and over
// the kernels that were launched within. Without a tool a range costs
// 5 ns.

#include "cuda/ranges.h"

#include <nvtx3/nvToolsExt.h>

namespace ringsync::cuda {
namespace {

nvtxDomainHandle_t domain() {
  static const nvtxDomainHandle_t made = nvtxDomainCreateA("ringsync");
  return made;
}

}  // namespace

RsStatus range_begin(const char* name) {
  if (name == nullptr) return kRsBadArgument;
  nvtxEventAttributes_t attributes{};
  attributes.version = NVTX_VERSION;
  attributes.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  attributes.messageType = NVTX_MESSAGE_TYPE_ASCII;
  attributes.message.ascii = name;
  nvtxDomainRangePushEx(domain(), &attributes);
  return kRsOk;
}

RsStatus range_end() {
  nvtxDomainRangePop(domain());
  return kRsOk;
}

}  // namespace ringsync::cuda
