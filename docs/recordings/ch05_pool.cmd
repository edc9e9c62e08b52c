build ch05_program
$ sed -n '/int main/,$p' docs/examples/pool_try.cpp
$ cd build/release/chapters/05_timeouts_retry && g++ -std=c++20 -DASIO_STANDALONE ../../../../docs/examples/pool_try.cpp CMakeFiles/ch05_code.dir/*.o -o pool_try
$ cd build/release/chapters/05_timeouts_retry && ./pool_try
