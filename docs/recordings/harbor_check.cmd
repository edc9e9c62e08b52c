build harbor_program
# The file /etc/hosts of many machines has two addresses for this name, in either order.
sub ^(  localhost:9001 = ).*(  \(from) => \g<1>127.0.0.1:9001\2
$ BACKENDS=localhost:9001,127.0.0.1:9002 build/release/harbor/harbor --check --threads 2 --strategy lc
