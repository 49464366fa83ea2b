// How jemalloc works where a program is linked with it (http://jemalloc.net/jemalloc.3.html, "TUNING"); read by it before
// main, without effect elsewhere.
//
// What it takes to find a call's account is freed when its stream begins. Left to itself jemalloc keeps such pages for ten
// seconds and gives them back only when something is allocated, which an idle stream does not: it then stands in memory
// for twice its size. A thread of its own gives them back after one.
const char *malloc_conf = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0";
