#include <charconv>
#include <cstring>

#include "include/simd_json.h"
#include "source.h"

namespace {

bool is_open(uint8_t byte) { return (byte | 0x20) == '{'; }

struct Reader {
    const uint8_t *source;
    const uint32_t *structurals;
    const uint32_t *closings;

    explicit Reader(const tg_json_outline &outline)
        : source(outline.source), structurals(outline.structurals), closings(outline.closings) {}

    uint8_t first(size_t place) const { return source[structurals[place]]; }

    /// The first place after a value and the comma or bracket that follows it.
    size_t after(size_t place) const { return (is_open(first(place)) ? closings[place] : place) + 2; }

    /// The closing quote of a key: a colon follows it, after white space at most.
    const uint8_t *end_of_key(size_t place) const {
        const uint8_t *start = source + structurals[place], *end = source + structurals[place + 1] - 1;
        return *end == '"' ? end : static_cast<const uint8_t *>(memrchr(start, '"', size_t(end - start)));
    }
};

} // namespace

bool tg_json_is_escaped(const void *inside, size_t length, const void *text, size_t text_length) {
    if (length <= text_length || length > 6 * text_length) { return false; }
    const auto *at = static_cast<const uint8_t *>(inside), *end = at + length;
    const auto *wanted = static_cast<const uint8_t *>(text), *wanted_end = wanted + text_length;
    for (; wanted < wanted_end; wanted++) {
        if (at == end) { return false; }
        if (*at != '\\') {
            if (*at++ != *wanted) { return false; }
            continue;
        }
        // Nothing that is asked for has a character of the short escapes.
        if (end - at < 6 || at[1] != 'u') { return false; }
        unsigned unit = 0;
        const auto *digits = reinterpret_cast<const char *>(at + 2);
        if (std::from_chars(digits, digits + 4, unit, 16).ptr != digits + 4 || unit != *wanted) { return false; }
        at += 6;
    }
    return at == end;
}

size_t tg_json_member(const tg_json_outline *outline, size_t object, const void *text, size_t length, bool *is_twice) {
    const Reader reader(*outline);
    if (reader.first(object) != '{') { return 0; }
    const size_t end = reader.closings[object];
    size_t found = 0;
    for (size_t key = object + 1; key < end; key = reader.after(key + 2)) {
        const uint8_t *start = reader.source + reader.structurals[key] + 1;
        const size_t key_length = size_t(reader.end_of_key(key) - start);
        const bool is_it = key_length == length
                               ? std::memcmp(start, text, length) == 0
                               : outline->has_escaped_keys && tg_json_is_escaped(start, key_length, text, length);
        if (!is_it) { continue; }
        if (!is_twice) { return key + 2; }
        if (found) {
            *is_twice = true;
            break;
        }
        found = key + 2;
    }
    return found;
}

size_t tg_json_next_key(const tg_json_outline *outline, size_t place, uint64_t lengths) {
    const Reader reader(*outline);
    for (size_t colon = place + 1; colon < outline->structural_count; colon++) {
        if (reader.first(colon) != ':') { continue; }
        const size_t key = colon - 1;
        const size_t length = size_t(reader.end_of_key(key) - reader.source) - reader.structurals[key] - 1;
        if (outline->has_escaped_keys || (lengths >> (length < 63 ? length : 63) & 1)) { return key; }
    }
    return 0;
}

bool tg_json_integer(const tg_json_outline *outline, size_t place, int64_t *value) {
    const size_t start = outline->structurals[place];
    const size_t next = place + 1 < outline->structural_count ? outline->structurals[place + 1] : outline->length;
    const auto *first = reinterpret_cast<const char *>(outline->source + start);
    const auto *end = reinterpret_cast<const char *>(tollgate::end_of_scalar(outline->source, next, start));
    const auto found = std::from_chars(first, end, *value);
    return found.ec == std::errc() && found.ptr == end;
}
