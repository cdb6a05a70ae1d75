#!/usr/bin/env bash
# Acceptance test: the sessions of other frameworks are in Sessile, by the files in deploy/clients.
#
#     tests/clients/run.sh [path-to-sessile-binary]
#
# CLIENTS='php django'   only these; otherwise php, django, flask and express
# CACHE=dir              where the frameworks are, or are installed to from their registries; CI and KEEP: see tests/steps.sh
#
# Each framework serves the same little application, in its folder here. It answers "USER VISITS":
#
#     /me    looks only       /login   becomes Ada, under a new id      /hold   is a visit that lasts until $RUN/go is there
#     /visit counts one       /logout  ends the session
#
# shellcheck disable=SC2317  # steps are called by name, which shellcheck takes for never
# shellcheck disable=SC2016  # PHP's variables, not the shell's
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/steps.sh
source "$here/../steps.sh"

declare -rx LIFETIME=3600               # seconds that the applications give their sessions; the store's own default is a day
readonly REQUEST_LIMIT=30            # seconds a request may take
readonly WAIT_LIMIT=20               # seconds until something has happened that must
readonly AT_ONCE=12                  # visits of one session at the same time

app='' app_pid=''                    # base URL and process group of the application
lonely_pid=''                        # a node without the others of its cluster
cache=''                             # where the frameworks are
group='' cookie=''                   # of this framework's sessions: what the keys begin with, and the cookie
token=''                             # that the applications send

# ---- Processes ------------------------------------------------------------------------------------------------

# launch COMMAND...: the application; it prints its base URL.
launch() {
    : >"$run/$chapter.log"
    RUN=$run STORE=$store/sessions/v1/ TOKEN=$token CLIENTS=$root/deploy/clients PHP_CLI_SERVER_WORKERS=4 \
    PYTHONPATH=$root/deploy/clients:$here:$cache/python PYTHONDONTWRITEBYTECODE=1 NODE_PATH=$cache/node_modules \
        setsid "$@" >>"$run/$chapter.log" 2>&1 &
    app_pid=$!
    local until=$((SECONDS + START_LIMIT))
    app=''
    while [[ -z $app ]]; do
        is_running "$app_pid" || { because "the application ended"; return 1; }
        ((SECONDS < until)) || { because "the application does not listen after $START_LIMIT s"; return 1; }
        sleep 0.05
        app=$(sed -nE 's|.*(http://127\.0\.0\.1:[0-9]+).*|\1|p' "$run/$chapter.log" | head -n 1)
    done
}

stop_app() {
    [[ -n $app_pid ]] || return 0
    end "$app_pid" "-$app_pid"
    app_pid=''
}

# At the store's address, a node that waits for two others and has no quorum: 503 for every request.
start_lonely() {
    (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$run/join.token")
    local grpc
    grpc=127.0.0.1:$(free_port)
    cat >"$run/lonely.yaml" <<YAML
listen_address: 127.0.0.1
listen_port: ${store_address##*:}
storage: { data_dir: "$run/lonely", reserve_mb: 0 }
http: { request_timeout_ms: 300 }
cluster:
  name: n1
  listen: "$grpc"
  seeds: ["$grpc", "127.0.0.1:1", "127.0.0.1:2"]
  expect: 3
  join_token_file: "$run/join.token"
YAML
    "$sessile" serve --config "$run/lonely.yaml" >>"$run/lonely.log" 2>&1 &
    lonely_pid=$!
    await "$lonely_pid" "$store/sessions/v1/any" 503
}

stop_lonely() {
    [[ -n $lonely_pid ]] || return 0
    # It has nothing to lose, and would wait for its connections.
    kill -KILL "$lonely_pid"
    wait "$lonely_pid" 2>/dev/null || true
    lonely_pid=''
}

stop_all() {
    stop_app
    stop_lonely
    stop_store
}

# ---- The application, as a browser sees it ----------------------------------------------------------------------

# get JAR PATH: prints the status; the answer is in $run/answer, its headers in $run/headers.
get() {
    curl -sS --max-time "$REQUEST_LIMIT" -b "$1" -c "$1" -o "$run/answer" -D "$run/headers" -w '%{http_code}' \
        "$app$2" 2>"$run/reason"
}

# answers JAR PATH WORDS
answers() {
    local code answer
    code=$(get "$1" "$2") || return 1
    answer=$(head -c 200 "$run/answer")
    [[ $code == 200 && $answer == "$3" ]] || because "$2 was to answer 200 '$3', and answered $code '$answer'"
}

# An error is an error: no new session, and the browser keeps the cookie that it has.
fails() {
    local code
    cp "$1" "$run/copy.jar"
    code=$(get "$run/copy.jar" "$2") || return 1
    [[ $code == 500 ]] || { because "$2 was to answer 500, and answered $code '$(head -c 200 "$run/answer")'"; return 1; }
    if grep -qi '^set-cookie:' "$run/headers"; then because "$2 answered 500, and set a cookie"; return 1; fi
}

# log_in JAR: the visitor's session is gone, and what was in it is in the new one.
log_in() {
    cp "$1" "$run/visitor.jar"
    answers "$1" /login 'Ada 1' || return 1
    [[ $(session_id "$1") != "$(session_id "$run/visitor.jar")" ]] || { because "the session kept its id"; return 1; }
    stored_as 404 "$run/visitor.jar"
}

log_out() {
    answers "$1" /logout 'nobody 0' && stored_as 404 "$2"
}

# ---- The store, as an operator sees it --------------------------------------------------------------------------

# Express's cookie is `s:ID.SIGNATURE`.
session_id() {
    awk -v name="$cookie" '$6 == name { print $7 }' "$1" |
        php -r 'echo preg_replace("/^s:(.*)\..*/", "$1", rawurldecode(trim(stream_get_contents(STDIN))));'
}

# ask JAR [CURL OPTION...]: prints the status; the session that the jar's cookie names is in $run/session.
ask() {
    local id
    id=$(session_id "$1")
    shift
    [[ -n $id ]] || { because "there is no cookie $cookie"; return 1; }
    curl -sS --max-time "$REQUEST_LIMIT" -o "$run/session" -D "$run/session.headers" -w '%{http_code}' -K - "$@" <<CURL
url = "$store/sessions/v1/$group%3A$id"
header = "Authorization: Bearer $(<"$run/token")"
CURL
}

stored_as() {
    local code
    code=$(ask "$2") || return 1
    [[ $code == "$1" ]] || because "Sessile was to answer $1 for the session's key, and answered $code"
}

seconds_left() { sed -nE 's/^ttl: ([0-9]+).*/\1/p' "$run/session.headers"; }

lives_as_long_as_the_application_says() {
    stored_as 200 "$1" || return 1
    local left
    left=$(seconds_left)
    ((left > LIFETIME - 600 && left <= LIFETIME)) || because "it was to live for $LIFETIME s, and has $left s left"
}

# shorten JAR SECONDS: the session as it is, with another lifetime.
shorten() {
    stored_as 200 "$1" || return 1
    cp "$run/session" "$run/value"
    [[ $(ask "$1" -H "TTL: $2" --data-binary "@$run/value") == 201 ]] || because "the store refused to shorten the session"
}

expires() {
    shorten "$1" 1 || return 1
    wait_for "the session to expire" stored_as 404 "$1" && answers "$1" /me 'nobody 0'
}

# A look at it is enough.
is_renewed() {
    shorten "$1" 60 || return 1
    answers "$1" /me 'Ada 1' && lives_as_long_as_the_application_says "$1"
}

# wait_for WORDS COMMAND...
wait_for() {
    local words=$1 until=$((SECONDS + WAIT_LIMIT))
    shift
    until "$@"; do
        ((SECONDS < until)) || { because "waited for $words for $WAIT_LIMIT s"; return 1; }
        sleep 0.05
    done
}

# hold JAR: a visit begins, and has read the session; `let_go` lets it end. Its status and answer are in $run/held-visit.
hold() {
    rm -f "$run/held" "$run/go"
    curl -sS --max-time "$REQUEST_LIMIT" -b "$1" -w ' %{http_code}' "$app/hold" >"$run/held-visit" 2>&1 &
    holder=$!
    wait_for "the visit to begin" test -e "$run/held"
}

let_go() {
    touch "$run/go"
    wait "$holder" || true
}

# A session that was ended stays so, whoever writes then.
stays_ended() {
    hold "$1" || return 1
    [[ $(ask "$1" -X DELETE) == 204 ]] || { because "the store did not delete the session"; let_go; return 1; }
    let_go
    [[ $(<"$run/held-visit") == *' '[45]?? ]] || { because "it answered '$(<"$run/held-visit")'"; return 1; }
    stored_as 404 "$1"
}

# No log has a session's id.
logs_are_silent() {
    local id
    id=$(session_id "$1")
    if grep -qF -- "$id" "$run/$chapter.log" "$run/answer"; then because "an id is in the log or an answer"; return 1; fi
}

# ---- The story ------------------------------------------------------------------------------------------------

round() {
    group=$2 cookie=$3 chapter=$1
    shift 3
    local jar=$run/$chapter.jar old=$run/$chapter.old.jar
    step "the application starts" launch "$@"
    [[ -n $app ]] || return 0
    touch "$jar"
    step "a visitor is nobody" answers "$jar" /me 'nobody 0'
    step "a visit is counted" answers "$jar" /visit 'nobody 1'
    step "the visitor logs in, and has a session under a new id" log_in "$jar"
    step "another request knows the user" answers "$jar" /me 'Ada 1'
    step "the session has the lifetime that the application gives it" lives_as_long_as_the_application_says "$jar"

    step "no request notices that the store was started anew before it" restarted_in_between "$jar"

    crash_store
    step "without the store, a request fails" fails "$jar" /me
    step "without the store, a visitor with a cookie of before fails to log in" fails "$jar" /login
    step "at the store's address is a node without a quorum" start_lonely
    step "on its 503, a request fails" fails "$jar" /me
    stop_lonely
    step "the store is back" start_store
    [[ -n $store_pid ]] || return 0
    step "the user is still logged in" answers "$jar" /me 'Ada 1'
    step "no id of a session is in the application's log" logs_are_silent "$jar"
    stop_app
    step "an application with another token starts" launch_with not-a-token "$@"
    step "a request to it fails" fails "$jar" /me
    stop_app
    step "one with the right token starts" launch "$@"
    step "it knows the user" answers "$jar" /me 'Ada 1'
    if declare -F "more_of_$chapter" >/dev/null; then "more_of_$chapter" "$jar"; fi

    cp "$jar" "$old"
    step "the user logs out, and the session is deleted" log_out "$jar" "$old"
    step "the old cookie is nobody's" answers "$old" /me 'nobody 0'
    step "a session that expires is nobody's" visit_and_expire "$run/$chapter.expired.jar"
    step "a session that is ended during a request stays so, and the request fails" visit_and_end "$run/$chapter.ended.jar"
    stop_app
}

# Connections that were kept are closed by then.
restarted_in_between() {
    stop_store
    start_store && answers "$1" /me 'Ada 1'
}

launch_with() {
    local token=$1
    shift
    launch "$@"
}

visit_and_expire() { answers "$1" /visit 'nobody 1' && expires "$1"; }

visit_and_end() { answers "$1" /visit 'nobody 1' && stays_ended "$1"; }

# ---- What it needs ----------------------------------------------------------------------------------------------

missing_packages() {
    local command modules
    for command in curl setsid:util-linux php:php-cli python3:python3-venv node:nodejs npm; do
        command -v "${command%:*}" >/dev/null || printf '%s\n' "${command#*:}"
    done
    modules=$(php -m 2>/dev/null || true)
    grep -qix curl <<<"$modules" || printf 'php-curl\n'
    python3 -c 'import ensurepip' 2>/dev/null || printf 'python3-venv\n'
}

# The versions that are in the files of this folder, once for each of their states.
install_frameworks() {
    local files=("$here/requirements.txt" "$here/package.json" "$here/package-lock.json") building
    cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sessile}/clients-$(cat "${files[@]}" | sha256sum | cut -c -16)
    [[ ! -d $cache ]] || return 0
    note "installing Django, Flask and Express into $cache"
    mkdir -p "${cache%/*}"
    building=$(mktemp -d "$cache.XXXXXX")
    cp "${files[@]:1}" "$building/"
    # A venv cannot be moved, and another run may be as far as this one: the packages alone go there, in one step.
    python3 -m venv "$building/venv"
    "$building/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$building/python" \
        -r "${files[0]}"
    npm ci --prefix "$building" --no-audit --no-fund --loglevel error >/dev/null
    rm -rf "$building/venv"
    mv -T "$building" "$cache" 2>/dev/null || rm -rf "$building"
}

# From then on, whoever shows none is refused.
make_token() {
    "$sessile" namespace token add sessions clients --right both --data-dir "$run/data" >"$run/token" 2>"$run/reason" &&
        token=$(<"$run/token")
}

main() {
    local client
    prepare "$@"
    install_frameworks
    step "Sessile starts" start_store
    step "it wants a token for sessions" make_token
    if ((failed == 0)); then
        for client in ${CLIENTS:-php django flask express}; do "story_$client"; done
    fi
    finish
}

# ---- PHP --------------------------------------------------------------------------------------------------------

# Its promise: of the requests of one session each sees what the one before wrote.
more_of_php() {
    step "a look at the session renews it" is_renewed "$1"
    step "$AT_ONCE visits at once are all counted" all_are_counted "$1"
    step "a visit waits for the one that has the session" one_after_the_other "$1"
    stop_app
    step "an application with locks of four seconds starts" launch env LOCK_SECONDS=4 "${PHP[@]}"
    step "reads renew what they find" reads_renew half
    step "who lost its lock does not overwrite what was written meanwhile, and is told" late_writer_is_told "$1"
    step "reads renew no more" reads_renew never
}

all_are_counted() {
    local i visitors=()
    for ((i = 0; i < AT_ONCE; i++)); do
        curl -sS --fail --max-time "$REQUEST_LIMIT" -b "$1" "$app/visit" >/dev/null 2>>"$run/reason" &
        visitors+=($!)
    done
    for i in "${visitors[@]}"; do wait "$i" || return 1; done
    answers "$1" /me "Ada $((1 + AT_ONCE))"
}

# How often a lock was not to be had.
refusals() { curl -sS --fail "$store/metrics" | awk '/^http_requests_total\{/ && /"412"/ { sum += $NF } END { print sum + 0 }'; }

more_refusals_than() { (($(refusals) > $1)); }

one_after_the_other() {
    local before visitor
    hold "$1" || return 1
    before=$(refusals)
    curl -sS --max-time "$REQUEST_LIMIT" -b "$1" "$app/visit" >"$run/second" 2>&1 &
    visitor=$!
    wait_for "the second visit to find the session locked" more_refusals_than "$before" || return 1
    let_go
    wait "$visitor"
    [[ $(<"$run/held-visit") == "Ada $((2 + AT_ONCE)) 200" && $(<"$run/second") == "Ada $((3 + AT_ONCE))" ]] ||
        because "the first answered '$(<"$run/held-visit")', the second '$(<"$run/second")'"
}

reads_renew() { "$sessile" namespace set sessions --renew "$1" --data-dir "$run/data" >"$run/reason" 2>&1; }

late_writer_is_told() {
    hold "$1" || return 1
    answers "$1" /visit "Ada $((4 + AT_ONCE))" || { let_go; return 1; }
    let_go
    [[ $(<"$run/held-visit") == *' 500' ]] || { because "the late one answered '$(<"$run/held-visit")'"; return 1; }
    answers "$1" /me "Ada $((4 + AT_ONCE))"
}

readonly PHP=(php -d display_errors=0 -d log_errors=1 -S 127.0.0.1:0 "$here/php/app.php")

story_php() { round php php PHPSESSID "${PHP[@]}"; }

# ---- Django, Flask ------------------------------------------------------------------------------------------------

story_django() { round django django sessionid python3 "$here/serve.py" "$here/django/app.py"; }

more_of_flask() { step "a look at the session renews it" is_renewed "$1"; }

story_flask() { round flask flask session python3 "$here/serve.py" "$here/flask/app.py"; }

# ---- Express ------------------------------------------------------------------------------------------------------

more_of_express() { step "a look at the session renews it" is_renewed "$1"; }

story_express() { round express express connect.sid node "$here/express/app.js"; }

main "$@"
