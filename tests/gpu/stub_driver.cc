// In the place of NVIDIA's driver, as far as CUDA's run time looks at it before it has a device: of
// version VERSION, and with no device.

#include <dlfcn.h>

#include <cstdint>

namespace {

constexpr int kNoDevice = 100;
constexpr int kNotFound = 500;

}  // namespace

extern "C" {

int cuDriverGetVersion(int* version) {
  *version = VERSION;
  return 0;
}

int cuInit(unsigned) { return kNoDevice; }

int cuGetProcAddress_v2(const char* name, void** found, int, uint64_t, int* is_missing) {
  *found = dlsym(RTLD_DEFAULT, name);
  if (is_missing != nullptr) *is_missing = *found == nullptr ? 1 : 0;
  return *found == nullptr ? kNotFound : 0;
}

int cuGetProcAddress(const char* name, void** found, int version, uint64_t flags) {
  return cuGetProcAddress_v2(name, found, version, flags, nullptr);
}

}  // extern "C"
