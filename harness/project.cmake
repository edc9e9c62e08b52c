# What every target of the project shares: the language, the warnings, the sanitizers, and the three libraries.
# Included by the harness and, through chapter.cmake, by each chapter, whether it is built alone or with all others.
#
# Guarded by directory and not once for all: variables and imported targets are visible only in the folder that made
# them and below, and the harness and the chapters are neighbours.
include_guard(DIRECTORY)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(HARBOR_SANITIZE "" CACHE STRING "Sanitizers for every target: 'address,undefined' or 'thread'; empty for none")
# Seconds for one test, after which it hangs; a sanitizer makes the slowest of them ten times as slow.
set(HARBOR_TEST_TIMEOUT 180)
if(HARBOR_SANITIZE)
  set(HARBOR_TEST_TIMEOUT 900)
endif()
option(HARBOR_WERROR "Treat warnings as errors" ON)

find_package(Threads REQUIRED)
find_package(Catch2 REQUIRED)
find_path(HARBOR_ASIO_INCLUDE_DIR asio.hpp REQUIRED DOC "Folder that holds standalone Asio's asio.hpp")

if(TARGET harbor_flags)
  return()
endif()

# Flags for our own code only: what we write must be clean, what we include is not ours to mend.
add_library(harbor_flags INTERFACE)
target_compile_options(harbor_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # Two false alarms of GCC 12: overlapping copies inside `"text" + string` when optimising (GCC bug 105651, mended in
  # 13), and under AddressSanitizer the operator new of a coroutine frame taken for another than its operator delete.
  target_compile_options(harbor_flags INTERFACE -Wno-restrict -Wno-mismatched-new-delete)
endif()
if(HARBOR_WERROR)
  target_compile_options(harbor_flags INTERFACE -Werror)
endif()

# Flags that every object file must agree on, Asio's among them.
add_library(harbor_common INTERFACE)
target_link_libraries(harbor_common INTERFACE Threads::Threads)
if(HARBOR_SANITIZE)
  target_compile_options(harbor_common INTERFACE
    -fsanitize=${HARBOR_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  if(HARBOR_SANITIZE MATCHES "undefined")
    # This one check looks at memory through a pipe, and takes it for broken where no descriptor is left for one: in the
    # tests that use them all up.
    target_compile_options(harbor_common INTERFACE -fno-sanitize=vptr)
  endif()
  target_link_options(harbor_common INTERFACE -fsanitize=${HARBOR_SANITIZE})
  if(HARBOR_SANITIZE MATCHES "thread")
    # ThreadSanitizer cannot see through std::atomic_thread_fence; without it Asio orders by atomics alone.
    target_compile_definitions(harbor_common INTERFACE ASIO_DISABLE_FENCED_BLOCK)
  endif()
endif()

# Asio is header-only by default, which would compile its implementation into every source file.
# Compiled once, as a small library, the chapters build in half the time.
add_library(harbor_asio STATIC ${CMAKE_CURRENT_LIST_DIR}/asio_library.cpp)
target_include_directories(harbor_asio SYSTEM PUBLIC ${HARBOR_ASIO_INCLUDE_DIR})
# Whether Asio 1.22 finds std::aligned_alloc depends on which header a source file includes first; files that disagree free
# what others have allocated otherwise. So none of them looks for it.
target_compile_definitions(harbor_asio PUBLIC
  ASIO_STANDALONE ASIO_SEPARATE_COMPILATION ASIO_NO_DEPRECATED ASIO_DISABLE_STD_ALIGNED_ALLOC)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # Asio 1.22 does not recognise clang's coroutines by itself; later versions do and ignore these.
  target_compile_definitions(harbor_asio PUBLIC ASIO_HAS_CO_AWAIT ASIO_HAS_STD_COROUTINE)
endif()
target_link_libraries(harbor_asio PUBLIC harbor_common)
