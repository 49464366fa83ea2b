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

/// Whether this may follow a backslash, `u` aside (RFC 8259, 7).
bool is_escapable(uint8_t byte) {
    static const struct Table {
        bool known[256] = {};
        Table() {
            for (const char c : {'"', '\\', '/', 'b', 'f', 'n', 'r', 't'}) { known[uint8_t(c)] = true; }
        }
    } table;
    return table.known[byte];
}

/// The first offset after the escape at `at`, or 0 if it is none.
size_t after_escape(const uint8_t *source, size_t at, size_t length) {
    if (at + 1 < length && is_escapable(source[at + 1])) { return at + 2; }
    if (at + 5 >= length || source[at + 1] != 'u') { return 0; }
    for (size_t i = at + 2; i < at + 6; i++) {
        if (!is_hex(source[i])) { return 0; }
    }
    return at + 6;
}

/// Whether every backslash begins an escape. One outside a string is no matter: it is no value either.
bool has_valid_escapes(const uint8_t *source, size_t length) {
    size_t block = 0;
    /// Before this everything is known to be right: it is inside an escape.
    size_t known = 0;
#if defined(__SSE2__)
    const __m128i backslash = _mm_set1_epi8('\\');
    const auto find = [&](size_t at) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(source + at));
        return uint64_t(uint32_t(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, backslash))));
    };
    for (; block + 64 <= length; block += 64) {
        uint64_t found = find(block) | find(block + 16) << 16 | find(block + 32) << 32 | find(block + 48) << 48;
        for (; found; found &= found - 1) {
            const size_t at = block + size_t(__builtin_ctzll(found));
            if (at < known) { continue; }
            known = after_escape(source, at, length);
            if (known == 0) { return false; }
        }
    }
#endif
    for (size_t at = block; at < length; at++) {
        if (at < known || source[at] != '\\') { continue; }
        known = after_escape(source, at, length);
        if (known == 0) { return false; }
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
    return has_valid_escapes(source, length) ? simdjson::SUCCESS : simdjson::STRING_ERROR;
}
