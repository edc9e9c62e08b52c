build pool_try
$ sed -n '/int main/,$p' docs/examples/pool_try.cpp
$ cmake --build build/release --target pool_try >/dev/null && build/release/pool_try
