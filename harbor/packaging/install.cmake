# cmake --install: the program, its manual page, and the unit for systemd.
#
# The unit names the program by its whole path, which is known only when the installation runs: `cmake --install
# build --prefix /opt/harbor` may differ from what was configured. So it is written then.
include(GNUInstallDirs)

# Where systemd looks is /usr/lib and /usr/local/lib (man 5 systemd.unit), also where libraries go elsewhere.
set(HARBOR_UNIT_DIR lib/systemd/system CACHE STRING "Where the systemd unit goes, below the prefix or absolute")

install(TARGETS harbor_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${CMAKE_CURRENT_LIST_DIR}/harbor.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)

set(harbor_unit ${CMAKE_CURRENT_BINARY_DIR}/harbor.service)
install(CODE "
  set(HARBOR_PROGRAM \"${CMAKE_INSTALL_BINDIR}/harbor\")
  cmake_path(ABSOLUTE_PATH HARBOR_PROGRAM BASE_DIRECTORY \"\${CMAKE_INSTALL_PREFIX}\" NORMALIZE)
  configure_file(\"${CMAKE_CURRENT_LIST_DIR}/harbor.service.in\" \"${harbor_unit}\" @ONLY)")
install(FILES ${harbor_unit} DESTINATION ${HARBOR_UNIT_DIR})
