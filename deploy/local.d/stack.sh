# The stack as a whole: up, down, status, logs, reset.

find_python() {
    local place
    for place in /usr/bin/python3 "$(command -v python3 || true)"; do
        [[ -x $place ]] || continue
        PYTHON=$place
        return 0
    done
    die 'python3 is missing' 'Run deploy/local up as root, or: apt-get install python3'
}

stack_up() {
    make_state
    with_lock stack_bring_up
    print_welcome
}

stack_bring_up() {
    ensure_packages "${SYSTEM_PACKAGES[@]}"
    find_python
    # A stack that only runs what was built before: for tests that built it themselves.
    if [[ -z ${TOLLGATE_SKIP_BUILD:-} ]]; then build_release; else install_programs; fi
    choose_ports
    make_secrets
    make_certificates
    refresh_urls
    postgres_start
    redis_start
    local part
    for part in simulator control-plane worker-1 worker-2; do program_start "$part"; done
    step 'Seeding accounts, groups, a user and API keys'
    "$PYTHON" "$ROOT/deploy/local.d/seed.py" "$STATE" \
        --admin-url "http://127.0.0.1:$(port CONTROL_ADMIN)" --admin-email "$ADMIN_EMAIL" \
        --simulator-url "http://127.0.0.1:$(port SIMULATOR)" \
        --gateway-url "http://127.0.0.1:$(port WORKER_1)" --gateway-url "http://127.0.0.1:$(port WORKER_2)" 9>&- ||
        die 'seeding failed' "The control plane's log is $STATE/log/control-plane.log."
    write_stack_env
}

# The URLs hold a port, and a port may have moved since.
refresh_urls() {
    local secrets=$STATE/secrets plane
    (
        umask 077
        printf 'postgres://tollgate:%s@127.0.0.1:%s/tollgate\n' "$(cat "$(secret postgres-password random_hex 24)")" \
            "$(port POSTGRES)" >"$secrets/database-url"
        printf 'redis://:%s@127.0.0.1:%s/0\n' "$(cat "$(secret redis-password random_hex 24)")" \
            "$(port REDIS)" >"$secrets/redis-url"
        for plane in worker control; do
            printf 'redis://%s:%s@127.0.0.1:%s/0\n' "$plane" \
                "$(cat "$(secret "redis-$plane-password" random_hex 24)")" "$(port REDIS)" >"$secrets/redis-url-$plane"
        done
    )
}

write_stack_env() {
    local secrets=$STATE/secrets name
    (
        umask 077
        {
            printf 'TOLLGATE_GATEWAY_URL=http://127.0.0.1:%s\n' "$(port WORKER_1)"
            printf 'TOLLGATE_GATEWAY_URL_2=http://127.0.0.1:%s\n' "$(port WORKER_2)"
            printf 'TOLLGATE_ADMIN_URL=http://127.0.0.1:%s\n' "$(port CONTROL_ADMIN)"
            printf 'TOLLGATE_ADMIN_EMAIL=%s\n' "$ADMIN_EMAIL"
            printf 'TOLLGATE_ADMIN_PASSWORD=%s\n' "$(cat "$secrets/admin-password")"
            printf 'TOLLGATE_SIMULATOR_URL=http://127.0.0.1:%s\n' "$(port SIMULATOR)"
            for name in anthropic openai gemini antigravity bedrock; do
                printf 'TOLLGATE_KEY_%s=%s\n' "${name^^}" "$(cat "$secrets/key-$name")"
            done
            printf 'TOLLGATE_DATABASE_URL=%s\n' "$(cat "$secrets/database-url")"
            printf 'TOLLGATE_REDIS_URL=%s\n' "$(cat "$secrets/redis-url")"
            printf 'TOLLGATE_CONTROL_PID=%s\n' "$(pid_of control-plane || true)"
            printf 'TOLLGATE_WORKER_PID=%s\n' "$(pid_of worker-1 || true)"
            printf 'TOLLGATE_WORKER_PID_2=%s\n' "$(pid_of worker-2 || true)"
        } >"$STATE/stack.env.new"
        mv "$STATE/stack.env.new" "$STATE/stack.env"
    )
}

print_welcome() {
    step 'Tollgate is up'
    cat <<WELCOME
    gateway      http://127.0.0.1:$(port WORKER_1) and http://127.0.0.1:$(port WORKER_2)
    admin API    http://127.0.0.1:$(port CONTROL_ADMIN)/api/v1 as $ADMIN_EMAIL, password in $STATE/secrets/admin-password
    simulator    http://127.0.0.1:$(port SIMULATOR)
    everything   $STATE/stack.env

A call through it:

curl http://127.0.0.1:$(port WORKER_1)/v1/messages -H 'content-type: application/json' -H 'anthropic-version: 2023-06-01' -H 'x-api-key: $(cat "$STATE/secrets/key-anthropic")' -d '{"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}'

WELCOME
}

stack_down() {
    local part
    # Callers first, then what they lean on.
    for part in worker-2 worker-1 control-plane simulator redis postgres; do
        if pid_of "$part" >/dev/null; then
            step "Stopping $part"
            part_stop "$part"
        fi
    done
}

stack_status() {
    local part pid state ports entry all_well=0
    [[ -f $STATE/ports ]] || die "there is no stack in $STATE" 'Run deploy/local up.'
    printf '%-14s %-9s %-24s %s\n' PART PID PORTS HEALTH
    for part in "${PARTS[@]}"; do
        ports=''
        for entry in "${PORT_DEFAULTS[@]}"; do
            if [[ $(port_owner "${entry%%=*}") == "$part" ]]; then ports+="${ports:+,}$(port "${entry%%=*}")"; fi
        done
        if pid=$(pid_of "$part"); then
            state=$(health "$part") || all_well=3
        else
            pid=- state=stopped all_well=3
        fi
        printf '%-14s %-9s %-24s %s\n' "$part" "$pid" "$ports" "$state"
    done
    return $all_well
}

stack_logs() {
    local follow=() parts=() argument part
    for argument in "$@"; do
        if [[ $argument == -f ]]; then follow=(-F); else parts+=("$argument"); fi
    done
    local files=()
    for part in "${parts[@]:-}"; do
        if [[ -z $part ]]; then
            files=("$STATE"/log/*.log)
        else
            [[ -f $STATE/log/$part.log ]] || die "there is no log of '$part'" "There are: $(cd "$STATE/log" && echo *.log)"
            files+=("$STATE/log/$part.log")
        fi
    done
    tail -n 100 "${follow[@]}" "${files[@]}"
}

stack_reset() {
    stack_down
    step "Deleting the data in $STATE"
    postgres_remove
    rm -f "$(redis_socket)"
    rm -rf "${STATE:?}"/{redis,journal,secrets,tls,run,log,bin,ports,stack.env}
}
