#ifndef TOLLGATE_OUTLINE_H
#define TOLLGATE_OUTLINE_H
#include <cstddef>
#include <cstdint>
#include <vector>

#include <simdjson.h>

#include "include/simd_json.h"

namespace tollgate {

/// Checks the grammar of a document whose structurals stage 1 has found (it has checked UTF-8, control characters and
/// the ends of strings as well), and lists the members of the outermost object.
simdjson::error_code outline(const uint8_t *source, size_t length, const uint32_t *structurals, size_t count,
                             size_t maximum_depth, std::vector<tg_json_member> &members);

} // namespace tollgate

#endif
