# What the stories about MediaWiki share: the wiki as a client sees it, the store as an operator sees it. Sourced by them;
# `store` is the base URL under which the wiki finds Sessile. They define
#
#     stop_store      if they start something else beside the wiki than one node
#     PACKAGES+=(…)   and COMMANDS+=(…) if they need more of Debian than is said here
#
# shellcheck shell=bash
# shellcheck disable=SC2034  # names that the stories use
# shellcheck disable=SC2016  # PHP's variables, not the shell's

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/steps.sh
source "$here/../steps.sh"
mediawiki=${MEDIAWIKI_DIR:-/usr/share/mediawiki}

PACKAGES=(mediawiki php-cli php-sqlite3 php-curl php-mbstring php-xml php-intl curl)
COMMANDS=(php curl setsid)
WIKI_ID=sessile_wiki                 # the SQLite database's name: prefix of keys and cookies
readonly USER_NAME=Ada
readonly REQUEST_LIMIT=20            # seconds a request may take; MediaWiki gives the store 3 s for each of its own

wiki='' wiki_pid=''                  # base URL and process group of the wiki
method=POST                          # with which the wiki writes: POST or PUT
writes_before=0 others_before=0

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

# What the stories start beside the wiki, `stop_store` ends.
stop_all() {
    stop_wiki
    stop_store
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

wiki_logged_errors() { [[ -s $run/store-errors.log ]] || because "MediaWiki did not miss the store"; }

wiki_logged_no_error() { [[ ! -s $run/store-errors.log ]] || because "$(head -n 1 "$run/store-errors.log")"; }

# ---- The wiki, from nothing to the end ------------------------------------------------------------------------

# install_database NAME DIR: one wiki's, with the user in it; its LocalSettings.php is in DIR.
install_database() {
    MW_CONFIG_FILE=$2/LocalSettings.php php "$mediawiki/maintenance/install.php" \
        --dbtype sqlite --dbpath "$run/db" --dbname "$1" --confpath "$2" --passfile "$run/password" \
        --server http://127.0.0.1 --scriptpath "" --skins Vector "Sessile test" "$USER_NAME" \
        >"$run/install.log" 2>&1 || { because "install.php failed"; return 1; }
    [[ -s $2/LocalSettings.php ]] || { because "install.php wrote no LocalSettings.php"; return 1; }
    rm "$run/install.log"
}

install_wiki() {
    mkdir "$run/db" "$run/cache"
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$run/password"
    install_database "$WIKI_ID" "$run" || return 1
    printf 'require "%s/settings.php";\n' "$here" >>"$run/LocalSettings.php"
}

# stay_up CODE: until Ctrl-C, and then exits with it.
stay_up() {
    [[ -n $wiki_pid ]] || return 0
    note "wiki $wiki  user $USER_NAME  password $(<"$run/password")"
    note "store $store/sessions/v1/  metrics $store/metrics"
    note "Ctrl-C ends them."
    # shellcheck disable=SC2064  # the code of now
    trap "exit $1" INT TERM
    wait "$wiki_pid" || true
}

# ---- What it needs --------------------------------------------------------------------------------------------

missing_packages() { is_complete || printf '%s\n' "${PACKAGES[@]}"; }

is_complete() {
    local command extension modules
    for command in "${COMMANDS[@]}"; do command -v "$command" >/dev/null || return 1; done
    [[ -f $mediawiki/maintenance/install.php ]] || return 1
    modules=$(php -m)
    for extension in curl dom intl mbstring pdo_sqlite xml; do
        grep -qix "$extension" <<<"$modules" || return 1
    done
}
