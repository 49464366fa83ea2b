# The private Redis: our port, socket, users and append-only file.

redis_socket() {
    local path=$STATE/run/redis.sock
    # A socket's path has room for 107 bytes.
    if ((${#path} <= 100)); then printf '%s' "$path"; else printf '/tmp/tollgate-redis-%s.sock' "$(state_hash)"; fi
}

redis_config() {
    cat <<CONF
# Written by deploy/local.
bind 127.0.0.1
port $(port REDIS)
unixsocket $(redis_socket)
unixsocketperm 700
daemonize no
dir "$STATE/redis"
aclfile "$STATE/run/redis.acl"
# Unsettled usage lives here: it must survive a crash, and never be thrown away to make room.
appendonly yes
appendfsync ${TOLLGATE_LOCAL_APPENDFSYNC:-everysec}
maxmemory-policy noeviction
save ""
# What calls under way hold is found by hash instead of one after another once there are a few: 13 % of Redis' time.
zset-max-listpack-entries 16
hash-max-listpack-entries 32
loglevel notice
CONF
}

redis_answers() {
    [[ $(REDISCLI_AUTH=$(cat "$STATE/secrets/redis-password") redis-cli -h 127.0.0.1 -p "$(port REDIS)" ping 2>/dev/null) == PONG ]]
}

# Writes the settings; fails when Redis runs with others.
redis_configure() {
    local run=$STATE/run is_same=1 file
    (
        umask 077
        redis_config >"$run/redis.conf.new"
        "$ROOT/deploy/redis/acl" "$(secret redis-worker-password random_hex 24)" \
            "$(secret redis-control-password random_hex 24)" "$(secret redis-password random_hex 24)" >"$run/redis.acl.new"
    )
    for file in redis.conf redis.acl; do
        cmp -s "$run/$file.new" "$run/$file" || is_same=0
        mv "$run/$file.new" "$run/$file"
    done
    ((is_same)) || gone redis
}

redis_start() {
    redis_configure || stop_pid redis
    ! pid_of redis >/dev/null || return 0
    command -v redis-server >/dev/null || die 'Redis is not installed' 'Run deploy/local up as root, or: apt-get install redis-server'
    step "Starting Redis on port $(port REDIS)"
    mkdir -p "$STATE/redis"
    daemon redis redis-server "$STATE/run/redis.conf"
    wait_until 60 redis_answers || start_failed redis 'no answer in 60 s'
}
