// libcurl's setters take variable arguments, which Swift cannot call: one function for each type of argument.
#ifndef TOLLGATE_CURL_SHIMS_H
#define TOLLGATE_CURL_SHIMS_H

#include <curl/curl.h>
#include <stddef.h>

typedef size_t (*tg_curl_data_callback)(char *_Nullable data, size_t size, size_t count, void *_Nullable context);
typedef int (*tg_curl_seek_callback)(void *_Nullable context, curl_off_t offset, int origin);
typedef int (*tg_curl_prereq_callback)(void *_Nullable context, char *_Nullable remote_ip, char *_Nullable local_ip,
                                       int remote_port, int local_port);
typedef curl_socket_t (*tg_curl_open_callback)(void *_Nullable context, curlsocktype purpose,
                                               struct curl_sockaddr *_Nullable address);
typedef int (*tg_curl_socket_callback)(CURL *_Nullable easy, curl_socket_t fd, int what, void *_Nullable context,
                                       void *_Nullable socket);
typedef int (*tg_curl_timer_callback)(CURLM *_Nullable multi, long milliseconds, void *_Nullable context);

CURLcode tg_curl_set_long(CURL *_Nonnull easy, CURLoption option, long value);
CURLcode tg_curl_set_offset(CURL *_Nonnull easy, CURLoption option, curl_off_t value);
/// curl copies the text.
CURLcode tg_curl_set_string(CURL *_Nonnull easy, CURLoption option, const char *_Nullable value);
CURLcode tg_curl_set_pointer(CURL *_Nonnull easy, CURLoption option, void *_Nullable value);
CURLcode tg_curl_set_data_callback(CURL *_Nonnull easy, CURLoption option, tg_curl_data_callback _Nonnull callback);
CURLcode tg_curl_set_seek_callback(CURL *_Nonnull easy, tg_curl_seek_callback _Nonnull callback);
CURLcode tg_curl_set_prereq_callback(CURL *_Nonnull easy, tg_curl_prereq_callback _Nonnull callback);
CURLcode tg_curl_set_open_callback(CURL *_Nonnull easy, tg_curl_open_callback _Nonnull callback);

CURLMcode tg_curl_multi_set_long(CURLM *_Nonnull multi, CURLMoption option, long value);
CURLMcode tg_curl_multi_set_callbacks(CURLM *_Nonnull multi, tg_curl_socket_callback _Nonnull on_socket,
                                      tg_curl_timer_callback _Nonnull on_timer, void *_Nullable context);

/// 0 when curl has no answer.
long tg_curl_get_long(CURL *_Nonnull easy, CURLINFO info);
void *_Nullable tg_curl_get_private(CURL *_Nonnull easy);

#endif
