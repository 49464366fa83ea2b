#include "repair.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

int hex_value(uint8_t byte) {
    if (is_digit(byte)) { return byte - '0'; }
    const uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

const uint8_t *after_digits(const uint8_t *at, const uint8_t *end) {
    while (at < end && is_digit(*at)) { at++; }
    return at;
}

/// The end of the number that starts at `start`, or NULL if it is none (RFC 8259, 6).
const uint8_t *end_of_number(const uint8_t *start, const uint8_t *end, bool &is_integer) {
    const uint8_t *at = start;
    if (at < end && *at == '-') { at++; }
    if (at == end || !is_digit(*at)) { return nullptr; }
    at = *at == '0' ? at + 1 : after_digits(at, end);
    is_integer = true;
    if (at < end && *at == '.') {
        is_integer = false;
        const uint8_t *digits = at + 1;
        at = after_digits(digits, end);
        if (at == digits) { return nullptr; }
    }
    if (at < end && (*at | 0x20) == 'e') {
        is_integer = false;
        const uint8_t *digits = at + 1;
        if (digits < end && (*digits == '+' || *digits == '-')) { digits++; }
        at = after_digits(digits, end);
        if (at == digits) { return nullptr; }
    }
    return at;
}

void overwrite(uint8_t *start, uint8_t *end, const char *text, size_t length) {
    std::memcpy(start, text, length);
    std::memset(start + length, ' ', size_t(end - start) - length);
}

bool repair_number(uint8_t *start, uint8_t *limit) {
    bool is_integer = false;
    auto *end = const_cast<uint8_t *>(end_of_number(start, limit, is_integer));
    if (!end) { return false; }
    const bool is_negative = *start == '-';
    const auto *first = reinterpret_cast<const char *>(start);
    const auto *last = reinterpret_cast<const char *>(end);

    if (is_integer) {
        int64_t as_signed = 0;
        uint64_t as_unsigned = 0;
        if (is_negative ? std::from_chars(first, last, as_signed).ec == std::errc()
                        : std::from_chars(first, last, as_unsigned).ec == std::errc()) {
            return false;
        }
    }
    // The bytes after a number are part of the document or of its zeroed padding, so strtod stops where it should.
    const double value = std::strtod(first, nullptr);
    char text[40];
    if (!std::isfinite(value)) {
        const int length = std::snprintf(text, sizeof text, "%s9e307", is_negative ? "-" : "");
        if (length > end - start) { return false; }
        overwrite(start, end, text, size_t(length));
        return true;
    }
    if (!is_integer) { return false; }
    // 17 digits and an exponent, `12345678901234567e3`: never longer than the 19 digits or more that it replaces.
    std::snprintf(text, sizeof text, "%.16e", std::fabs(value));
    char shorter[40];
    const int exponent = std::atoi(std::strchr(text, 'e') + 1) - 16;
    const int length =
        std::snprintf(shorter, sizeof shorter, "%s%c%.16se%d", is_negative ? "-" : "", text[0], text + 2, exponent);
    if (length > end - start) { return false; }
    overwrite(start, end, shorter, size_t(length));
    return true;
}

/// The code unit of the escape `\uXXXX` at `at`, or -1.
int unit_at(const uint8_t *at, const uint8_t *end) {
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u') { return -1; }
    int unit = 0;
    for (int i = 2; i < 6; i++) {
        const int digit = hex_value(at[i]);
        if (digit < 0) { return -1; }
        unit = unit << 4 | digit;
    }
    return unit;
}

bool repair_string(uint8_t *start, uint8_t *end) {
    bool changed = false;
    for (uint8_t *at = start + 1; at < end && *at != '"';) {
        if (*at != '\\') {
            at++;
            continue;
        }
        const int unit = unit_at(at, end);
        if (unit < 0xD800 || unit > 0xDFFF) {
            at += 2;
            continue;
        }
        const int next = unit < 0xDC00 ? unit_at(at + 6, end) : -1;
        if (next >= 0xDC00 && next <= 0xDFFF) {
            at += 12;
            continue;
        }
        std::memcpy(at, "\\ufffd", 6);
        changed = true;
        at += 6;
    }
    return changed;
}

} // namespace

bool tollgate::is_number(const uint8_t *start, const uint8_t *end) {
    bool is_integer = false;
    return start < end && end_of_number(start, end, is_integer) == end;
}

bool tollgate::repair(uint8_t *bytes, size_t length, const uint32_t *structurals, size_t count) {
    bool changed = false;
    for (size_t i = 0; i < count; i++) {
        uint8_t *start = bytes + structurals[i];
        uint8_t *end = bytes + (i + 1 < count ? structurals[i + 1] : length);
        if (*start == '"') {
            changed |= repair_string(start, end);
        } else if (*start == '-' || is_digit(*start)) {
            changed |= repair_number(start, end);
        }
    }
    return changed;
}
