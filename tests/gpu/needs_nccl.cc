// As an extension of CuPy's: no NCCL itself, but one that comes with it.

extern "C" int ncclGetVersion(int* version);

extern "C" int version_of_nccl() {
  int version = 0;
  ncclGetVersion(&version);
  return version;
}
