# A learner goes through chapter 03: a starter, an attempt that is off by one, help, a right attempt, and the book's.
build ch03_tests harness_echo
folder work
limit 1800
set HARBOR_LEARN_FOLDER=work
set EDITOR=docs/recordings/learn_walk_editor
set COLUMNS=100
sub   \d+\.\d s$ => ""
sub ^[ \d]{5} ms  => "         "
sub \s+\((?:chapters|docs)/[^)]*\) =>  (docs/chapters/03_round_robin.md:…)
sub with the names [AB] [AB]$ => with the names A B
sub 20 x [AB]; => 20 x A;
sub \.learn/traces/\S* => .learn/traces/…
$ scripts/learn start 03
$ grep -A 9 -e '//? ----- pick' work/03_round_robin/pool.cpp
silent
$ $EDITOR work/03_round_robin/*.?pp
$ sed -n '/Pool::pick/,/^}/p' work/03_round_robin/pool.cpp
$ scripts/learn test 03 --fail-fast
$ scripts/learn test 03 --only 'busy backend'
$ scripts/learn trace
$ scripts/learn hint 03
$ scripts/learn hint 03
silent
$ sed -i 's/ % (backends_.size() - 1)/ % backends_.size()/' work/03_round_robin/pool.cpp
$ scripts/learn test 03
$ scripts/learn diff 03 --code
