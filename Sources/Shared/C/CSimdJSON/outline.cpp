#include "outline.h"

#include <cstring>
#include <new>

#include "escapes.h"
#include "repair.h"
#include "source.h"

namespace {

using simdjson::error_code;

/// Whether a backslash is among bytes after which eight more can be read.
bool has_backslash(const uint8_t *start, const uint8_t *end) {
    constexpr uint64_t ones = 0x0101010101010101;
    for (; start < end; start += 8) {
        uint64_t word;
        std::memcpy(&word, start, sizeof word);
        // A byte that is zero now was a backslash (Hacker's Delight, 6-1). What follows the bytes is none of them.
        word ^= ones * '\\';
        if (end - start < 8) { word |= ~uint64_t(0) << 8 * (end - start); }
        if ((word - ones) & ~word & ones << 7) { return true; }
    }
    return false;
}

struct Outliner {
    const uint8_t *source;
    size_t length;
    const uint32_t *structurals;
    size_t count;
    uint32_t *closings;
    bool has_escapes;

    size_t at = 0;
    bool has_escaped_keys = false;

    uint8_t byte() const { return source[structurals[at]]; }
    bool is_done() const { return at >= count; }

    /// Whether what begins at `at` is a literal or a number. Strings need no look: stage 1 has found where they end, and
    /// that nothing but white space stands between that and the next structural.
    bool is_plain_scalar() const {
        const uint8_t *start = source + structurals[at];
        const uint8_t *end = tollgate::end_of_scalar(source, at + 1 < count ? structurals[at + 1] : length, structurals[at]);
        const auto is = [&](const char *text, long size) {
            return end - start == size && std::memcmp(start, text, size_t(size)) == 0;
        };
        switch (*start) {
        case 't': return is("true", 4);
        case 'f': return is("false", 5);
        case 'n': return is("null", 4);
        default: return tollgate::is_number(start, end);
        }
    }

    /// Takes one key and its colon.
    bool key() {
        if (at + 1 >= count) { return false; }
        const uint8_t *start = source + structurals[at], *colon = source + structurals[at + 1];
        if (*start != '"' || *colon != ':') { return false; }
        if (has_escapes) { has_escaped_keys |= has_backslash(start, colon); }
        at += 2;
        return true;
    }

    error_code run(size_t maximum_depth) {
        if (count == 0) { return simdjson::EMPTY; }
        // The bracket that was opened last. As long as one is open, its place in `closings` has the one around it.
        uint32_t open = 0;
        size_t depth = 0;
        bool is_in_object = false;
        while (true) {
            // A value.
            if (is_done()) { return simdjson::TAPE_ERROR; }
            const uint8_t first = byte();
            if (first == '"') {
                at++;
            } else if (first == '{' || first == '[') {
                closings[at] = open;
                open = uint32_t(at);
                is_in_object = first == '{';
                depth++;
                at++;
                if (is_done()) { return simdjson::TAPE_ERROR; }
                if (byte() != (is_in_object ? '}' : ']')) {
                    // As a parse counts: what is empty may stand one level deeper.
                    if (depth >= maximum_depth) { return simdjson::DEPTH_ERROR; }
                    if (is_in_object && !key()) { return simdjson::TAPE_ERROR; }
                    continue;
                }
            } else {
                if (!is_plain_scalar()) { return simdjson::TAPE_ERROR; }
                at++;
            }
            // What follows a value.
            while (depth > 0 && !is_done() && byte() != ',') {
                if (byte() != (is_in_object ? '}' : ']')) { return simdjson::TAPE_ERROR; }
                const uint32_t around = closings[open];
                closings[open] = uint32_t(at);
                open = around;
                depth--;
                at++;
                is_in_object = depth > 0 && source[structurals[open]] == '{';
            }
            if (depth == 0) { return is_done() ? simdjson::SUCCESS : simdjson::TAPE_ERROR; }
            if (is_done()) { return simdjson::TAPE_ERROR; }
            at++;
            if (is_in_object && !key()) { return simdjson::TAPE_ERROR; }
        }
    }
};

} // namespace

error_code tollgate::Outline::read(const uint8_t *source, size_t length, const uint32_t *structurals, size_t count,
                                   size_t maximum_depth) {
    if (closings_capacity_ < count) {
        size_t capacity = 256;
        while (capacity < count) { capacity *= 2; }
        closings_capacity_ = 0;
        closings_.reset(new (std::nothrow) uint32_t[capacity]);
        if (!closings_) { return simdjson::MEMALLOC; }
        closings_capacity_ = capacity;
    }
    const Escapes escapes = find_escapes(source, length);
    if (escapes == Escapes::invalid) { return simdjson::STRING_ERROR; }
    Outliner outliner{source, length, structurals, count, closings_.get(), escapes != Escapes::none};
    const error_code error = outliner.run(maximum_depth);
    has_escaped_keys_ = outliner.has_escaped_keys;
    return error;
}

void tollgate::Outline::release(size_t bytes) {
    if (closings_capacity_ * sizeof(uint32_t) > bytes) {
        closings_.reset();
        closings_capacity_ = 0;
    }
}
