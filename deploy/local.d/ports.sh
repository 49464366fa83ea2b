# Ports: chosen once for a stack and kept in $STATE/ports, so that addresses stay the same from run to run.

# Every port with the number tried first.
PORT_DEFAULTS=(
    WORKER_1=8080 CONTROL_ADMIN=8081 CONTROL_INTERNAL=8082 WORKER_2=8083
    CONTROL_OPS=8084 WORKER_1_OPS=8085 WORKER_2_OPS=8086 WORKER_1_TLS=8443 WORKER_2_TLS=8444
    SIMULATOR=8090 SIMULATOR_TLS=8091 POSTGRES=5433 REDIS=6380
)

# The owner of each port, for deciding whether a listener on it is ours.
port_owner() {
    case $1 in
        WORKER_1*) printf worker-1 ;;
        WORKER_2*) printf worker-2 ;;
        CONTROL*) printf control-plane ;;
        SIMULATOR*) printf simulator ;;
        POSTGRES) printf postgres ;;
        REDIS) printf redis ;;
    esac
}

# port NAME: its number.
port() { sed -n "s/^$1=//p" "$STATE/ports" 2>/dev/null; }

choose_ports() {
    local keep='' entry name
    for entry in "${PORT_DEFAULTS[@]}"; do
        name=${entry%%=*}
        # A part that runs keeps its port whatever else is true of it.
        ! pid_of "$(port_owner "$name")" >/dev/null || keep+=" $name"
    done
    "$PYTHON" "$ROOT/deploy/local.d/ports.py" "$STATE" "$keep" "${PORT_DEFAULTS[@]}" 9>&- ||
        die 'no free ports could be found'
}
