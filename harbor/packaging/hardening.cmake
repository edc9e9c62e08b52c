# What makes a mistake in a network program harder to exploit, at a price that the benchmarks do not show.
#
#   harbor_harden(harbor_asio harbor_library harbor_program)
#
# Only what the compiler knows is switched on. Everything that goes into a position-independent program has to be compiled
# as such, which is why Asio is in the list.
include_guard(GLOBAL)
include(CheckCXXCompilerFlag)
include(CheckLinkerFlag)
include(CheckPIESupported)
check_pie_supported(LANGUAGES CXX)

function(harbor_harden)
  set(compile "")
  # Canaries behind arrays; a stack that grows touches every page, so that it cannot jump over the guard page; jumps and
  # returns only to where the compiler has put them (with a processor and a kernel that enforce it).
  foreach(flag IN ITEMS -fstack-protector-strong -fstack-clash-protection -fcf-protection)
    string(MAKE_C_IDENTIFIER "HARBOR_HAS${flag}" known)
    check_cxx_compiler_flag(${flag} ${known})
    if(${known})
      list(APPEND compile ${flag})
    endif()
  endforeach()

  # The checks of the C library need the optimiser to know sizes, and hide the originals from the sanitizers.
  set(optimised $<OR:$<CONFIG:Release>,$<CONFIG:RelWithDebInfo>,$<CONFIG:MinSizeRel>>)
  if(NOT HARBOR_SANITIZE)
    list(APPEND compile $<${optimised}:-U_FORTIFY_SOURCE> $<${optimised}:-D_FORTIFY_SOURCE=2>)
  endif()

  # All symbols are looked up at the start, and then the tables they are in become read-only.
  set(link "")
  foreach(flag IN ITEMS -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
    string(MAKE_C_IDENTIFIER "HARBOR_LINKS${flag}" known)
    check_linker_flag(CXX ${flag} ${known})
    if(${known})
      list(APPEND link ${flag})
    endif()
  endforeach()

  foreach(target IN LISTS ARGN)
    target_compile_options(${target} PRIVATE ${compile})
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "EXECUTABLE")
      # Addresses that differ from run to run: -fPIE and, for the linker, -pie.
      set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
      target_link_options(${target} PRIVATE ${link})
    else()
      # Not by the same property: for a library that means -fPIC, whose functions could be replaced by another
      # library's and are therefore not inlined.
      target_compile_options(${target} PRIVATE -fPIE)
    endif()
  endforeach()
endfunction()
