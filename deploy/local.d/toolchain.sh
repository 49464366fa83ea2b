# The Swift toolchain, the release build, and the programs that the stack runs.

# Static Swift libraries: a worker starts in 1.5 ms, is one file, and needs no toolchain where it runs.
RELEASE_FLAGS=(-c release --static-swift-stdlib --explicit-target-dependency-import-check error)
DEBUG_FLAGS=(-c debug --explicit-target-dependency-import-check error)
PROGRAMS=(control-plane data-plane simulator)

find_swift() {
    local wanted found='' place oldest=''
    wanted=$(sed -n '1s/.*swift-tools-version: *\([0-9.]*\).*/\1/p' "$ROOT/Package.swift")
    for place in "$(command -v swift || true)" /opt/swift/usr/bin/swift "$HOME/.local/share/swiftly/bin/swift" \
        /usr/libexec/swift/bin/swift; do
        [[ -n $place && -x $place ]] || continue
        found=$("$place" --version 2>/dev/null | sed -n 's/.*Swift version \([0-9.]*\).*/\1/p' | head -n1)
        [[ -n $found ]] || continue
        oldest=$found
        if [[ $(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n1) == "$wanted" ]]; then
            SWIFT=$place SWIFT_VERSION=$found
            return 0
        fi
    done
    die "Swift $wanted or newer is needed and ${oldest:+only }${oldest:-none} was found" \
        'Get the toolchain for Debian 12 from https://www.swift.org/install/linux/ (a tar.gz, verified with gpg), then:' \
        '    mkdir -p /opt/swift && tar -xzf swift-*-debian12.tar.gz -C /opt/swift --strip-components=1' \
        'It is found in /opt/swift/usr/bin, or wherever PATH says, and needs nothing more than that.'
}

# swift_run LOG ARGUMENTS…: runs the toolchain on this checkout; prints the log when it fails.
swift_run() {
    local log=$1
    shift
    if ! "$SWIFT" "$@" --package-path "$ROOT" >"$log" 2>&1 9>&-; then
        grep -nE '(error|warning):' "$log" | head -n 40 >&2 || true
        printf '%s--- the last lines of %s%s\n' "$BOLD" "$log" "$PLAIN" >&2
        tail -n 30 "$log" >&2
        return 1
    fi
}

build_release() {
    find_swift
    step "Building release with Swift $SWIFT_VERSION (a first build takes some minutes)"
    swift_run "$STATE/log/build.log" build "${RELEASE_FLAGS[@]}" || die 'the build failed' "The whole log is $STATE/log/build.log."
    install_programs
}

install_programs() {
    local built program
    find_swift
    built=$("$SWIFT" build "${RELEASE_FLAGS[@]}" --package-path "$ROOT" --show-bin-path)
    for program in "${PROGRAMS[@]}"; do
        [[ -x $built/$program ]] || die "the build made no $program" "Expected it in $built."
        # A copy, so that the next build never writes into a running program.
        if ! cmp -s "$built/$program" "$STATE/bin/$program"; then
            cp "$built/$program" "$STATE/bin/$program.new"
            mv "$STATE/bin/$program.new" "$STATE/bin/$program"
        fi
        check_libraries "$STATE/bin/$program"
    done
}

# A program must find all of its libraries, carry Swift's inside, and a worker must know no Postgres.
check_libraries() {
    local needed
    needed=$(ldd "$1") || die "$1 cannot be loaded"
    [[ $needed != *'not found'* ]] || die "$1 misses libraries" "$(grep 'not found' <<<"$needed")"
    [[ $needed != *libswift* ]] || die "$1 needs Swift's shared libraries" 'It should have been linked statically.'
    [[ $1 != */data-plane || $needed != *libpq* ]] || die 'data-plane is linked against libpq' \
        'Only the control plane may speak to Postgres: look for a target that imports it.'
}
