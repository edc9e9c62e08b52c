build harbor_program
$ build/release/harbor/harbor --help
