#include "escapes.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

bool is_hex(uint8_t byte) {
    const uint8_t lower = byte | 0x20;
    return (byte >= '0' && byte <= '9') || (lower >= 'a' && lower <= 'f');
}

/// Whether this may follow a backslash, `u` aside.
bool is_escapable(uint8_t byte) {
    switch (byte) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': return true;
    default: return false;
    }
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

/// One escape after another: for what is short, and on machines without the instructions for more.
bool has_valid_escapes_one_by_one(const uint8_t *source, size_t length) {
    for (size_t at = 0; at < length;) {
        const void *found = std::memchr(source + at, '\\', length - at);
        if (!found) { return true; }
        at = after_escape(source, size_t(static_cast<const uint8_t *>(found) - source), length);
        if (at == 0) { return false; }
    }
    return true;
}

#if defined(__x86_64__)

/// Looks at 64 bytes at a time, a bit for each: what an escape costs does not depend on how many there are.
struct BlockCheck {
    /// The first byte of the next block is escaped.
    uint64_t carry = 0;
    /// The first bytes of the next block that have to be the digits of a `\u`.
    uint64_t digits = 0;

    __attribute__((target("avx2"))) static uint64_t mask(__m256i low, __m256i high) {
        return uint64_t(uint32_t(_mm256_movemask_epi8(low))) | uint64_t(uint32_t(_mm256_movemask_epi8(high))) << 32;
    }

    /// What may follow a backslash, `u` aside: both halves of such a byte have a group in common.
    __attribute__((target("avx2"))) static __m256i escapable(__m256i bytes) {
        constexpr char groups_2 = 1, groups_5 = 2, groups_6 = 4, groups_7 = 8;
        const __m256i low = _mm256_broadcastsi128_si256(_mm_setr_epi8(
            0, 0, groups_2 | groups_6 | groups_7, 0, groups_7, 0, groups_6, 0, // 2: " b r, 4: t, 6: f
            0, 0, 0, 0, groups_5, 0, groups_6, groups_2)); // c: \, e: n, f: /
        const __m256i high = _mm256_broadcastsi128_si256(
            _mm_setr_epi8(0, 0, groups_2, 0, 0, groups_5, groups_6, groups_7, 0, 0, 0, 0, 0, 0, 0, 0));
        const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0F));
        const __m256i common = _mm256_and_si256(_mm256_shuffle_epi8(low, bytes), _mm256_shuffle_epi8(high, upper));
        return _mm256_cmpgt_epi8(common, _mm256_setzero_si256());
    }

    __attribute__((target("avx2"))) static __m256i hexadecimal(__m256i bytes) {
        const auto is_within = [](__m256i values, char first, char last) __attribute__((target("avx2"))) {
            const __m256i offset = _mm256_sub_epi8(values, _mm256_set1_epi8(first));
            return _mm256_cmpeq_epi8(_mm256_min_epu8(offset, _mm256_set1_epi8(char(last - first))), offset);
        };
        const __m256i lower = _mm256_or_si256(bytes, _mm256_set1_epi8(0x20));
        return _mm256_or_si256(is_within(bytes, '0', '9'), is_within(lower, 'a', 'f'));
    }

    /// False when there is a backslash, in this block or at the end of the last one, that begins no escape.
    __attribute__((target("avx2"))) bool take(const uint8_t *block) {
        const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(block));
        const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(block + 32));
        const __m256i backslash = _mm256_set1_epi8('\\');
        const uint64_t backslashes = mask(_mm256_cmpeq_epi8(low, backslash), _mm256_cmpeq_epi8(high, backslash));
        if ((backslashes | carry | digits) == 0) { return true; }

        // Within a row of backslashes every other one is escaped. The subtraction borrows its way through the row, and
        // so tells apart the places at even and odd distances from its beginning (simdjson, json_escape_scanner.h).
        constexpr uint64_t odd = 0xAAAAAAAAAAAAAAAA;
        const uint64_t free = backslashes & ~carry;
        const uint64_t codes = (((free << 1) | odd) - free) ^ odd;
        const uint64_t escaped = codes ^ (backslashes | carry);
        carry = (codes & backslashes) >> 63;

        const uint64_t others = escaped & ~mask(escapable(low), escapable(high));
        if ((others | digits) == 0) { return true; }
        const __m256i u = _mm256_set1_epi8('u');
        if (others & ~mask(_mm256_cmpeq_epi8(low, u), _mm256_cmpeq_epi8(high, u))) { return false; }
        const uint64_t wanted = digits | others << 1 | others << 2 | others << 3 | others << 4;
        digits = others >> 63 | others >> 62 | others >> 61 | others >> 60;
        return (wanted & ~mask(hexadecimal(low), hexadecimal(high))) == 0;
    }
};

__attribute__((target("avx2"))) bool has_valid_escapes_by_blocks(const uint8_t *source, size_t length) {
    BlockCheck check;
    size_t at = 0;
    for (; at + 64 <= length; at += 64) {
        if (!check.take(source + at)) { return false; }
    }
    uint8_t rest[64];
    std::memset(rest, ' ', sizeof rest);
    std::memcpy(rest, source + at, length - at);
    return check.take(rest) && (check.carry | check.digits) == 0;
}

#endif

} // namespace

bool tollgate::has_valid_escapes(const uint8_t *source, size_t length) {
#if defined(__x86_64__)
    static const bool has_blocks = __builtin_cpu_supports("avx2");
    if (has_blocks && length >= 64) { return has_valid_escapes_by_blocks(source, length); }
#endif
    return has_valid_escapes_one_by_one(source, length);
}
