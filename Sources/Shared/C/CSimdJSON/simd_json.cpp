#include "include/simd_json.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include <simdjson.h>

#include "outline.h"
#include "repair.h"

using simdjson::error_code;

struct tg_json_parser {
    size_t maximum_depth;
    size_t maximum_structurals;
    std::unique_ptr<simdjson::internal::dom_parser_implementation> implementation;
    simdjson::dom::document document;
    size_t tape_capacity = 0;
    size_t strings_capacity = 0;
    std::unique_ptr<uint8_t[]> copy;
    size_t copy_capacity = 0;
    tollgate::Outline outline;

    error_code find_structurals(const uint8_t *bytes, size_t length);
    error_code find_outline(const uint8_t *bytes, size_t length);
    error_code parse(const uint8_t *bytes, size_t length);
    error_code reserve(size_t length);
    error_code reserve_document(size_t length, size_t structurals);
    uint8_t *copy_of(const uint8_t *bytes, size_t length);
};

namespace {

// Buffers grow by powers of two, so that a row of slightly longer documents does not reallocate each time.
size_t rounded(size_t wanted) {
    size_t size = 4096;
    while (size < wanted) { size *= 2; }
    return size;
}

tg_json_status status_of(error_code error) {
    switch (error) {
    case simdjson::SUCCESS: return TG_JSON_OK;
    case simdjson::EMPTY: return TG_JSON_EMPTY;
    case simdjson::UTF8_ERROR: return TG_JSON_INVALID_UTF8;
    case simdjson::DEPTH_ERROR: return TG_JSON_TOO_DEEP;
    case simdjson::CAPACITY: return TG_JSON_TOO_COMPLEX;
    case simdjson::MEMALLOC: return TG_JSON_OUT_OF_MEMORY;
    default: return TG_JSON_MALFORMED;
    }
}

} // namespace

error_code tg_json_parser::reserve(size_t length) {
    if (length > simdjson::SIMDJSON_MAXSIZE_BYTES) { return simdjson::CAPACITY; }
    if (implementation && implementation->capacity() >= length) { return simdjson::SUCCESS; }
    implementation.reset();
    return simdjson::get_active_implementation()->create_dom_parser_implementation(
        std::min<size_t>(rounded(length), simdjson::SIMDJSON_MAXSIZE_BYTES), maximum_depth, implementation);
}

// simdjson sizes tape and strings for the worst document of a length, which is 13 bytes a byte. Knowing the number of
// structurals gives a far smaller bound: two words of tape each, and five bytes more than its content for each string,
// which had two quotes in the source.
error_code tg_json_parser::reserve_document(size_t length, size_t structurals) {
    const size_t tape_words = 2 * structurals + 16;
    if (tape_capacity < tape_words) {
        tape_capacity = 0;
        document.tape.reset(new (std::nothrow) uint64_t[rounded(tape_words)]);
        if (!document.tape) { return simdjson::MEMALLOC; }
        tape_capacity = rounded(tape_words);
    }
    const size_t string_bytes = length + 3 * structurals + 2 * simdjson::SIMDJSON_PADDING;
    if (strings_capacity < string_bytes) {
        strings_capacity = 0;
        document.string_buf.reset(new (std::nothrow) uint8_t[rounded(string_bytes)]);
        if (!document.string_buf) { return simdjson::MEMALLOC; }
        strings_capacity = rounded(string_bytes);
    }
    return simdjson::SUCCESS;
}

uint8_t *tg_json_parser::copy_of(const uint8_t *bytes, size_t length) {
    if (copy_capacity < length + simdjson::SIMDJSON_PADDING) {
        copy_capacity = 0;
        copy.reset(new (std::nothrow) uint8_t[rounded(length + simdjson::SIMDJSON_PADDING)]);
        if (!copy) { return nullptr; }
        copy_capacity = rounded(length + simdjson::SIMDJSON_PADDING);
    }
    std::memcpy(copy.get(), bytes, length);
    std::memset(copy.get() + length, 0, simdjson::SIMDJSON_PADDING);
    return copy.get();
}

error_code tg_json_parser::find_structurals(const uint8_t *bytes, size_t length) {
    error_code error = reserve(length);
    if (error) { return error; }
    error = implementation->stage1(bytes, length, simdjson::stage1_mode::regular);
    if (error) { return error; }
    return implementation->n_structural_indexes > maximum_structurals ? simdjson::CAPACITY : simdjson::SUCCESS;
}

error_code tg_json_parser::find_outline(const uint8_t *bytes, size_t length) {
    const error_code error = find_structurals(bytes, length);
    if (error) { return error; }
    return outline.read(bytes, length, implementation->structural_indexes.get(), implementation->n_structural_indexes,
                        maximum_depth);
}

error_code tg_json_parser::parse(const uint8_t *bytes, size_t length) {
    error_code error = find_structurals(bytes, length);
    if (error) { return error; }
    error = reserve_document(length, implementation->n_structural_indexes);
    if (error) { return error; }
    return implementation->stage2(document);
}

tg_json_parser *tg_json_parser_new(size_t maximum_depth, size_t maximum_structurals) {
    auto *parser = new (std::nothrow) tg_json_parser();
    if (parser) {
        parser->maximum_depth = maximum_depth;
        parser->maximum_structurals = maximum_structurals;
    }
    return parser;
}

void tg_json_parser_free(tg_json_parser *parser) { delete parser; }

tg_json_status tg_json_parse(tg_json_parser *parser, const void *bytes, size_t length, bool is_padded,
                                        tg_json_document *document) {
    if (length == 0) { return TG_JSON_EMPTY; }
    const auto *given = static_cast<const uint8_t *>(bytes);
    const uint8_t *padded = is_padded ? given : parser->copy_of(given, length);
    if (!padded) { return TG_JSON_OUT_OF_MEMORY; }

    error_code error = parser->parse(padded, length);
    if (error == simdjson::NUMBER_ERROR || error == simdjson::STRING_ERROR) {
        uint8_t *repaired = is_padded ? parser->copy_of(given, length) : parser->copy.get();
        if (!repaired) { return TG_JSON_OUT_OF_MEMORY; }
        const auto &found = *parser->implementation;
        if (tollgate::repair(repaired, length, found.structural_indexes.get(), found.n_structural_indexes)) {
            error = parser->parse(repaired, length);
        }
    }
    if (error) { return status_of(error); }

    document->tape = parser->document.tape.get();
    document->strings = parser->document.string_buf.get();
    document->structurals = parser->implementation->structural_indexes.get();
    document->structural_count = parser->implementation->n_structural_indexes;
    document->source = given;
    document->length = length;
    return TG_JSON_OK;
}

tg_json_status tg_json_find_outline(tg_json_parser *parser, const void *bytes, size_t length, bool is_padded,
                                    tg_json_outline *outline) {
    if (length == 0) { return TG_JSON_EMPTY; }
    const auto *given = static_cast<const uint8_t *>(bytes);
    const uint8_t *padded = is_padded ? given : parser->copy_of(given, length);
    if (!padded) { return TG_JSON_OUT_OF_MEMORY; }
    const error_code error = parser->find_outline(padded, length);
    if (error) { return status_of(error); }

    outline->structurals = parser->implementation->structural_indexes.get();
    outline->closings = parser->outline.closings();
    outline->structural_count = parser->implementation->n_structural_indexes;
    outline->source = given;
    outline->length = length;
    outline->has_escaped_keys = parser->outline.has_escaped_keys();
    return TG_JSON_OK;
}

void tg_json_parser_release(tg_json_parser *parser, size_t bytes) {
    if (parser->implementation && parser->implementation->capacity() > bytes) {
        parser->implementation.reset();
    }
    if (parser->tape_capacity * sizeof(uint64_t) > 4 * bytes) {
        parser->document.tape.reset();
        parser->tape_capacity = 0;
    }
    if (parser->strings_capacity > 4 * bytes) {
        parser->document.string_buf.reset();
        parser->strings_capacity = 0;
    }
    parser->outline.release(bytes);
    if (parser->copy_capacity > 2 * bytes) {
        parser->copy.reset();
        parser->copy_capacity = 0;
    }
}
