$ sed -n '/int main/,$p' docs/examples/pool_try.cpp
$ cd chapters/05_timeouts_retry && g++ -std=c++20 -DASIO_STANDALONE ../../docs/examples/pool_try.cpp pool.cpp cooldown.cpp strategy.cpp backend.cpp config.cpp -o ../../build/pool_try
$ build/pool_try
