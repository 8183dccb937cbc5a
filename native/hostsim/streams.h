#pragma once

// The calls of the table that put work in order: streams, events, and flags.

#include "device/plugin_abi.h"

namespace ringsync::hostsim {

RsStatus create_stream(int32_t is_urgent, void** stream);
RsStatus destroy_stream(void* stream);
RsStatus synchronize_stream(void* stream);
RsStatus create_event(int32_t is_timed, void** event);
RsStatus destroy_event(void* event);
RsStatus record_event(void* event, void* stream);
RsStatus wait_event(void* stream, void* event);
RsStatus notify(void (*call)(void*, RsStatus), void* context, void* stream);
RsStatus query_event(void* event, int32_t* is_reached);
RsStatus elapsed_ms(void* start, void* end, float* milliseconds);
RsStatus signal(uint32_t* const* flags, uint32_t flag_count, uint32_t value, const uint32_t* unless,
                void* stream);
RsStatus wait_flag(const uint32_t* flag, uint32_t value, void* stream);

}  // namespace ringsync::hostsim
