# Debian packages: only those that are missing, and without starting a service of the system's own.

# What the build links against and what the stack runs with. Everything else comes with the toolchain.
SYSTEM_PACKAGES=(
    ca-certificates curl g++ git openssl pkg-config python3 tzdata util-linux
    libuv1-dev libnghttp2-dev libhttp-parser-dev libssl-dev libcurl4-openssl-dev libhiredis-dev libpq-dev
    libxxhash-dev libargon2-dev libjemalloc-dev libsimdjson-dev zlib1g-dev libbrotli-dev libzstd-dev
    postgresql redis-server redis-tools
)
TEST_PACKAGES=(python3-venv)

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

ensure_packages() {
    command -v dpkg-query >/dev/null || die 'this is not a Debian machine' \
        'deploy/local installs its needs with apt-get; on another system install the counterparts of:' "${SYSTEM_PACKAGES[*]}"
    local missing=() package
    for package in "$@"; do installed "$package" || missing+=("$package"); done
    ((${#missing[@]})) || return 0
    is_root || die "these Debian packages are missing: ${missing[*]}" \
        "Install them as root, then run this again: apt-get update && apt-get install ${missing[*]}"
    step "Installing ${missing[*]}"
    (install_packages "${missing[@]}") || die 'apt-get could not install what is missing' \
        "Its output is above and in $STATE/log/packages.log."
}

# In a subshell of its own, so that the trap undoes what is done to the system's files whatever happens. It runs when
# the function has returned: what it names must not be local.
install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d clusters=/etc/postgresql-common/createcluster.conf
    undo_policy=false undo_clusters=false
    trap 'if $undo_policy; then rm -f "$policy"; fi; if $undo_clusters; then mv -f "$clusters.before-tollgate" "$clusters"; fi' EXIT
    if [[ ! -e $policy ]]; then
        # Debian starts a server when it installs one; ours run privately.
        undo_policy=true
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt_get update
    if [[ " $* " == *' postgresql '* ]]; then
        apt_get install postgresql-common
        undo_clusters=true
        cp -p "$clusters" "$clusters.before-tollgate"
        printf '\ncreate_main_cluster = false\n' >>"$clusters"
    fi
    apt_get install "$@"
}

apt_get() {
    apt-get -qq -y -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" 9>&- </dev/null 2>&1 |
        tee -a "$STATE/log/packages.log" | grep -E '^(E|W|Err):' || [[ ${PIPESTATUS[0]} == 0 ]]
}
