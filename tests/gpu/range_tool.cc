// A tool as NVTX loads one: writes what ranges are begun and ended, in which domain, to stdout.

#include <nvtx3/nvToolsExt.h>

#include <cstdio>

namespace {

nvtxDomainHandle_t make_domain(const char* name) {
  std::printf("domain %s\n", name);
  return reinterpret_cast<nvtxDomainHandle_t>(1);
}

int begin(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* range) {
  std::printf("%d begin %s\n", domain != nullptr ? 1 : 0, range->message.ascii);
  return 0;
}

int end(nvtxDomainHandle_t domain) {
  std::printf("%d end\n", domain != nullptr ? 1 : 0);
  return 0;
}

}  // namespace

extern "C" int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t find) {
  const auto* const callbacks =
      static_cast<const NvtxExportTableCallbacks*>(find(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size) == 0) return 0;
  *table[NVTX_CBID_CORE2_DomainCreateA] = reinterpret_cast<NvtxFunctionPointer>(&make_domain);
  *table[NVTX_CBID_CORE2_DomainRangePushEx] = reinterpret_cast<NvtxFunctionPointer>(&begin);
  *table[NVTX_CBID_CORE2_DomainRangePop] = reinterpret_cast<NvtxFunctionPointer>(&end);
  return 1;
}
