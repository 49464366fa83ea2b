#include "outline.h"

#include <cstring>
#include <new>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "repair.h"

namespace {

bool is_hex(uint8_t byte) {
    const uint8_t lower = byte | 0x20;
    return (byte >= '0' && byte <= '9') || (lower >= 'a' && lower <= 'f');
}

/// The first byte after the escape at `at`, or NULL if it is none (RFC 8259, 7).
const uint8_t *after_escape(const uint8_t *at, const uint8_t *end) {
    if (end - at < 2) { return nullptr; }
    if (at[1] != 'u') { return std::strchr("\"\\/bfnrt", at[1]) && at[1] ? at + 2 : nullptr; }
    if (end - at < 6) { return nullptr; }
    for (int i = 2; i < 6; i++) {
        if (!is_hex(at[i])) { return nullptr; }
    }
    return at + 6;
}

/// Whether every backslash begins an escape. One outside a string is no matter: it is no value either.
bool has_valid_escapes(const uint8_t *at, const uint8_t *end) {
#if defined(__SSE2__)
    const __m128i backslash = _mm_set1_epi8('\\');
    while (end - at >= 16) {
        const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
        const int found = _mm_movemask_epi8(_mm_cmpeq_epi8(block, backslash));
        if (found == 0) {
            at += 16;
            continue;
        }
        at = after_escape(at + __builtin_ctz(unsigned(found)), end);
        if (!at) { return false; }
    }
#endif
    while (at < end) {
        if (*at != '\\') {
            at++;
            continue;
        }
        at = after_escape(at, end);
        if (!at) { return false; }
    }
    return true;
}

bool is_space(uint8_t byte) { return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t'; }

struct Outliner {
    const uint8_t *source;
    size_t length;
    const uint32_t *structurals;
    size_t count;
    size_t maximum_depth;
    std::vector<tg_json_member> &members;
    std::vector<bool> &objects;

    size_t at = 0;

    uint8_t byte() const { return source[structurals[at]]; }
    bool is_done() const { return at >= count; }

    /// The end of the scalar at `at`: what stands before the next structural, white space left out.
    size_t end_of_scalar() const {
        size_t end = at + 1 < count ? structurals[at + 1] : length;
        while (end > structurals[at] && is_space(source[end - 1])) { end--; }
        return end;
    }

    bool is_string() const {
        const size_t start = structurals[at], end = end_of_scalar();
        return end - start >= 2 && source[start] == '"' && source[end - 1] == '"';
    }

    bool is_scalar() const {
        const uint8_t *start = source + structurals[at], *end = source + end_of_scalar();
        const auto is = [&](const char *text) {
            const size_t size = std::strlen(text);
            return size_t(end - start) == size && std::memcmp(start, text, size) == 0;
        };
        switch (*start) {
        case '"': return is_string();
        case 't': return is("true");
        case 'f': return is("false");
        case 'n': return is("null");
        default: return tollgate::is_number(start, end);
        }
    }

    /// Takes one key and its colon.
    bool key() {
        if (is_done() || byte() != '"' || !is_string()) { return false; }
        const size_t start = structurals[at], end = end_of_scalar();
        at++;
        if (is_done() || byte() != ':') { return false; }
        at++;
        if (objects.size() == 1 && !is_done()) { members.push_back({start, end, structurals[at], 0}); }
        return true;
    }

    /// A value ends at `end`, outside of all that it contains.
    void ended(size_t end) {
        if (objects.size() == 1 && objects[0] && !members.empty()) { members.back().value_end = end; }
    }

    simdjson::error_code run() {
        if (count == 0) { return simdjson::EMPTY; }
        while (true) {
            // A value.
            if (is_done()) { return simdjson::TAPE_ERROR; }
            const uint8_t first = byte();
            if (first == '{' || first == '[') {
                if (objects.size() >= maximum_depth) { return simdjson::DEPTH_ERROR; }
                objects.push_back(first == '{');
                at++;
                if (is_done()) { return simdjson::TAPE_ERROR; }
                if (byte() != (first == '{' ? '}' : ']')) {
                    if (first == '{' && !key()) { return simdjson::TAPE_ERROR; }
                    continue;
                }
            } else {
                if (!is_scalar()) { return simdjson::TAPE_ERROR; }
                ended(end_of_scalar());
                at++;
            }
            // What follows a value.
            while (!objects.empty() && !is_done() && byte() != ',') {
                if (byte() != (objects.back() ? '}' : ']')) { return simdjson::TAPE_ERROR; }
                objects.pop_back();
                ended(size_t(structurals[at]) + 1);
                at++;
            }
            if (objects.empty()) { return is_done() ? simdjson::SUCCESS : simdjson::TAPE_ERROR; }
            if (is_done()) { return simdjson::TAPE_ERROR; }
            at++;
            if (objects.back() && !key()) { return simdjson::TAPE_ERROR; }
        }
    }
};

} // namespace

simdjson::error_code tollgate::outline(const uint8_t *source, size_t length, const uint32_t *structurals, size_t count,
                                       size_t maximum_depth, std::vector<tg_json_member> &members) {
    members.clear();
    try {
        std::vector<bool> objects;
        Outliner outliner{source, length, structurals, count, maximum_depth, members, objects};
        const simdjson::error_code error = outliner.run();
        if (error) { return error; }
    } catch (const std::bad_alloc &) {
        return simdjson::MEMALLOC;
    }
    return has_valid_escapes(source, source + length) ? simdjson::SUCCESS : simdjson::STRING_ERROR;
}
