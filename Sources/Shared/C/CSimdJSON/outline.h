#ifndef TOLLGATE_OUTLINE_H
#define TOLLGATE_OUTLINE_H
#include <cstddef>
#include <cstdint>
#include <memory>

#include <simdjson.h>

namespace tollgate {

/// What a document is made of, as far as its structurals tell it. The memory is used again for the next one.
class Outline {
public:
    /// Checks the grammar of a document whose structurals stage 1 has found (it has checked UTF-8, control characters and
    /// the ends of strings as well), and learns where its values end. Eight bytes after the document must be readable.
    simdjson::error_code read(const uint8_t *source, size_t length, const uint32_t *structurals, size_t count,
                              size_t maximum_depth);

    /// For each opening bracket the number of the structural that closes it; whatever for all others.
    const uint32_t *closings() const { return closings_.get(); }
    /// Whether any key, however deep, has an escape.
    bool has_escaped_keys() const { return has_escaped_keys_; }

    /// Gives back what serves documents longer than `bytes`.
    void release(size_t bytes);

private:
    std::unique_ptr<uint32_t[]> closings_;
    size_t closings_capacity_ = 0;
    bool has_escaped_keys_ = false;
};

} // namespace tollgate

#endif
