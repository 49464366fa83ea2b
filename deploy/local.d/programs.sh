# Our own programs: their environment, their readiness, starting and stopping them.

# The environment of a part, one NAME=value a line. Secrets are named by file, so that /proc and logs do not show them.
environment_of() {
    local part=$1 secrets=$STATE/secrets
    printf '%s\n' PATH=/usr/bin:/bin HOME="$STATE" LANG=C.UTF-8 TZ=UTC
    [[ -z ${TOLLGATE_LOG_LEVEL:-} ]] || printf '%s\n' "TOLLGATE_LOG_LEVEL=$TOLLGATE_LOG_LEVEL"
    case $part in
        simulator)
            printf '%s\n' \
                TOLLGATE_SIMULATOR_LISTEN="127.0.0.1:$(port SIMULATOR)" \
                TOLLGATE_SIMULATOR_TLS_LISTEN="127.0.0.1:$(port SIMULATOR_TLS)" \
                TOLLGATE_SIMULATOR_TLS_CERT="$STATE/tls/server.pem" \
                TOLLGATE_SIMULATOR_TLS_KEY="$STATE/tls/server.key"
            ;;
        control-plane)
            printf '%s\n' \
                TOLLGATE_ADMIN_LISTEN="127.0.0.1:$(port CONTROL_ADMIN)" \
                TOLLGATE_INTERNAL_LISTEN="127.0.0.1:$(port CONTROL_INTERNAL)" \
                TOLLGATE_OPS_LISTEN="127.0.0.1:$(port CONTROL_OPS)" \
                TOLLGATE_DATABASE_URL_FILE="$secrets/database-url" \
                TOLLGATE_REDIS_URL_FILE="$secrets/redis-url-control" \
                TOLLGATE_MASTER_KEYS_FILE="$secrets/master-keys" \
                TOLLGATE_SNAPSHOT_KEY_FILE="$secrets/snapshot-key" \
                TOLLGATE_INTERNAL_TOKEN_FILE="$secrets/internal-token" \
                TOLLGATE_ADMIN_EMAIL="$ADMIN_EMAIL" \
                TOLLGATE_ADMIN_PASSWORD_FILE="$secrets/admin-password" \
                TOLLGATE_UPSTREAM_CA="$STATE/tls/ca.pem"
            sign_in_of ANTHROPIC /oauth/authorize /v1/oauth/token 'user:inference user:profile'
            sign_in_of OPENAI /oauth/authorize /oauth/token 'openid profile email offline_access'
            sign_in_of GEMINI /o/oauth2/v2/auth /token 'openid email'
            sign_in_of ANTIGRAVITY /o/oauth2/v2/auth /token 'openid email'
            ;;
        worker-*)
            local number=${part#worker-}
            printf '%s\n' \
                TOLLGATE_LISTEN="127.0.0.1:$(port "WORKER_$number")" \
                TOLLGATE_TLS_LISTEN="127.0.0.1:$(port "WORKER_${number}_TLS")" \
                TOLLGATE_TLS_CERT="$STATE/tls/server.pem" \
                TOLLGATE_TLS_KEY="$STATE/tls/server.key" \
                TOLLGATE_UPSTREAM_CA="$STATE/tls/ca.pem" \
                TOLLGATE_OPS_LISTEN="127.0.0.1:$(port "WORKER_${number}_OPS")" \
                TOLLGATE_REDIS_URL_FILE="$secrets/redis-url-worker" \
                TOLLGATE_INTERNAL_URL="http://127.0.0.1:$(port CONTROL_INTERNAL)" \
                TOLLGATE_INTERNAL_TOKEN_FILE="$secrets/internal-token" \
                TOLLGATE_SNAPSHOT_KEY_FILE="$secrets/snapshot-key" \
                TOLLGATE_MASTER_KEYS_FILE="$secrets/master-keys" \
                TOLLGATE_JOURNAL_DIR="$STATE/journal/$part" \
                TOLLGATE_LOOPS="${TOLLGATE_LOOPS:-1}"
            ;;
    esac
}

# sign_in_of PLATFORM PAGE ENDPOINT SCOPES: the settings of a platform's sign-in, which the simulator plays.
sign_in_of() {
    local prefix=TOLLGATE_OAUTH_${1}_ simulator
    simulator=http://127.0.0.1:$(port SIMULATOR)
    printf '%s\n' \
        "${prefix}CLIENT_ID=tollgate-local" \
        "${prefix}AUTHORIZE_URL=$simulator$2" \
        "${prefix}TOKEN_URL=$simulator$3" \
        "${prefix}REDIRECT_URL=http://localhost:1455/callback" \
        "${prefix}SCOPES=$4"
}

ADMIN_EMAIL=admin@tollgate.local

first_master_key() { printf 'k1:%s\n' "$(random_base64 32)"; }

make_secrets() {
    secret master-keys first_master_key >/dev/null
    secret snapshot-key random_base64 32 >/dev/null
    secret internal-token random_hex 32 >/dev/null
    secret admin-password random_hex 12 >/dev/null
}

# An authority of this stack's own and a certificate for loopback, for TLS to the workers and to the simulator.
make_certificates() {
    local folder=$STATE/tls
    [[ ! -s $folder/server.pem ]] || return 0
    step 'Making certificates for loopback'
    mkdir -p "$folder"
    (
        umask 077
        cd "$folder"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -keyout ca.key -out ca.pem \
            -subj '/CN=Tollgate local authority' -addext 'basicConstraints=critical,CA:TRUE'
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr \
            -subj /CN=localhost
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -out server.pem.new \
            -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n')
        mv server.pem.new server.pem
    ) >"$STATE/log/certificates.log" 2>&1 || die 'openssl could not make certificates' "See $STATE/log/certificates.log."
}

# What a part was started as: another program or another environment is another stamp.
stamp_of() {
    { environment_of "$1"; sha256sum <"$STATE/bin/$(program_of "$1")"; } | sha256sum | cut -c1-64
}

health_url() {
    case $1 in
        simulator) printf 'http://127.0.0.1:%s/__sim/health' "$(port SIMULATOR)" ;;
        control-plane) printf 'http://127.0.0.1:%s/health/ready' "$(port CONTROL_OPS)" ;;
        worker-*) printf 'http://127.0.0.1:%s/health/ready' "$(port "WORKER_${1#worker-}_OPS")" ;;
    esac
}

# health PART: prints one word, and succeeds when the part does its work.
health() {
    local code
    case $1 in
        postgres) if postgres_answers; then printf ready; else printf 'no answer'; return 1; fi ;;
        redis) if redis_answers; then printf ready; else printf 'no answer'; return 1; fi ;;
        *)
            code=$(curl -s -o /dev/null -m 3 -w '%{http_code}' "$(health_url "$1")" 9>&-) || code=000
            case $code in
                200) printf ready ;;
                000) printf 'no answer'; return 1 ;;
                *) printf 'not ready (%s)' "$code"; return 1 ;;
            esac
            ;;
    esac
}

is_healthy() { health "$1" >/dev/null; }
healthy_or_gone() { gone "$1" || is_healthy "$1"; }

program_start() {
    local part=$1 stamp environment
    stamp=$(stamp_of "$part")
    if pid_of "$part" >/dev/null; then
        if [[ $stamp == "$(cat "$STATE/run/$part.stamp" 2>/dev/null)" ]]; then
            if wait_until 30 is_healthy "$part"; then return 0; fi
            step "Restarting $part: it runs but is not ready"
        else
            step "Restarting $part: its program or its settings changed"
        fi
        stop_pid "$part"
    else
        step "Starting $part"
    fi
    mkdir -p "$STATE/journal/$part"
    mapfile -t environment < <(environment_of "$part")
    daemon "$part" env -i "${environment[@]}" "$STATE/bin/$(program_of "$part")"
    # The pid is the program's only once setsid and env have replaced themselves by it.
    wait_until 20 pid_of "$part" >/dev/null || start_failed "$part" 'it ended at once'
    wait_until 60 healthy_or_gone "$part" || start_failed "$part" "$(health_url "$part") says: $(health "$part")"
    ! gone "$part" || start_failed "$part" 'it ended'
    printf '%s\n' "$stamp" >"$STATE/run/$part.stamp"
}

part_start() {
    case $1 in
        postgres) postgres_start ;;
        redis) redis_start ;;
        *) program_start "$1" ;;
    esac
}

part_stop() {
    case $1 in
        postgres) postgres_stop ;;
        *) stop_pid "$1" ;;
    esac
}

one_part() {
    local verb=$1 part=${2:-}
    [[ " ${PARTS[*]} " == *" $part "* && -n $part ]] || die "deploy/local $verb needs one of: ${PARTS[*]}"
    [[ -f $STATE/ports ]] || die 'this stack was never up' 'Run deploy/local up first.'
    [[ $verb == start ]] || part_stop "$part"
    [[ $verb == stop ]] || part_start "$part"
    [[ ! -f $STATE/stack.env ]] || write_stack_env
}
