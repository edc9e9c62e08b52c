// The memory of the tests: malloc, unless the script of the thread says that there is none.
#include "faults.hpp"

#include <cstdlib>
#include <new>

namespace {

void* allocate(std::size_t size) {
    return faults::allocation_fails(size)
               ? nullptr
               : std::malloc(size == 0 ? 1 : size); // NOLINT: this is what operator new is made of
}

} // namespace

// Every form of new and delete but the aligned ones, which nothing here uses: a memory checker wants what one
// of them has given to come back to its counterpart.
void* operator new(std::size_t size) {
    if (void* memory = allocate(size)) {
        return memory;
    }
    throw std::bad_alloc();
}
void* operator new[](std::size_t size) {
    return operator new(size);
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size);
}
void operator delete(void* memory) noexcept {
    std::free(memory); // NOLINT
}
void operator delete[](void* memory) noexcept {
    std::free(memory); // NOLINT
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory); // NOLINT
}
void operator delete[](void* memory, std::size_t) noexcept {
    std::free(memory); // NOLINT
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
    std::free(memory); // NOLINT
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
    std::free(memory); // NOLINT
}
