#ifndef TOLLGATE_ESCAPES_H
#define TOLLGATE_ESCAPES_H
#include <cstddef>
#include <cstdint>

namespace tollgate {

enum class Escapes {
    none,
    valid,
    /// A backslash begins no escape (RFC 8259, 7). One outside a string is no matter: it is no value either.
    invalid,
};

Escapes find_escapes(const uint8_t *source, size_t length);

} // namespace tollgate

#endif
