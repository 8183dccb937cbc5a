#pragma once

// What a device plug-in offers the core: one table of functions over plain types, found by one
// symbol, so that a plug-in is built apart and loaded only where it can serve. No exception crosses
// it, and no function keeps state between calls but those of ranges.
//
// Every function returns a status: 0, or what went wrong, which `describe` puts into words.
// Functions return at once unless they say that they wait. Any thread may call any function;
// `use_device` counts for the thread that calls it, and every thread begins with device 0. A null
// stream is the device's default stream.

#include <cstdint>

/// Changes with every change of the table or of a structure in it.
inline constexpr uint32_t kRsAbi = 6;

/// 0 is success, above 0 are errors of the library that the plug-in stands on.
using RsStatus = int32_t;

enum RsError : RsStatus {
  kRsOk = 0,
  kRsNoDriver = -1,
  kRsDriverTooOld = -2,
  kRsNoDevice = -3,
  kRsBadArgument = -4,
  kRsBadTypes = -5,
  kRsBadSegments = -6,
  kRsTooLarge = -7,
  kRsNotABase = -8,
  kRsOwnMemory = -9,
  kRsNoStreamWaits = -10,
  kRsAbandoned = -11,
  kRsUnexpected = -12,
  kRsNoMemory = -13,
};

/// Numbers of base/dtype.h.
enum RsDtype : uint32_t {
  kRsInt32 = 1,
  kRsInt64 = 2,
  kRsFloat32 = 3,
  kRsFloat64 = 4,
  kRsFloat16 = 7,
  kRsBfloat16 = 9,
};

struct RsDeviceFacts {
  char name[256];
  uint64_t memory_bytes;
  int32_t multiprocessors;
  int32_t compute_major;
  int32_t compute_minor;
  int32_t library_version;
  int32_t driver_version;
  /// Whether other processes of this host can open memory of this device.
  int32_t can_export_memory;
  /// Whether `release` waits for all streams of its process.
  int32_t waits_on_release;
  /// Its own, whatever its number is in a process.
  uint8_t uuid[16];
};

/// One tensor of a bucket: where it lies, and at which element of the fusion buffer it begins. At a
/// multiple of 16 bytes both are moved 16 bytes at a time.
struct RsSegment {
  void* tensor;
  uint32_t first;
  uint32_t count;
};

/// How a launch is cut; 0 is the plug-in's own choice. For measurements.
struct RsShape {
  uint32_t block_threads;
  /// Threads that take a span together; all of a block where it does not divide block_threads.
  uint32_t team_threads;
  uint32_t span_bytes;
  uint32_t most_blocks;
};

/// Of a table in host memory as many entries as this go as a kernel's parameter; more, as more
/// launches.
inline constexpr uint32_t kRsMostSegments = 1360;
inline constexpr uint32_t kRsMostPeers = 16;

/// A bucket and its fusion buffer. Segments are in order of `first` and do not overlap; what no
/// segment covers is neither read nor written. Every value is multiplied by `scale`, in float32
/// (float64 in its own type), and rounded once; integers take scale 1 only. Types are equal, or one
/// is float32 and the other float16 or bfloat16. At most 2^31 elements.
struct RsMove {
  /// Read before the call returns, unless the table is on the device: then it is read when the
  /// stream comes to it, and nobody checks it.
  const RsSegment* segments;
  uint32_t segment_count;
  uint32_t is_table_on_device;
  void* fused;
  uint64_t fused_elements;
  uint32_t tensor_dtype;
  uint32_t fused_dtype;
  double scale;
  RsShape shape;
};

/// destination[i] = scale * (sources[0][i] + sources[1][i] + ...), in that order: 16-bit floats in
/// float32, rounded once, others in their own type; integers wrap and take scale 1 only. The
/// destination may be exactly one of the sources.
struct RsSum {
  void* destination;
  const void* sources[kRsMostPeers];
  uint32_t source_count;
  uint32_t dtype;
  uint64_t count;
  double scale;
  RsShape shape;
};

/// Of memory that lies on no device.
inline constexpr int32_t kRsNowhere = -1;

/// Names memory to other processes of this host.
struct RsMemoryHandle {
  unsigned char bytes[64];
};

/// Words in memory of a device, of which a stream writes and another waits for.
inline constexpr uint32_t kRsMostFlags = 4;

struct RsDeviceApi {
  uint32_t abi;
  uint32_t table_bytes;
  const char* kind;

  /// A sentence that ends in what to do, cut to `text_bytes` with its final 0.
  RsStatus (*describe)(RsStatus status, char* text, uint64_t text_bytes);

  /// How many there are. Where none is, 0 and a status that says why.
  RsStatus (*count_devices)(int32_t* count);
  RsStatus (*look_at_device)(int32_t device, RsDeviceFacts* facts);
  RsStatus (*use_device)(int32_t device);
  RsStatus (*device_in_use)(int32_t* device);

  /// Memory of the device in use. Both may wait for work in flight.
  RsStatus (*allocate)(uint64_t bytes, void** memory);
  RsStatus (*release)(void* memory);
  /// Memory of the host that the device reads and writes directly.
  RsStatus (*allocate_pinned)(uint64_t bytes, void** memory);
  RsStatus (*release_pinned)(void* memory);
  /// Makes whole pages of the caller's such memory; no page twice. Keeps them from being swapped.
  RsStatus (*pin)(void* memory, uint64_t bytes);
  /// Of memory as `pin` was given it.
  RsStatus (*unpin)(void* memory);
  /// On which device the memory lies; kRsNowhere for all that no device has allocated.
  RsStatus (*look_at_memory)(const void* memory, int32_t* device);
  /// Between memory of any two kinds. Waits where one side is host memory that is not pinned.
  RsStatus (*copy)(void* to, const void* from, uint64_t bytes, void* stream);
  RsStatus (*fill)(void* memory, uint32_t byte, uint64_t bytes, void* stream);

  /// Independent of the default stream; `is_urgent` puts it before others. The first one may wait
  /// for the device, which loads all kernels.
  RsStatus (*create_stream)(int32_t is_urgent, void** stream);
  /// What waits for a flag then may never end.
  RsStatus (*destroy_stream)(void* stream);
  /// Waits until the stream has done everything that it was given, and returns what failed in it.
  RsStatus (*synchronize_stream)(void* stream);

  RsStatus (*create_event)(int32_t is_timed, void** event);
  RsStatus (*destroy_event)(void* event);
  RsStatus (*record_event)(void* event, void* stream);
  /// The stream goes on once the event's last record has been reached; none counts as reached.
  RsStatus (*wait_event)(void* stream, void* event);
  /// Calls `call` on a thread of the plug-in's own once everything before it in the stream is done,
  /// with what has failed on the device by then. The call holds up the stream, and must not use
  /// this table.
  RsStatus (*notify)(void (*call)(void* context, RsStatus status), void* context, void* stream);
  RsStatus (*query_event)(void* event, int32_t* is_reached);
  /// Between two timed events that have been reached.
  RsStatus (*elapsed_ms)(void* start, void* end, float* milliseconds);

  /// Of memory as `allocate` returned it. Release it after all others have closed it.
  RsStatus (*export_memory)(void* memory, RsMemoryHandle* handle);
  /// Another process's, never this one's own.
  RsStatus (*open_memory)(const RsMemoryHandle* handle, void** memory);
  RsStatus (*close_memory)(void* memory);

  /// Writes `value` into all flags once everything before it in the stream is done and visible to
  /// whoever waits, here or in another process; nothing if the word `unless`, which may be null, is
  /// not 0 then: a rank that has given up must not tell its peers that all went well.
  RsStatus (*signal)(uint32_t* const* flags, uint32_t flag_count, uint32_t value,
                     const uint32_t* unless, void* stream);
  /// The stream goes on once the flag has reached `value`, counting in a circle of 2^32. The flag
  /// lies in this process's own memory. There is no deadline: to give up, signal the word `unless`
  /// of the signals that follow, then signal the flag, both from another stream.
  RsStatus (*wait_flag)(const uint32_t* flag, uint32_t value, void* stream);

  RsStatus (*pack)(const RsMove* move, void* stream);
  RsStatus (*unpack)(const RsMove* move, void* stream);
  RsStatus (*sum_peers)(const RsSum* sum, void* stream);

  /// From here on the stream keeps what it is given and does none of it: copies, fills, moves,
  /// sums, signals and waits for flags, with the addresses and values that they have now. Nothing
  /// else may be asked of it, and the same thread ends that; others may allocate meanwhile. Not of
  /// a null stream.
  RsStatus (*begin_graph)(void* stream);
  /// What the stream was given since, to be done again and again. Waits for no stream: one may
  /// stand still until the caller goes on.
  RsStatus (*end_graph)(void* stream, void** graph);
  /// Gives all of it to the stream that it comes from, in one call and in the same order.
  RsStatus (*launch_graph)(void* graph, void* stream);
  /// What has been launched is done all the same.
  RsStatus (*destroy_graph)(void* graph);

  /// Names what the calling thread gives to streams until its `range_end`, for tools that look on;
  /// ranges of a thread nest. Without a tool it costs next to nothing.
  RsStatus (*range_begin)(const char* name);
  RsStatus (*range_end)();
};

/// The one symbol of a plug-in; the table lives as long as the plug-in is loaded.
extern "C" const RsDeviceApi* rs_device_api();
