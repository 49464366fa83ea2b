#include "include/simd_json.h"

namespace {

constexpr uint64_t payload_mask = 0x00FFFFFFFFFFFFFF;
// The tape's count of children stops here; then it says "at least".
constexpr uint64_t count_limit = 0xFFFFFF;

bool is_open(uint8_t byte) { return (byte | 0x20) == '{'; }
bool is_close(uint8_t byte) { return (byte | 0x20) == '}'; }

struct Walker {
    const tg_json_document &document;

    uint8_t kind(size_t index) const { return uint8_t(document.tape[index] >> 56); }

    uint64_t count(size_t container) const { return (document.tape[container] & payload_mask) >> 32; }

    /// The index after the value at `index`.
    size_t after(size_t index) const {
        switch (kind(index)) {
        case '{':
        case '[': return uint32_t(document.tape[index]);
        case 'l':
        case 'u':
        case 'd': return index + 2;
        default: return index + 1;
        }
    }

    uint8_t byte(size_t structural) const { return document.source[document.structurals[structural]]; }

    /// The structural at which child number `child` of the container opened at `container` begins.
    size_t child_from_start(size_t container, uint64_t child) const {
        size_t at = container + 1;
        for (int64_t depth = 0; child > 0 && at < document.structural_count; at++) {
            const uint8_t found = byte(at);
            depth += int(is_open(found)) - int(is_close(found));
            child -= uint64_t(found == ',' && depth == 0);
        }
        return at;
    }

    /// The structural after the `commas`-th comma of the outermost container, counted from its end.
    size_t child_from_end(uint64_t commas) const {
        size_t at = document.structural_count - 1;
        for (int64_t depth = 0; commas > 0 && at > 1;) {
            const uint8_t found = byte(--at);
            depth += int(is_close(found)) - int(is_open(found));
            commas -= uint64_t(found == ',' && depth == 0);
        }
        return at + 1;
    }

    size_t end_of_value(size_t structural) const {
        if (is_open(byte(structural))) {
            int64_t depth = 1;
            size_t at = structural;
            while (depth > 0 && at + 1 < document.structural_count) {
                const uint8_t found = byte(++at);
                depth += int(is_open(found)) - int(is_close(found));
            }
            return size_t(document.structurals[at]) + 1;
        }
        size_t end = structural + 1 < document.structural_count ? document.structurals[structural + 1] : document.length;
        while (end > 0) {
            const uint8_t last = document.source[end - 1];
            if (last != ' ' && last != '\n' && last != '\r' && last != '\t') { break; }
            end--;
        }
        return end;
    }
};

} // namespace

tg_json_location tg_json_locate(const tg_json_document *document, size_t tape_index) {
    const Walker walker{*document};
    const size_t root = 1;
    size_t container = root;
    size_t member = 0;
    size_t value = 0;
    while (container != tape_index) {
        // Which child of the container holds the value? The tape jumps over its elder siblings.
        const bool is_object = walker.kind(container) == '{';
        size_t child = container + 1 + is_object;
        uint64_t number = 0;
        for (size_t next; (next = walker.after(child)) <= tape_index; number++) { child = next + is_object; }

        const uint64_t count = walker.count(container);
        const bool is_late = tape_index > walker.after(root) / 2;
        if (container == root && is_late && number > 0 && count < count_limit) {
            member = walker.child_from_end(count - number);
        } else {
            member = walker.child_from_start(value, number);
        }
        value = is_object ? member + 2 : member;
        container = child;
    }
    return tg_json_location{document->structurals[member], document->structurals[value], walker.end_of_value(value)};
}
