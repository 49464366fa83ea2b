#include "outline.h"

#include <cstring>
#include <new>

#include "escapes.h"
#include "repair.h"

namespace {

bool is_space(uint8_t byte) { return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t'; }

struct Outliner {
    const uint8_t *source;
    size_t length;
    const uint32_t *structurals;
    size_t count;
    size_t maximum_depth;
    std::vector<tg_json_member> &members;
    uint32_t *closings;
    std::vector<uint32_t> &open;

    size_t at = 0;

    uint8_t byte() const { return source[structurals[at]]; }
    bool is_done() const { return at >= count; }
    bool is_in_object() const { return source[structurals[open.back()]] == '{'; }

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
        if (open.size() == 1 && !is_done()) { members.push_back({start, end, structurals[at], 0}); }
        return true;
    }

    /// A value ends at `end`, outside of all that it contains.
    void ended(size_t end) {
        if (open.size() == 1 && !members.empty()) { members.back().value_end = end; }
    }

    simdjson::error_code run() {
        if (count == 0) { return simdjson::EMPTY; }
        while (true) {
            // A value.
            if (is_done()) { return simdjson::TAPE_ERROR; }
            const uint8_t first = byte();
            if (first == '{' || first == '[') {
                if (open.size() >= maximum_depth) { return simdjson::DEPTH_ERROR; }
                open.push_back(uint32_t(at));
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
            while (!open.empty() && !is_done() && byte() != ',') {
                if (byte() != (is_in_object() ? '}' : ']')) { return simdjson::TAPE_ERROR; }
                closings[open.back()] = uint32_t(at);
                open.pop_back();
                ended(size_t(structurals[at]) + 1);
                at++;
            }
            if (open.empty()) { return is_done() ? simdjson::SUCCESS : simdjson::TAPE_ERROR; }
            if (is_done()) { return simdjson::TAPE_ERROR; }
            at++;
            if (is_in_object() && !key()) { return simdjson::TAPE_ERROR; }
        }
    }
};

} // namespace

simdjson::error_code tollgate::Outline::read(const uint8_t *source, size_t length, const uint32_t *structurals,
                                             size_t count, size_t maximum_depth) {
    members_.clear();
    open_.clear();
    if (closings_capacity_ < count) {
        size_t capacity = 256;
        while (capacity < count) { capacity *= 2; }
        closings_capacity_ = 0;
        closings_.reset(new (std::nothrow) uint32_t[capacity]);
        if (!closings_) { return simdjson::MEMALLOC; }
        closings_capacity_ = capacity;
    }
    try {
        Outliner outliner{source, length, structurals, count, maximum_depth, members_, closings_.get(), open_};
        const simdjson::error_code error = outliner.run();
        if (error) { return error; }
    } catch (const std::bad_alloc &) {
        return simdjson::MEMALLOC;
    }
    return has_valid_escapes(source, length) ? simdjson::SUCCESS : simdjson::STRING_ERROR;
}

void tollgate::Outline::release(size_t bytes) {
    if (members_.capacity() * sizeof(tg_json_member) > bytes) { std::vector<tg_json_member>().swap(members_); }
    if (closings_capacity_ * sizeof(uint32_t) > bytes) {
        closings_.reset();
        closings_capacity_ = 0;
    }
}
