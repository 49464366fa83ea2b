# What every piece uses: messages, the lock, waiting, daemons known by pid.

PARTS=(postgres redis simulator control-plane worker-1 worker-2)

if [[ -t 1 ]]; then BOLD=$'\e[1m' RED=$'\e[31m' PLAIN=$'\e[0m'; else BOLD='' RED='' PLAIN=''; fi

step() { printf '%s==>%s %s\n' "$BOLD" "$PLAIN" "$*"; }
note() { printf '    %s\n' "$*"; }

# Says what failed and, line by line, what to do about it; ends the script.
die() {
    printf '%sdeploy/local: %s%s\n' "$RED" "$1" "$PLAIN" >&2
    shift
    (($# == 0)) || printf '    %s\n' "$@" >&2
    exit 1
}

is_root() { [[ $(id -u) == 0 ]]; }

# A short text that is the same for the same folder, for names outside of it.
state_hash() { printf '%s' "$STATE" | sha256sum | cut -c1-12; }

make_state() {
    mkdir -p "$STATE" 2>/dev/null || die "cannot create $STATE" 'Set TOLLGATE_LOCAL_DIR to a folder you may write to.'
    # `reset` deletes in there: a folder that somebody else filled is not ours to use.
    if [[ $STATE/ != "$ROOT/.local/"* && ! -e $STATE/.tollgate-stack ]]; then
        [[ -z $(ls -A "$STATE") ]] || die "$STATE holds something else" 'Name a new folder in TOLLGATE_LOCAL_DIR.'
        touch "$STATE/.tollgate-stack" 2>/dev/null || true
    fi
    [[ -w $STATE ]] || die "cannot write to $STATE" 'It belongs to another user: run this as that user, or set TOLLGATE_LOCAL_DIR.'
    mkdir -p "$STATE/log" "$STATE/run" "$STATE/bin"
    (umask 077 && mkdir -p "$STATE/secrets")
}

# Runs a command while no other deploy/local changes this stack.
with_lock() {
    make_state
    exec 9>"$STATE/lock"
    flock -w 900 9 || die "another deploy/local has been busy with $STATE for 15 minutes"
    "$@"
    exec 9>&-
}

# wait_until SECONDS COMMAND…: repeats the command until it succeeds; fails when the time is over.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# secret NAME COMMAND…: the file's path in $STATE/secrets; the command makes its content the first time.
secret() {
    local file=$STATE/secrets/$1
    shift
    if [[ ! -s $file ]]; then
        (umask 077 && "$@" >"$file.new" && mv "$file.new" "$file")
    fi
    printf '%s' "$file"
}
random_hex() { od -An -tx1 -N"$1" /dev/urandom | tr -d ' \n'; }
random_base64() { head -c "$1" /dev/urandom | base64 -w0; }

# pid_of PART: its pid if the part runs and is ours, else fails. A pid file alone proves nothing: pids are used again.
pid_of() {
    local part=$1 pid
    case $part in
        postgres) pid=$(head -n1 "$(postgres_data)/postmaster.pid" 2>/dev/null) || return 1 ;;
        *) pid=$(cat "$STATE/run/$part.pid" 2>/dev/null) || return 1 ;;
    esac
    [[ $pid =~ ^[0-9]+$ ]] || return 1
    case $part in
        postgres) [[ $(readlink "/proc/$pid/cwd" 2>/dev/null) == "$(readlink -f "$(postgres_data)")" ]] || return 1 ;;
        redis) [[ $(readlink "/proc/$pid/cwd" 2>/dev/null) == "$(readlink -f "$STATE/redis")" ]] || return 1 ;;
        *) [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == "$(readlink -f "$STATE/bin")/$(program_of "$part")"* ]] || return 1 ;;
    esac
    printf '%s' "$pid"
}

program_of() {
    case $1 in
        worker-*) printf data-plane ;;
        *) printf '%s' "$1" ;;
    esac
}

gone() { ! pid_of "$1" >/dev/null; }

# daemon PART COMMAND…: starts it in a session of its own with its log, and keeps its pid.
daemon() {
    local part=$1 log=$STATE/log/$1.log
    shift
    if [[ -f $log && $(stat -c %s "$log") -gt 67108864 ]]; then mv "$log" "$log.old"; fi
    (
        cd /
        exec 9>&- </dev/null >>"$log" 2>&1
        exec setsid "$@"
    ) &
    printf '%s\n' $! >"$STATE/run/$part.pid"
    disown
}

# Asks a part to end and waits; a program that does not drain within the time is killed.
stop_pid() {
    local part=$1 pid
    pid=$(pid_of "$part") || return 0
    kill -TERM "$pid"
    if ! wait_until 40 gone "$part"; then
        note "$part does not stop by itself: killing it"
        kill -KILL "$pid" 2>/dev/null || true
        wait_until 10 gone "$part" || die "$part (pid $pid) cannot be stopped"
    fi
    rm -f "$STATE/run/$part.pid" "$STATE/run/$part.stamp"
}

# Shows why a part did not come up, and ends the script.
start_failed() {
    local part=$1
    printf '%s--- the last lines of %s/log/%s.log%s\n' "$BOLD" "$STATE" "$part" "$PLAIN" >&2
    tail -n 25 "$STATE/log/$part.log" >&2 || true
    die "$part did not become ready: $2" "Its log is $STATE/log/$part.log."
}
