// A small C face on simdjson's DOM parser.
//
// After a parse the caller reads simdjson's tape itself (https://github.com/simdjson/simdjson/blob/v3.0.1/doc/tape.md),
// so that looking at a value costs no call.
#ifndef TOLLGATE_SIMD_JSON_H
#define TOLLGATE_SIMD_JSON_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_json_parser tg_json_parser;

typedef enum tg_json_status : int32_t {
    TG_JSON_OK = 0,
    TG_JSON_EMPTY,
    TG_JSON_MALFORMED,
    TG_JSON_INVALID_UTF8,
    TG_JSON_TOO_DEEP,
    TG_JSON_TOO_COMPLEX,
    TG_JSON_OUT_OF_MEMORY,
} tg_json_status;

/// A parsed document; every pointer belongs to the parser (`source` possibly to the caller) until its next parse.
typedef struct tg_json_document {
    const uint64_t *_Nonnull tape;
    const uint8_t *_Nonnull strings;
    /// Offsets in the source of brackets, commas, colons, and the first bytes of strings, numbers and literals.
    const uint32_t *_Nonnull structurals;
    size_t structural_count;
    /// The bytes as they were given: offsets in it are offsets in the caller's bytes.
    const uint8_t *_Nonnull source;
    size_t length;
} tg_json_document;

/// Where a value stands in the source.
typedef struct tg_json_location {
    /// First byte of the member's key if the value is a member of an object, else of the value.
    size_t member_start;
    size_t value_start;
    size_t value_end;
} tg_json_location;

/// A parser that refuses deeper nesting than `maximum_depth` and more than `maximum_structurals` brackets, commas,
/// colons and scalars; NULL without memory.
tg_json_parser *_Nullable tg_json_parser_new(size_t maximum_depth, size_t maximum_structurals);
void tg_json_parser_free(tg_json_parser *_Nullable parser);

/// Parses and validates one document. With `is_padded` the 64 bytes after the document must be readable (their content
/// does not matter) and the bytes must outlive the use of the document; else they are copied.
tg_json_status tg_json_parse(tg_json_parser *_Nonnull parser, const void *_Nullable bytes, size_t length, bool is_padded,
                             tg_json_document *_Nonnull document);

/// A document of which only the grammar was looked at; every pointer belongs to the parser (`source` to the caller) until
/// its next parse or outline, or its release.
typedef struct tg_json_outline {
    /// As in `tg_json_document`.
    const uint32_t *_Nonnull structurals;
    /// For each opening bracket the number of the structural that closes it; whatever for all others.
    const uint32_t *_Nonnull closings;
    size_t structural_count;
    const uint8_t *_Nonnull source;
    size_t length;
    /// Whether any key, however deep, has an escape.
    bool has_escaped_keys;
} tg_json_outline;

/// Validates one document like `tg_json_parse`, and finds out where its values stand; no content is decoded, which is
/// most of the work for long texts.
tg_json_status tg_json_find_outline(tg_json_parser *_Nonnull parser, const void *_Nullable bytes, size_t length,
                                    bool is_padded, tg_json_outline *_Nonnull outline);

// Values and keys of an outline are told by the number of the structural that they begin with.

/// The value of the first member of an object that has a key, 0 when there is none or the value is no object. Keys are
/// compared decoded.
///
/// - `text`: printable ASCII.
/// - `is_twice`: set when there is another such member; NULL to end at the first.
size_t tg_json_member(const tg_json_outline *_Nonnull outline, size_t object, const void *_Nonnull text, size_t length,
                      bool *_Nullable is_twice);

/// The next key, however deep, from this structural on, that has one of these lengths: a bit for each up to 62, and the
/// highest one for all that is longer. In a document with escaped keys it may be of any other. 0 when there is none: no
/// document begins with a key.
size_t tg_json_next_key(const tg_json_outline *_Nonnull outline, size_t place, uint64_t lengths);

/// Whether a value is a number without fraction or exponent that fits.
bool tg_json_integer(const tg_json_outline *_Nonnull outline, size_t place, int64_t *_Nonnull value);

/// Whether the inside of a valid JSON string is an escaped form of this printable ASCII, another one than the text itself.
bool tg_json_is_escaped(const void *_Nullable inside, size_t length, const void *_Nonnull text, size_t text_length);

/// Gives the buffers back to the allocator if they serve documents longer than `bytes`.
void tg_json_parser_release(tg_json_parser *_Nonnull parser, size_t bytes);

/// Where the value at an index of the tape stands in the source.
tg_json_location tg_json_locate(const tg_json_document *_Nonnull document, size_t tape_index);

#ifdef __cplusplus
}
#endif

#endif
