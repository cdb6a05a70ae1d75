#!/usr/bin/env bash
# Acceptance test: two wikis of one installation keep their sessions, their central sessions and their tokens in three
# namespaces of one Sessile, by LocalSettings.php only (settings.php and farm.php).
#
#     tests/mediawiki/farm.sh [path-to-sessile-binary]
#
# The environment is that of run.sh, and
#
# CENTRALAUTH_DIR   a checkout of CentralAuth for this MediaWiki (its branch REL1_39). It is in no registry of packages, so
#                   that by default something stands in its place, in farm.php.
# shellcheck disable=SC2317  # steps are called by name, which shellcheck takes for never
# shellcheck disable=SC2016  # PHP's variables, not the shell's
set -euo pipefail

# shellcheck source=tests/mediawiki/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly DAY=86400 MINUTE=60         # lifetimes of central sessions and of tokens, in seconds
readonly TOLERANCE=600               # seconds that a slow machine may take between a write and the look at it

declare -A url=() server=()          # of each wiki: its base URL and its process group

# ---- Two wikis --------------------------------------------------------------------------------------------------

# at WIKI COMMAND...: as if it were the only one.
at() {
    local WIKI_ID=$1 wiki=${url[$1]}
    shift
    "$@"
}

# The second is installed beside the first; the first one's LocalSettings.php is that of both.
install_farm() {
    WIKI_ID=enwiki
    mkdir "$run/dewiki"
    install_wiki && install_database dewiki "$run/dewiki" || return 1
    printf 'require "%s/farm.php";\n' "$here" >>"$run/LocalSettings.php"
}

start_farm_wiki() {
    export FARM_WIKI=$1
    start_wiki || return 1
    url[$1]=$wiki server[$1]=$wiki_pid wiki_pid=''
    printf '%s\n' "$wiki" >"$run/$1.url"
}

# CentralAuth's own database, and an account in it for the user that both wikis have.
install_central_auth() {
    export SESSILE_STORE=$store/sessions/v1/ SESSILE_WIKI=http://127.0.0.1 SESSILE_WIKI_DIR=$run SESSILE_WRITE_METHOD=POST
    php -r '
        $tables = str_replace( [ "/*_*/", "/*i*/" ], "", file_get_contents( $argv[2] ) );
        ( new PDO( "sqlite:$argv[1]" ) )->exec( $tables );' -- \
        "$run/db/centralauth.sqlite" "$CENTRALAUTH_DIR/schema/sqlite/tables-generated.sql" &&
        migrate enwiki 0 && migrate dewiki 0 && migrate enwiki 1
}

# migrate WIKI PASS
migrate() {
    FARM_WIKI=$1 MW_INSTALL_PATH=$mediawiki MW_CONFIG_FILE=$run/LocalSettings.php \
        php "$CENTRALAUTH_DIR/maintenance/migratePass$2.php" >"$run/reason" 2>&1
}

stop_all() {
    local id
    stop_wiki
    for id in "${!server[@]}"; do end "${server[$id]}" "-${server[$id]}"; done
    stop_store
}

# ---- The store, as its operator sees it -------------------------------------------------------------------------

namespace() {
    "$sessile" namespace "$@" --data-dir "$run/data" >"$run/answer" 2>&1 || because "$(head -n 3 "$run/answer")"
}

make_namespaces() {
    namespace create central --base-uri /central/v1 --default-ttl "$DAY" --max-ttl "$DAY" &&
        namespace create tokens --base-uri /tokens/v1 --default-ttl "$MINUTE" --max-ttl "$MINUTE"
}

# keys NAMESPACE [GROUP]: how many there are, by the metrics.
keys() {
    curl -sS --fail --max-time "$REQUEST_LIMIT" "$store/metrics" |
        awk -v wanted="namespace=\"$1\"" -v group="${2:+group=\"$2\"}" '
            /^sessile_keys\{/ && index($0, wanted) && (!group || index($0, group)) { sum += $NF }
            END { print sum + 0 }'
}

# lifetime NAMESPACE KEY: seconds that are left; nothing if it is not there.
lifetime() {
    curl -sS --fail --max-time "$REQUEST_LIMIT" -o /dev/null -D - -K - <<<"url = \"$store/$1/v1/$2\"" 2>/dev/null |
        sed -nE 's/^ttl: ([0-9]+).*/\1/p'
}

# ---- The user, who goes from one to the other -------------------------------------------------------------------

# take_token JAR WIKI: from here to there; the address of arrival is in $run/arrival, with the token in it.
take_token() {
    get_page "$1" "$wiki/index.php?title=Main_Page&goto=$2" -D "$run/headers" || return 1
    sed -nE 's/^[Ll]ocation: (.*token=[0-9a-f]+).*/\1/p' "$run/headers" >"$run/arrival"
    [[ -s $run/arrival ]] || because "the wiki sent nobody there"
}

arrive() { get_page "$1" "$(<"$run/arrival")"; }

go() { take_token "$1" "$2" && arrive "$1"; }

token_key() { sed -E 's/.*token=/global%3Atoken%3Afarm%3A/' "$run/arrival"; }

token_is_good_for_a_minute() {
    local left
    left=$(lifetime tokens "$(token_key)")
    ((left > 0 && left <= MINUTE)) || because "the token has $left s left"
}

token_is_used_up() { [[ -z $(lifetime tokens "$(token_key)") ]] || because "the token is still there"; }

stranger_gets_nothing() {
    touch "$1"
    arrive "$1" && at dewiki nobody_is_logged_in "$1"
}

central_session_is_good_for_a_day() {
    local left id
    (($(keys central) == 1)) || { because "there are $(keys central) central sessions"; return 1; }
    at enwiki get_session "$1" >/dev/null || return 1
    id=$(php -r 'echo json_decode(substr(file_get_contents($argv[1]), 6), true)["data"]["central"] ?? "";' -- "$run/session")
    [[ -n $id ]] || { because "the wiki's session names no central one"; return 1; }
    left=$(lifetime central "global%3Asession%3Afarm%3A$id")
    ((left > DAY - TOLERANCE && left <= DAY)) || because "the central session has $left s left"
}

# ---- With CentralAuth itself --------------------------------------------------------------------------------------

# For the API of another wiki, from a script that has no cookies there.
take_api_token() {
    api "$1" action=centralauthtoken || return 1
    field centralauthtoken centralauthtoken >"$run/api.token"
    [[ -s $run/api.token ]] || answered centralauthtoken
}

api_token_is_good_for_a_minute() {
    local left
    left=$(lifetime tokens "centralauth%3Aapi-token%3A$(<"$run/api.token")")
    ((left > 0 && left <= MINUTE)) || because "the token has $left s left"
}

api_token_is_good_once() {
    api "$run/script.jar" action=query meta=userinfo "centralauthtoken@$run/api.token" || return 1
    [[ $(field query userinfo name) == "$USER_NAME" ]] || { answered query userinfo name; return 1; }
    api "$run/script.jar" action=query meta=userinfo "centralauthtoken@$run/api.token" || return 1
    [[ $(field error code) == badtoken ]] || because "it was good twice"
}

global_session_is_good_for_a_day() {
    local id left
    id=$(awk '$6 == "centralauth_Session" { print $7 }' "$1")
    left=$(lifetime central "centralauth%3Asession%3A$id")
    ((left > DAY - TOLERANCE && left <= DAY)) || because "the central session has $left s left"
}

# Its users come back by their central sessions: who empties one wiki ends what its sessions hold, and logs nobody out.
central_auth_story() {
    step "the user logs in to the first" at enwiki log_in "$1"
    step "the second knows the user" at dewiki user_is "$1" "$USER_NAME"
    step "the first wiki's session is in Sessile" sessions_of enwiki 1
    step "the second wiki's session is in Sessile" sessions_of dewiki 1
    step "the central session is good for a day" global_session_is_good_for_a_day "$1"
    step "the user takes a token for the other's API" at enwiki take_api_token "$1"
    step "the token is good for a minute" api_token_is_good_for_a_minute
    step "and once" at dewiki api_token_is_good_once
    step "an operator ends the sessions of the first" namespace truncate sessions --group enwiki --yes
    step "the first has none" sessions_of enwiki 0
    step "the second is as it was" at dewiki user_is "$1" "$USER_NAME"
    step "the first knows the user, by the central session" at enwiki user_is "$1" "$USER_NAME"
    step "an operator ends the central sessions, too" namespace truncate central --yes
    step "the user is nobody at the first" at enwiki nobody_is_logged_in "$1"
    step "nor at the second, whose sessions are there" at dewiki nobody_is_logged_in "$1"
}

# ---- The story --------------------------------------------------------------------------------------------------

main() {
    local jar other
    prepare "$@"
    jar=$run/user.jar other=$run/other.jar
    touch "$jar" "$other"
    step "two wikis are installed, on SQLite" install_farm
    step "Sessile starts" start_store
    step "it gets namespaces for central sessions and for tokens" make_namespaces
    if [[ -n ${CENTRALAUTH_DIR:-} ]]; then step "CentralAuth is installed, and the user's accounts are one" install_central_auth; fi
    ((failed == 0)) || finish
    chapter=farm
    step "the first wiki is up" start_farm_wiki enwiki
    step "the second is up, too" start_farm_wiki dewiki
    ((failed == 0)) || finish
    if [[ -n ${CENTRALAUTH_DIR:-} ]]; then central_auth_story "$jar"; else story "$jar" "$other"; fi
    step "Sessile never failed" never_failed
    step "MediaWiki logged no error about the store" wiki_logged_no_error
    finish
}

story() {
    local jar=$1 other=$2
    step "the user logs in to the first" at enwiki log_in "$jar"
    step "the second does not know that yet" at dewiki nobody_is_logged_in "$jar"
    step "on the way to the second the user takes a token" at enwiki take_token "$jar" dewiki
    step "the token is good for a minute" token_is_good_for_a_minute
    step "the central session is good for a day" central_session_is_good_for_a_day "$jar"
    step "the user arrives" arrive "$jar"
    step "the second knows the user" at dewiki user_is "$jar" "$USER_NAME"
    step "so does the first" at enwiki user_is "$jar" "$USER_NAME"
    step "the token is used up" token_is_used_up
    step "a stranger with the same address is nobody" stranger_gets_nothing "$run/thief.jar"
    step "the first wiki's session is in Sessile" at enwiki session_is_stored "$jar"
    step "the second wiki's session is in Sessile" at dewiki session_is_stored "$jar"
    step "it gives an edit token at the second" at dewiki fetch_edit_token "$jar"

    step "another browser logs in to the second" at dewiki log_in "$other"
    step "and goes to the first" at dewiki go "$other" enwiki
    step "where it is known" at enwiki user_is "$other" "$USER_NAME"

    step "the first has the sessions of both" sessions_of enwiki 2
    step "an operator logs everybody out of the first" namespace truncate sessions --group enwiki --yes
    step "there, the user is nobody" at enwiki nobody_is_logged_in "$jar"
    step "the other browser is nobody, too" at enwiki nobody_is_logged_in "$other"
    step "no session of the first is left" sessions_of enwiki 0
    step "at the second, the user is still logged in" at dewiki user_is "$jar" "$USER_NAME"
    step "and so is the other browser" at dewiki user_is "$other" "$USER_NAME"
    step "the edit token of before is good for an edit" at dewiki edit_and_look "$jar" "After it" "The second stays."
    step "the user goes back to the first" at dewiki go "$jar" enwiki
    step "and is logged in there, without a password" at enwiki user_is "$jar" "$USER_NAME"
}

sessions_of() { (($(keys sessions "$1") == $2)) || because "there are $(keys sessions "$1")"; }

never_failed() { (($(requests '[a-zA-Z]+' '5..') == 0)) || because "/metrics counted a 5xx"; }

main "$@"
