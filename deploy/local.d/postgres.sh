# The private PostgreSQL: our port, sockets and data, never the system's cluster.

# The user the server runs as: it refuses to run as root.
postgres_user() { if is_root; then printf postgres; else id -un; fi; }

as_postgres() { if is_root; then setpriv --reuid postgres --regid postgres --init-groups -- "$@"; else "$@"; fi; }

# Where its data is: in $STATE, or outside when the server's user cannot reach that (a checkout below /root, say).
postgres_home() {
    if [[ -f $STATE/postgres-home ]]; then cat "$STATE/postgres-home"; else printf '%s' "$STATE/postgres"; fi
}
postgres_data() { printf '%s/data' "$(postgres_home)"; }

# A socket's path has room for 107 bytes.
postgres_sockets() {
    local home
    home=$(postgres_home)
    if ((${#home} <= 80)); then printf '%s/sockets' "$home"; else printf '/tmp/tollgate-%s' "$(state_hash)"; fi
}

postgres_tools() {
    local newest
    newest=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n1)
    [[ -x $newest/postgres ]] || die 'PostgreSQL is not installed' 'Run deploy/local up as root, or: apt-get install postgresql'
    printf '%s' "$newest"
}

choose_postgres_home() {
    [[ ! -f $STATE/postgres-home ]] || return 0
    local home=$STATE/postgres
    mkdir -p "$home"
    if ! as_postgres test -x "$home"; then
        rmdir "$home"
        home=/var/tmp/tollgate-$(state_hash)
        note "the user '$(postgres_user)' cannot reach $STATE: its data goes to $home"
        mkdir -p "$home"
        [[ -O $home ]] || die "$home belongs to another user" 'Remove it, or set TOLLGATE_LOCAL_DIR.'
        chmod 755 "$home"
    fi
    printf '%s\n' "$home" >"$STATE/postgres-home"
}

make_postgres_folder() {
    mkdir -p "$1"
    [[ ! -L $1 ]] || die "$1 is a symbolic link"
    chmod 700 "$1"
    ! is_root || chown postgres: "$1"
}

postgres_answers() { "$(postgres_tools)/pg_isready" -q -h 127.0.0.1 -p "$(port POSTGRES)" -t 2; }

# Ready, or not running any more: ends the wait either way.
postgres_settled() { postgres_answers || gone postgres; }

as_superuser() {
    (cd / && as_postgres "$(postgres_tools)/psql" -X -q -h "$(postgres_sockets)" -p "$(port POSTGRES)" \
        -U "$(postgres_user)" -v ON_ERROR_STOP=1 -d postgres "$@" 9>&-)
}

postgres_start() {
    choose_postgres_home
    local tools data sockets password pid
    tools=$(postgres_tools)
    data=$(postgres_data)
    sockets=$(postgres_sockets)
    password=$(secret postgres-password random_hex 24)
    if ! pid=$(pid_of postgres); then
        make_postgres_folder "$sockets"
        if [[ ! -f $data/PG_VERSION ]]; then
            step "Making a PostgreSQL cluster in $data"
            make_postgres_folder "$data"
            (cd / && as_postgres "$tools/initdb" -D "$data" -U "$(postgres_user)" -E UTF8 --locale=C.UTF-8 \
                --auth-local=peer --auth-host=scram-sha-256 9>&-) >"$STATE/log/initdb.log" 2>&1 ||
                die 'initdb failed' "Its output is $STATE/log/initdb.log."
        fi
        step "Starting PostgreSQL on port $(port POSTGRES)"
        # shellcheck disable=SC2046
        daemon postgres $(! is_root || printf "setpriv --reuid postgres --regid postgres --init-groups --") "$tools/postgres" -D "$data" \
            -c listen_addresses=127.0.0.1 -c port="$(port POSTGRES)" -c unix_socket_directories="$sockets" \
            -c fsync="${TOLLGATE_LOCAL_FSYNC:-on}" -c max_connections=100 -c shared_buffers=64MB -c logging_collector=off -c timezone=UTC -c log_timezone=UTC
        wait_until 60 postgres_answers || start_failed postgres 'no answer in 60 s'
    fi
    if [[ $(as_superuser -At -c "select 1 from pg_database where datname = 'tollgate'") != 1 ]]; then
        as_superuser <<SQL
create role tollgate login password '$(cat "$password")';
create database tollgate owner tollgate;
SQL
    fi
}

postgres_stop() {
    local pid tools
    pid=$(pid_of postgres) || return 0
    tools=$(postgres_tools)
    (cd / && as_postgres "$tools/pg_ctl" -D "$(postgres_data)" -m fast -w -t 60 stop 9>&-) >>"$STATE/log/postgres.log" 2>&1 ||
        die "PostgreSQL (pid $pid) does not stop" "Its log is $STATE/log/postgres.log."
    rm -f "$STATE/run/postgres.pid"
}

postgres_remove() {
    local home sockets
    home=$(postgres_home)
    sockets=$(postgres_sockets)
    # Only what choose_postgres_home and make_postgres_folder made.
    rm -rf "$home/data" "$home/sockets"
    [[ $sockets != /tmp/tollgate-* ]] || rm -rf "$sockets"
    rmdir "$home" 2>/dev/null || true
    rm -f "$STATE/postgres-home"
}
