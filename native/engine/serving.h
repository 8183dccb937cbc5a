#pragma once

// The way of a rank's engine to arrays on devices: the device is found with the first of them.

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "device/device.h"
#include "engine/request.h"
#include "transport/transport.h"

namespace ringsync {

/// Any thread.
class Serving {
 public:
  /// Of rank `rank`; without a plug-in's file there is no way to any device. `transport` outlives
  /// it. `kept` is as Device says.
  Serving(std::filesystem::path plugin, Transport& transport, int rank,
          std::shared_ptr<KeptMemory> kept);

  /// Sees to it that an array on a device can be worked on, as far as there is a way to it; else
  /// nothing is known of it from here on. Others are left alone. Throws ConfigError for an array
  /// that does not lie on this rank's device, and Error.
  void serve(Request& request);
  /// This rank works on that device and on no other. Throws ConfigError where it works on another
  /// one.
  void stay_on(int ordinal);
  /// The calling thread works on this rank's device from now on; false where there is none yet.
  bool adopt_thread();
  /// Nothing is on its way any more, or shall wake the engine when it is done.
  void close() noexcept;

 private:
  std::shared_ptr<Device> device_of(const Request& request, std::string& lack);
  [[noreturn]] void refuse(const Request& request, int ordinal, int own) const;

  const std::filesystem::path plugin_;
  Transport& transport_;
  const int rank_;
  const std::shared_ptr<KeptMemory> kept_;
  std::mutex mutex_;
  std::shared_ptr<Device> device_;  // guarded by mutex_
  // Likewise.
  bool has_looked_ = false;
  std::optional<int> ordinal_;                       // of the device, before or once there is one
  std::string lack_ = "its plug-in was not built.";  // unless there is one
};

}  // namespace ringsync
