# What the stories about MediaWiki share: a report, processes, the wiki as a client sees it, the store as an operator
# sees it. Sourced by them; `store` is the base URL under which the wiki finds Sessile. They define
#
#     stop_store      ends whatever they have started beside the wiki, also when a step has failed
#     PACKAGES+=(…)   and COMMANDS+=(…) if they need more of Debian than is said here
#
# shellcheck shell=bash
# shellcheck disable=SC2034  # names that the stories use
# shellcheck disable=SC2016  # PHP's variables, not the shell's

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=tests/packages.sh
source "$root/tests/packages.sh"
mediawiki=${MEDIAWIKI_DIR:-/usr/share/mediawiki}

PACKAGES=(mediawiki php-cli php-sqlite3 php-curl php-mbstring php-xml php-intl curl)
COMMANDS=(php curl setsid)
readonly WIKI_ID=sessile_wiki        # the SQLite database's name: prefix of keys and cookies
readonly USER_NAME=Ada
readonly REQUEST_LIMIT=20            # seconds a request may take; MediaWiki gives the store 3 s for each of its own
readonly START_LIMIT=30              # seconds a server has to answer
readonly STOP_LIMIT=10               # seconds a server has to end
readonly BIND_ATTEMPTS=5             # another process may take a free port before we do

sessile=''                           # the program
run=''                               # this run's directory
wiki='' wiki_pid=''                  # base URL and process group of the wiki
store=''                             # base URL of the session API, as the wiki uses it
method=setup                         # in the report: setup, POST or PUT
passed=0 failed=0 reported=''
writes_before=0 others_before=0

# ---- Report ---------------------------------------------------------------------------------------------------

note() { printf '%s\n' "$*"; }

# Says why a step failed; the last answer is in the log dump.
because() { printf '%s\n' "$*" >"$run/reason"; return 1; }

# step WORDS COMMAND...: one line of the report. Not fatal; steps that lean on it fail by themselves.
step() {
    local words=$1
    shift
    : >"$run/reason"
    if "$@"; then
        passed=$((passed + 1))
        printf '%-7s %-6s %s\n' ok "$method" "$words"
    else
        failed=$((failed + 1))
        printf '%-7s %-6s %s\n' FAILED "$method" "$words"
        [[ ! -s $run/reason ]] || sed 's/^/               /' "$run/reason" | redact
    fi
}

# Session ids, tokens and the password are runs of 32 or more of these; all of them are credentials.
redact() {
    if [[ ${KEEP:-0} == 1 ]]; then cat; else sed -E 's/[0-9a-z]{32,}/<redacted>/g'; fi
}

dump_logs() {
    local log
    for log in "$run"/*.log "$run/answer" "$run/page"; do
        [[ -s $log ]] || continue
        note "---- ${log##*/} (its end)"
        tail -n 40 "$log" | cut -c -400 | redact
    done
}

# ---- Processes ------------------------------------------------------------------------------------------------

# Below the range the kernel takes for outgoing connections, so that Sessile finds its port free after the crash.
free_port() {
    php -r '
        for ( $try = 0; $try < 100; $try++ ) {
            $port = random_int( 10000, 32000 );
            $socket = @stream_socket_server( "tcp://127.0.0.1:$port" );
            if ( $socket ) { echo $port; exit( 0 ); }
        }
        exit( 1 );'
}

# await PID URL: until the URL answers 200. Fails when the process ends or START_LIMIT is over.
await() {
    local deadline=$((SECONDS + START_LIMIT))
    until [[ $(status "$2") == 200 ]] && is_running "$1"; do
        is_running "$1" || { because "the process ended before $2 answered"; return 1; }
        ((SECONDS < deadline)) || { because "$2 did not answer 200 within ${START_LIMIT} s"; return 1; }
        sleep 0.1
    done
}

is_running() { kill -0 "$1" 2>/dev/null; }

# end PID [GROUP]: asks the process, or its group, to end; insists after STOP_LIMIT.
end() {
    local deadline=$((SECONDS + STOP_LIMIT))
    kill -- "${2:-$1}" 2>/dev/null || true
    while is_running "$1" && ((SECONDS < deadline)); do sleep 0.1; done
    kill -KILL -- "${2:-$1}" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

status() { curl -sS --max-time 5 -o /dev/null -w '%{http_code}' "$1" 2>/dev/null || true; }

start_wiki() {
    local attempt
    for ((attempt = 1; attempt <= BIND_ATTEMPTS; attempt++)); do
        wiki=http://127.0.0.1:$(free_port)
        launch_wiki && return
        # Only a process that has ended may have lost its port to another.
        if is_running "$wiki_pid"; then stop_wiki; return 1; fi
        wiki_pid=''
    done
    return 1
}

# PHP's server starts workers as children: a group of its own ends them all.
launch_wiki() {
    SESSILE_WRITE_METHOD=$method SESSILE_STORE=$store/sessions/v1/ SESSILE_WIKI=$wiki SESSILE_WIKI_DIR=$run \
    MW_CONFIG_FILE=$run/LocalSettings.php PHP_CLI_SERVER_WORKERS=4 \
        setsid php -S "${wiki#http://}" -t "$mediawiki" >>"$run/wiki.log" 2>&1 &
    wiki_pid=$!
    await "$wiki_pid" "$wiki/api.php?action=query&meta=siteinfo&format=json"
}

stop_wiki() {
    [[ -n $wiki_pid ]] || return 0
    end "$wiki_pid" "-$wiki_pid"
    wiki_pid=''
}

clean_up() {
    local status=$?
    trap - EXIT
    if [[ $status != 0 && $status != 130 && -z $reported ]]; then dump_logs; fi
    stop_wiki
    stop_store
    if [[ ${KEEP:-0} == 1 ]]; then note "kept: $run"; else rm -rf "$run"; fi
    exit "$status"
}

# ---- The wiki, as a client sees it ----------------------------------------------------------------------------
# JAR is a cookie file. What is secret goes by file, never on a command line that others on the machine may read.

# api JAR NAME=VALUE|NAME@FILE...: a POST to api.php; the answer is read with `field`.
api() {
    local jar=$1 parameters=() parameter
    shift
    for parameter in format=json formatversion=2 "$@"; do parameters+=(--data-urlencode "$parameter"); done
    curl -sS --fail --max-time "$REQUEST_LIMIT" -b "$jar" -c "$jar" "${parameters[@]}" "$wiki/api.php" \
        >"$run/answer" 2>"$run/reason"
}

# field NAME...: that member of the last answer, or nothing.
field() {
    php -r '
        $value = json_decode( file_get_contents( $argv[1] ), true );
        foreach ( array_slice( $argv, 2 ) as $name ) { $value = $value[$name] ?? null; }
        echo is_scalar( $value ) ? $value : "";' -- "$run/answer" "$@"
}

# An API error code or status: what a failed step has to say.
answered() { because "MediaWiki answered: $(field error code) $(field clientlogin message) $(field "$@")"; }

fetch_token() {
    local jar=$1 kind=$2
    api "$jar" action=query meta=tokens "type=$kind" || return 1
    field query tokens "${kind}token" >"$run/$kind.token"
    [[ -s $run/$kind.token ]] || answered query
}

log_in() {
    local jar=$1
    fetch_token "$jar" login || return 1
    api "$jar" action=clientlogin "username=$USER_NAME" "password@$run/password" \
        "loginreturnurl=$wiki/" "logintoken@$run/login.token" || return 1
    [[ $(field clientlogin status) == PASS ]] || answered clientlogin status
}

fetch_edit_token() {
    fetch_token "$1" csrf || return 1
    [[ $(<"$run/csrf.token") != "+\\" ]] || because "the token is the one of visitors without a session"
}

user_is() {
    api "$1" action=query meta=userinfo || return 1
    [[ $(field query userinfo name) == "$2" ]] || because "this session is another user's, or nobody's"
}

# A request that fails to find its session clears the cookies: these two look through a copy.
nobody_is_logged_in() {
    cp "$1" "$run/copy.jar"
    api "$run/copy.jar" action=query meta=userinfo || return 1
    [[ $(field query userinfo anon) == 1 ]] || because "these cookies are still logged in"
}

# edit JAR TITLE TEXT: with the token fetched before.
edit() {
    api "$1" action=edit "title=$2" "text=$3" "token@$run/csrf.token" || return 1
    [[ $(field edit result) == Success ]] || answered edit result
}

# Read as a stranger: what the page says and who wrote it, whatever the session says.
page_is() {
    api "$run/stranger.jar" action=query "titles=$1" prop=revisions 'rvprop=user|content' rvslots=main || return 1
    [[ $(field query pages 0 revisions 0 user) == "$USER_NAME" ]] || { because "the author is another"; return 1; }
    [[ $(field query pages 0 revisions 0 slots main content) == "$2" ]] || because "the page has another text"
}

edit_and_look() {
    edit "$1" "$2" "$3" && page_is "$2" "$3"
}

edit_is_refused() {
    cp "$1" "$run/copy.jar"
    if edit "$run/copy.jar" "$2" "$3"; then because "the edit went through"; return 1; fi
    [[ -n $(field error code) ]] || because "no answer from the wiki"
}

page_does_not_exist() {
    api "$run/stranger.jar" action=query "titles=$1" || return 1
    [[ $(field query pages 0 missing) == 1 ]] || because "the page exists"
}

log_out() {
    fetch_edit_token "$1" || return 1
    api "$1" action=logout "token@$run/csrf.token" || return 1
    [[ -z $(field error code) ]] || answered error info
}

# get_page JAR URL [CURL OPTION...]
get_page() {
    local jar=$1 url=$2
    shift 2
    curl -sS --fail --max-time "$REQUEST_LIMIT" -b "$jar" -c "$jar" "$@" "$url" >"$run/page" 2>"$run/reason"
}

# What a browser does: open the form, send it back filled in, look at the page behind it.
log_in_by_form() {
    local jar=$1 form="$wiki/index.php?title=Special:UserLogin"
    get_page "$jar" "$form" || return 1
    php -r '
        $form = new DOMDocument();
        @$form->loadHTMLFile( $argv[1] );
        foreach ( $form->getElementsByTagName( "input" ) as $input ) {
            if ( $input->getAttribute( "name" ) === "wpLoginToken" ) { echo $input->getAttribute( "value" ); }
        }' -- "$run/page" >"$run/form.token"
    [[ -s $run/form.token ]] || { because "the form has no login token"; return 1; }
    get_page "$jar" "$form" -L --data-urlencode "wpName=$USER_NAME" --data-urlencode "wpPassword@$run/password" \
        --data-urlencode "wpLoginToken@$run/form.token" --data-urlencode "wploginattempt=Log in" \
        --data-urlencode "authAction=login" || return 1
    get_page "$jar" "$wiki/index.php?title=Main_Page" || return 1
    grep -q "\"wgUserName\":\"$USER_NAME\"" "$run/page" || because "the page does not greet the user"
}

# ---- The store, as an operator sees it ------------------------------------------------------------------------

session_id() { awk -v name="${WIKI_ID}_session" '$6 == name { print $7 }' "$1"; }

# get_session JAR: status of the session that the jar's cookie names; its bytes are in $run/session.
get_session() {
    local id
    id=$(session_id "$1")
    [[ -n $id ]] || { because "the wiki set no session cookie"; return 1; }
    curl -sS --max-time "$REQUEST_LIMIT" -o "$run/session" -w '%{http_code}' -K - \
        <<<"url = \"$store/sessions/v1/$WIKI_ID%3AMWSession%3A$id\""
}

session_is_stored() {
    local code form
    code=$(get_session "$1") || return 1
    [[ $code == 200 ]] || { because "Sessile answered $code for the session's key"; return 1; }
    case $method in
        POST) form='^JSON\.\.\{' ;;
        PUT) form='^PHP\.[A-Za-z0-9+/]{43}=\.a:' ;;
    esac
    grep -aqE "$form" "$run/session" || { because "the value has not the form $form"; return 1; }
    grep -aqE "\"userName\"(:|;s:[0-9]+:)\"$USER_NAME\"" "$run/session" || because "the value does not name the user"
}

visitor_has_session() {
    local code
    fetch_token "$1" login || return 1
    code=$(get_session "$1") || return 1
    [[ $code == 200 ]] || because "Sessile answered $code for the session's key"
}

session_is_gone() {
    local code
    code=$(get_session "$1") || return 1
    [[ $code == 404 ]] || because "Sessile answered $code for the old session's key"
}

# requests METHOD CODES: how many the store has counted; CODES is a regular expression.
requests() {
    curl -sS --fail --max-time "$REQUEST_LIMIT" "$store/metrics" | awk -v method="method=\"$1\"" -v code="code=\"$2\"" '
        /^http_requests_total\{/ && tolower($0) ~ tolower(method) && $0 ~ code { sum += $NF } END { print sum + 0 }'
}

# The wiki wrote with this method and no other, and the store never failed it.
only_this_method_wrote() {
    local other=PUT
    [[ $method == POST ]] || other=POST
    (($(requests "$method" '20[01]') > writes_before)) || { because "no successful $method in /metrics"; return 1; }
    (($(requests "$other" '...') == others_before)) || { because "/metrics counted $other, too"; return 1; }
    (($(requests '[a-zA-Z]+' '5..') == 0)) || because "/metrics counted a 5xx"
}

# What only_this_method_wrote compares with.
count_writes() {
    local other=PUT
    [[ $method == POST ]] || other=POST
    writes_before=$(requests "$method" '20[01]')
    others_before=$(requests "$other" '...')
}

store_is_down() { [[ $(status "$store/readyz") == 000 ]] || because "something still answers on its port"; }

wiki_logged_errors() { [[ -s $run/store-errors.log ]] || because "MediaWiki did not miss the store"; }

wiki_logged_no_error() { [[ ! -s $run/store-errors.log ]] || because "$(head -n 1 "$run/store-errors.log")"; }

# ---- The wiki, from nothing to the end ------------------------------------------------------------------------

install_wiki() {
    mkdir "$run/db" "$run/cache"
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$run/password"
    MW_CONFIG_FILE=$run/LocalSettings.php php "$mediawiki/maintenance/install.php" \
        --dbtype sqlite --dbpath "$run/db" --dbname "$WIKI_ID" --confpath "$run" --passfile "$run/password" \
        --server http://127.0.0.1 --scriptpath "" --skins Vector "Sessile test" "$USER_NAME" \
        >"$run/install.log" 2>&1 || { because "install.php failed"; return 1; }
    [[ -s $run/LocalSettings.php ]] || { because "install.php wrote no LocalSettings.php"; return 1; }
    rm "$run/install.log"
    printf 'require "%s/settings.php";\n' "$here" >>"$run/LocalSettings.php"
}

finish() {
    reported=yes
    ((failed == 0)) || dump_logs
    local code=$((failed > 0))
    note "$passed passed, $failed failed"
    if [[ ${KEEP:-0} == 1 && -n $wiki_pid ]]; then
        note "wiki $wiki  user $USER_NAME  password $(<"$run/password")"
        note "store $store/sessions/v1/  metrics $store/metrics"
        note "Ctrl-C ends them."
        trap 'exit $code' INT TERM
        wait "$wiki_pid" || true
    fi
    exit "$code"
}

# ---- What it needs --------------------------------------------------------------------------------------------

is_complete() {
    local command extension modules
    for command in "${COMMANDS[@]}"; do command -v "$command" >/dev/null || return 1; done
    [[ -f $mediawiki/maintenance/install.php ]] || return 1
    modules=$(php -m)
    for extension in curl dom intl mbstring pdo_sqlite xml; do
        grep -qix "$extension" <<<"$modules" || return 1
    done
}

# prepare [BINARY]: packages, the program, and a directory for this run that goes when it ends.
prepare() {
    if (($# > 0)); then
        sessile=$(realpath -- "$1")
        [[ -x $sessile ]] || { note "$1 is no program"; exit 64; }
    fi
    provide_packages
    cd "$root" || exit 1
    if (($# == 0)); then
        note "building sessile"
        cargo build --quiet --release -p sessile
        sessile=$(realpath -- "${CARGO_TARGET_DIR:-target}/release/sessile")
    fi
    # Everything from here on is on this machine, whatever proxy leads out of it.
    export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1

    umask 077
    run=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}
