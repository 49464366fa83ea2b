# `deploy/local test`: every suite, on a stack of its own, and an honest count of what passed.

# run_tests [swift|chaos|e2e [PYTEST ARGUMENTS]]: all suites, one of the two kinds, or ten minutes of chaos.
run_tests() {
    local only=${1:-all}
    (($# == 0)) || shift
    [[ $only =~ ^(all|swift|e2e|chaos)$ ]] || die "deploy/local test knows 'swift', 'e2e' and 'chaos', not '$only'"
    make_state
    exec 8>"$STATE/test.lock"
    flock -n 8 || die 'another deploy/local test runs in this checkout'
    RESULTS=$STATE/test-results
    rm -rf "$RESULTS"
    mkdir -p "$RESULTS"
    TEST_STATE=$STATE/test
    with_lock ensure_packages "${SYSTEM_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
    find_python
    find_swift
    case $only in
        all)
            swift_suites
            end_to_end_suites
            ;;
        swift) swift_suites ;;
        e2e) end_to_end_suites "$@" ;;
        chaos) CHAOS_SECONDS=${CHAOS_SECONDS:-600} end_to_end_suites -m chaos "$@" ;;
    esac
    "$PYTHON" "$ROOT/deploy/local.d/summary.py" "$RESULTS"
}

# A suite's outcome for the summary: NAME.exit has its exit code; with no report beside it, it could not run.
outcome() { printf '%s\n' "$2" >"$RESULTS/$1.exit"; }

swift_suites() {
    swift_suite swift . "${DEBUG_FLAGS[@]}"
    # What has a limit of time is measured in optimised code, one after the other, and built without the other suites.
    TOLLGATE_BENCHMARKS=1 SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=1 swift_suite benchmarks CostTests -c release --scratch-path "$ROOT/.build/benchmarks"
}

# swift_suite NAME FILTER FLAGS…: builds the suites that the manifest offers, and runs those that the filter names.
swift_suite() {
    local name=$1 filter=$2 code=0
    shift 2
    local flags=("$@")
    step "Building the Swift test suites ($name) with Swift $SWIFT_VERSION"
    local began=$SECONDS
    if ! swift_run "$STATE/log/build-$name.log" build --product tollgatePackageTests "${flags[@]}"; then
        outcome "$name" 1
        note "The test suites do not build: $STATE/log/build-$name.log"
        return 0
    fi
    note "built in $((SECONDS - began)) s"
    step "Running the Swift test suites ($name)"
    timeout -k 30 1200 "$SWIFT" test --package-path "$ROOT" --skip-build --filter "$filter" "${flags[@]}" \
        --xunit-output "$RESULTS/$name.xml" >"$RESULTS/$name.log" 2>&1 8>&- 9>&- </dev/null || code=$?
    outcome "$name" "$code"
    if ((code != 0)); then
        grep -E '^✘|: error: |Fatal error|unexpected signal' "$RESULTS/$name.log" | head -n 100 || true
        note "the whole output is $RESULTS/$name.log"
    fi
    grep -E 'Test run with' "$RESULTS/$name.log" | tail -n 1 || tail -n 20 "$RESULTS/$name.log"
}

ensure_venv() {
    local venv=$STATE/venv wanted=$ROOT/Tests/EndToEnd/requirements.txt
    if ! cmp -s "$wanted" "$venv/requirements.txt"; then
        step 'Installing the Python clients that the tests use'
        rm -rf "$venv"
        "$PYTHON" -m venv "$venv" 8>&- &&
            "$venv/bin/python" -m pip install -q --disable-pip-version-check -r "$wanted" 8>&- &&
            cp "$wanted" "$venv/requirements.txt"
    fi
}

# deploy/local for the stack of the tests.
on_test_stack() { TOLLGATE_LOCAL_DIR=$TEST_STATE "$ROOT/deploy/local" "$@" 8>&-; }

end_to_end_suites() {
    local code=0
    # A server is killed in there, the machine is not: what the system has taken is kept, and no test waits for a slow disk.
    export TOLLGATE_LOCAL_APPENDFSYNC=no TOLLGATE_LOCAL_FSYNC=off
    if ! ensure_venv; then
        outcome e2e 1
        note 'The Python clients could not be installed.'
        return 0
    fi
    # Whatever way this ends, nothing stays running.
    trap 'on_test_stack down >/dev/null 2>&1 || true' EXIT
    [[ ! -d $TEST_STATE ]] || on_test_stack reset || true
    if ! on_test_stack up; then
        outcome e2e 1
        note 'The stack of the tests did not come up.'
        return 0
    fi
    if (($#)); then
        pytest_run e2e "$@"
    else
        # Tests that stop servers or measure the whole stack have it for themselves.
        pytest_run e2e -n 4 --dist worksteal -m 'not disruptive and not soak and not chaos'
        pytest_run e2e-disruptive -m disruptive
        pytest_run e2e-soak -m soak
        pytest_run e2e-chaos -m chaos
    fi
    on_test_stack down
    trap - EXIT
}

pytest_run() {
    local name=$1 code=0
    shift
    step "Running end-to-end tests: $*"
    (
        cd "$ROOT/Tests/EndToEnd"
        export TOLLGATE_LOCAL_DIR=$TEST_STATE TOLLGATE_STACK_ENV=$TEST_STATE/stack.env PYTHONDONTWRITEBYTECODE=1
        exec timeout -k 30 1200 "$STATE/venv/bin/python" -m pytest --junitxml="$RESULTS/$name.xml" "$@" 8>&- 9>&- </dev/null
    ) || code=$?
    outcome "$name" "$code"
}
