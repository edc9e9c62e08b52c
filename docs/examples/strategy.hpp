// What the examples of the pages include when they say prelude=strategy.
#include "../../harbor/strategy.hpp"
