# The CUDA plug-in, built wherever there is a compiler for it; whether there is a driver is seen at run
# time. Sets nothing that others use.

# CMake's words for both, which people write out of habit; what is neither must not pass for AUTO.
string(TOUPPER "${RINGSYNC_CUDA}" choice)
if(choice MATCHES "^(OFF|NO|FALSE|N|0)$")
  return()
elseif(choice MATCHES "^(ON|YES|TRUE|Y|1)$")
  set(choice ON)
elseif(NOT choice STREQUAL "AUTO")
  message(FATAL_ERROR "[build] RINGSYNC_CUDA='${RINGSYNC_CUDA}' is none; one of AUTO, ON, OFF is expected. Correct it.")
endif()

# Also where it is installed and not on PATH. Through the environment: a compiler that a variable names
# would be taken without being tried.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(RINGSYNC_NVCC nvcc
    HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  if(RINGSYNC_NVCC)
    set(ENV{CUDACXX} "${RINGSYNC_NVCC}")
  endif()
endif()
# Machine code for what trains today, and PTX for what comes. An editable install serves one machine
# and is made anew with every change: it gets the code of that machine's GPU alone, or sm_90's, in a
# third of the time.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES "80-real;90-real;100-real;100-virtual")
  if(SKBUILD_STATE STREQUAL "editable")
    set(CMAKE_CUDA_ARCHITECTURES "90-real")
    find_program(RINGSYNC_NVIDIA_SMI nvidia-smi)
    if(RINGSYNC_NVIDIA_SMI)
      execute_process(COMMAND "${RINGSYNC_NVIDIA_SMI}" --query-gpu=compute_cap --format=csv,noheader
        OUTPUT_VARIABLE RINGSYNC_GPU ERROR_QUIET)
      if(RINGSYNC_GPU MATCHES "^([0-9]+)\\.([0-9])")
        set(CMAKE_CUDA_ARCHITECTURES "${CMAKE_MATCH_1}${CMAKE_MATCH_2}-real")
      endif()
    endif()
  endif()
endif()

include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(choice STREQUAL "ON")
    message(FATAL_ERROR "[build] RINGSYNC_CUDA=${RINGSYNC_CUDA}, and no nvcc that works was found. Put it on PATH, or set CUDACXX.")
  endif()
  message(STATUS "No nvcc that works: the CUDA plug-in is not built, the CPU part is")
  return()
endif()
enable_language(CUDA)
# CMake before 3.26 does not know that nvcc has C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
endif()
find_package(CUDAToolkit REQUIRED)

# Headers alone, which a toolkit made of pip's packages may lack.
find_path(RINGSYNC_NVTX nvtx3/nvToolsExt.h PATHS ${CUDAToolkit_INCLUDE_DIRS} NO_DEFAULT_PATH)
if(RINGSYNC_NVTX)
  set(ranges cuda/ranges.cc)
else()
  set(ranges cuda/no_ranges.cc)
endif()
ringsync_plugin(cuda SOURCES cuda/api.cc cuda/driver.cc cuda/graphs.cc cuda/memory.cc cuda/moves.cu
                cuda/streams.cc cuda/sums.cu ${ranges})
# Values must not depend on how a compiler fuses them, as in the core.
target_compile_options(ringsync_cuda PRIVATE
  "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-fmad=false;-Xcompiler=-Wall,-Wextra>")
if(RINGSYNC_WERROR)
  target_compile_options(ringsync_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>")
endif()
set_target_properties(ringsync_cuda PROPERTIES
  CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF CUDA_VISIBILITY_PRESET hidden
  UNITY_BUILD OFF  # kernels take far longer than headers, and two compile at once
  CUDA_RUNTIME_LIBRARY Static)
target_include_directories(ringsync_cuda SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
target_link_libraries(ringsync_cuda PRIVATE CUDA::cudart_static ${CMAKE_DL_LIBS})
