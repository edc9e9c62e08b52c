build ch01_program
$ build/release/chapters/01_echo/echo 65536; echo "status $?"
$ build/release/chapters/01_echo/echo; echo "status $?"
