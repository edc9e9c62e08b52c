# harbor_chapter(NN PROGRAM name SOURCES a.cpp b.cpp …): the targets of one chapter.
#
#   chNN_code        the chapter without its main, so that unit tests can link it
#   chNN_program     the program itself, called `name`
#   chNN_tests       black-box tests, tests/black_box_*.cpp: judge any executable named by HARBOR_UNDER_TEST
#   chNN_unit_tests  unit tests, tests/unit_*.cpp, where there are any: compiled against this chapter's code
#
# For the gates (scripts/check gates) it also adds, outside the default build, chNN_unit_tests_of_MM for the chapters
# beside this one: the unit tests of chapter MM compiled against the code of chapter NN. Those of an earlier chapter
# must pass; those of the next must not even compile, or fail.
include_guard(DIRECTORY)
include(${CMAKE_CURRENT_LIST_DIR}/project.cmake)
include(Catch)

enable_testing()

if(NOT TARGET harness)
  add_subdirectory(${CMAKE_CURRENT_LIST_DIR} ${CMAKE_BINARY_DIR}/harness)
endif()

function(harbor_unit_tests target code sources)
  add_executable(${target} ${sources})
  target_link_libraries(${target} PRIVATE ${code} harness harbor_flags Catch2::Catch2WithMain)
endfunction()

function(harbor_chapter number)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "PROGRAM" "SOURCES")
  set(here ${CMAKE_CURRENT_SOURCE_DIR})
  set(prefix ch${number})

  add_library(${prefix}_code OBJECT ${arg_SOURCES})
  target_include_directories(${prefix}_code PUBLIC ${here})
  target_link_libraries(${prefix}_code PUBLIC harbor_asio PRIVATE harbor_flags)

  add_executable(${prefix}_program main.cpp)
  set_target_properties(${prefix}_program PROPERTIES OUTPUT_NAME ${arg_PROGRAM})
  target_link_libraries(${prefix}_program PRIVATE ${prefix}_code harbor_flags)

  file(GLOB black_box CONFIGURE_DEPENDS ${here}/tests/black_box_*.cpp)
  if(black_box)
    add_executable(${prefix}_tests ${black_box})
    target_link_libraries(${prefix}_tests PRIVATE harness harbor_flags Catch2::Catch2WithMain)
    # HARBOR_UNDER_TEST in the environment wins over the chapter's own program.
    target_compile_definitions(${prefix}_tests PRIVATE HARBOR_DEFAULT_PROGRAM="$<TARGET_FILE:${prefix}_program>")
    add_dependencies(${prefix}_tests ${prefix}_program harness_echo)
    catch_discover_tests(${prefix}_tests TEST_PREFIX "${prefix}: "
      PROPERTIES ENVIRONMENT "HARBOR_UNDER_TEST=$<TARGET_FILE:${prefix}_program>"
      LABELS "${prefix}" TIMEOUT ${HARBOR_TEST_TIMEOUT})
    # The whole tree also lets them judge its last program. The extra argument is Catch2's default and changes nothing,
    # but catch_discover_tests() names its files by a hash of the arguments, and two calls may not write the same files.
    if(HARBOR_LAST_PROGRAM)
      catch_discover_tests(${prefix}_tests TEST_PREFIX "harbor: ${prefix}: " EXTRA_ARGS --order decl
        PROPERTIES ENVIRONMENT "HARBOR_UNDER_TEST=$<TARGET_FILE:${HARBOR_LAST_PROGRAM}>"
        LABELS harbor TIMEOUT ${HARBOR_TEST_TIMEOUT})
    endif()
  endif()

  file(GLOB unit CONFIGURE_DEPENDS ${here}/tests/unit_*.cpp)
  if(unit)
    harbor_unit_tests(${prefix}_unit_tests ${prefix}_code "${unit}")
    catch_discover_tests(${prefix}_unit_tests TEST_PREFIX "${prefix} unit: "
      PROPERTIES LABELS "${prefix}" TIMEOUT ${HARBOR_TEST_TIMEOUT})
  endif()

  file(GLOB others LIST_DIRECTORIES true ${here}/../[0-9][0-9]_*)
  foreach(other IN LISTS others)
    get_filename_component(name ${other} NAME)
    string(SUBSTRING ${name} 0 2 other_number)
    file(GLOB unit CONFIGURE_DEPENDS ${other}/tests/unit_*.cpp)
    if(unit AND NOT other_number STREQUAL number)
      set(target ${prefix}_unit_tests_of_${other_number})
      harbor_unit_tests(${target} ${prefix}_code "${unit}")
      set_target_properties(${target} PROPERTIES EXCLUDE_FROM_ALL ON)
    endif()
  endforeach()
endfunction()
