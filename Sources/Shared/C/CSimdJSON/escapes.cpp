#include "escapes.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

using tollgate::Escapes;

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
Escapes find_escapes_one_by_one(const uint8_t *source, size_t length) {
    Escapes escapes = Escapes::none;
    for (size_t at = 0; at < length;) {
        const void *found = std::memchr(source + at, '\\', length - at);
        if (!found) { break; }
        escapes = Escapes::valid;
        at = after_escape(source, size_t(static_cast<const uint8_t *>(found) - source), length);
        if (at == 0) { return Escapes::invalid; }
    }
    return escapes;
}

#if defined(__x86_64__)

/// Looks at 64 bytes at a time, a bit for each: what an escape costs does not depend on how many there are.
struct BlockCheck {
    /// The first byte of the next block is escaped.
    uint64_t carry = 0;
    /// The first bytes of the next block that have to be the digits of a `\u`.
    uint64_t digits = 0;
    /// Whether the last block had escapes that `is_simple` does not know.
    bool is_rich = false;

    static constexpr char groups_2 = 1, groups_5 = 2, groups_6 = 4, groups_7 = 8;

    __attribute__((target("avx2"))) static uint64_t mask(__m256i low, __m256i high) {
        return uint64_t(uint32_t(_mm256_movemask_epi8(low))) | uint64_t(uint32_t(_mm256_movemask_epi8(high))) << 32;
    }

    /// What may follow a backslash, `u` aside: both halves of such a byte have a group in common.
    ///
    /// - `backslash`: the group of the backslash, or 0 to leave it out as well.
    __attribute__((target("avx2"))) static __m256i escapable(__m256i bytes, char backslash = groups_5) {
        const __m256i low = _mm256_broadcastsi128_si256(_mm_setr_epi8(
            0, 0, groups_2 | groups_6 | groups_7, 0, groups_7, 0, groups_6, 0, // 2: " b r, 4: t, 6: f
            0, 0, 0, 0, backslash, 0, groups_6, groups_2)); // c: \, e: n, f: /
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
        const __m256i low = load(block), high = load(block + 32);
        const uint64_t backslashes = mask(BlockCheck::backslashes(low), BlockCheck::backslashes(high));
        is_rich = false;
        if ((backslashes | carry | digits) == 0) { return true; }

        // Within a row of backslashes every other one is escaped. The subtraction borrows its way through the row, and
        // so tells apart the places at even and odd distances from its beginning (simdjson, json_escape_scanner.h).
        constexpr uint64_t odd = 0xAAAAAAAAAAAAAAAA;
        const uint64_t free = backslashes & ~carry;
        const uint64_t codes = (((free << 1) | odd) - free) ^ odd;
        const uint64_t escaped = codes ^ (backslashes | carry);
        carry = (codes & backslashes) >> 63;

        const uint64_t others = escaped & ~mask(escapable(low), escapable(high));
        is_rich = (others | digits | (escaped & backslashes)) != 0;
        if ((others | digits) == 0) { return true; }
        const __m256i u = _mm256_set1_epi8('u');
        if (others & ~mask(_mm256_cmpeq_epi8(low, u), _mm256_cmpeq_epi8(high, u))) { return false; }
        const uint64_t wanted = digits | others << 1 | others << 2 | others << 3 | others << 4;
        digits = others >> 63 | others >> 62 | others >> 61 | others >> 60;
        return (wanted & ~mask(hexadecimal(low), hexadecimal(high))) == 0;
    }

    __attribute__((target("avx2"))) static bool has_backslash(const uint8_t *block) {
        const __m256i any = _mm256_or_si256(backslashes(load(block)), backslashes(load(block + 32)));
        return !_mm256_testz_si256(any, any);
    }

    /// Whether each backslash, the one before this block included, is followed by what is neither `u` nor a backslash and
    /// may follow it. So it is with most escapes; whether the byte before the block is readable, and no escaped backslash,
    /// is for the caller to know.
    __attribute__((target("avx2"))) static bool is_simple(const uint8_t *block) {
        const __m256i low = backslashes(load(block - 1)), high = backslashes(load(block + 31));
        const __m256i any = _mm256_or_si256(low, high);
        if (_mm256_testz_si256(any, any)) { return true; }
        const __m256i wrong = _mm256_or_si256(_mm256_andnot_si256(escapable(load(block), 0), low),
                                              _mm256_andnot_si256(escapable(load(block + 32), 0), high));
        return _mm256_testz_si256(wrong, wrong);
    }

    __attribute__((target("avx2"))) static __m256i load(const uint8_t *bytes) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(bytes));
    }

    __attribute__((target("avx2"))) static __m256i backslashes(__m256i bytes) {
        return _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\'));
    }
};

__attribute__((target("avx2"))) Escapes find_escapes_by_blocks(const uint8_t *source, size_t length) {
    BlockCheck check;
    size_t at = 0;
    while (at + 64 <= length && !BlockCheck::has_backslash(source + at)) { at += 64; }
    const bool is_plain_so_far = at + 64 > length;
    // Whether a backslash at the end of the last block, if there is one, begins an escape, and nothing else is left of it.
    bool is_clear = false;
    for (; at + 64 <= length; at += 64) {
        if (is_clear) {
            if (BlockCheck::is_simple(source + at)) { continue; }
            check.carry = source[at - 1] == '\\';
        }
        if (!check.take(source + at)) { return Escapes::invalid; }
        is_clear = check.digits == 0 && !check.is_rich && check.carry == (source[at + 63] == '\\');
    }
    if (is_clear) { check.carry = source[at - 1] == '\\'; }
    uint8_t rest[64];
    std::memset(rest, ' ', sizeof rest);
    std::memcpy(rest, source + at, length - at);
    if (is_plain_so_far && !BlockCheck::has_backslash(rest)) { return Escapes::none; }
    return check.take(rest) && (check.carry | check.digits) == 0 ? Escapes::valid : Escapes::invalid;
}

#endif

} // namespace

Escapes tollgate::find_escapes(const uint8_t *source, size_t length) {
#if defined(__x86_64__)
    static const bool has_blocks = __builtin_cpu_supports("avx2");
    if (has_blocks && length >= 64) { return find_escapes_by_blocks(source, length); }
#endif
    return find_escapes_one_by_one(source, length);
}
