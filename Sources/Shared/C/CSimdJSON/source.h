#ifndef TOLLGATE_SOURCE_H
#define TOLLGATE_SOURCE_H
#include <cstddef>
#include <cstdint>

namespace tollgate {

inline bool is_space(uint8_t byte) { return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t'; }

/// The end of a scalar that begins at `start`, of which it is known where the next structural stands.
inline const uint8_t *end_of_scalar(const uint8_t *source, size_t next, size_t start) {
    while (next > start && is_space(source[next - 1])) { next--; }
    return source + next;
}

} // namespace tollgate

#endif
