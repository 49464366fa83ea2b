extern "C" {
#include "include/simd_json.h"
}
#include <simdjson.h>

struct tg_json_parser {
    simdjson::dom::parser dom;
};

extern "C" tg_json_parser *tg_json_parser_new(void) { return new (std::nothrow) tg_json_parser(); }
extern "C" void tg_json_parser_free(tg_json_parser *parser) { delete parser; }
