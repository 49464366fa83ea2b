#ifndef TOLLGATE_REPAIR_H
#define TOLLGATE_REPAIR_H
#include <cstddef>
#include <cstdint>

namespace tollgate {

/// Overwrites what RFC 8259 allows but simdjson cannot hold, in place and without moving a byte: numbers beyond 64-bit
/// integers and doubles, and lone surrogates. Returns whether anything was overwritten.
///
/// An integer too long becomes the nearest double; a number beyond the range of a double becomes ±9e307; a lone
/// surrogate becomes U+FFFD. Gateway bodies are forwarded from their source bytes, so only what is read changes.
bool repair(uint8_t *bytes, size_t length, const uint32_t *structurals, size_t count);

/// Whether these bytes are one number (RFC 8259, 6).
bool is_number(const uint8_t *start, const uint8_t *end);

} // namespace tollgate

#endif
