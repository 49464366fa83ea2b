// A small C face on simdjson's DOM parser.
#ifndef TOLLGATE_SIMD_JSON_H
#define TOLLGATE_SIMD_JSON_H
#include <stddef.h>
#include <stdint.h>

typedef struct tg_json_parser tg_json_parser;
tg_json_parser *_Nullable tg_json_parser_new(void);
void tg_json_parser_free(tg_json_parser *_Nullable parser);

#endif
