#!/usr/bin/env bash
# Acceptance test: two wikis of one installation keep their sessions, their central sessions and their tokens in three
# namespaces of one Sessile, by LocalSettings.php only (settings.php and farm.php).
#
#     tests/mediawiki/farm.sh [path-to-sessile-binary]
#
# The environment is that of run.sh. CentralAuth is in no registry of packages; farm.php says what stands in its place.
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

# ---- The story --------------------------------------------------------------------------------------------------

main() {
    local jar other
    prepare "$@"
    jar=$run/user.jar other=$run/other.jar
    touch "$jar" "$other"
    step "two wikis are installed, on SQLite" install_farm
    step "Sessile starts" start_store
    step "it gets namespaces for central sessions and for tokens" make_namespaces
    ((failed == 0)) || finish
    chapter=farm
    step "the first wiki is up" start_farm_wiki enwiki
    step "the second is up, too" start_farm_wiki dewiki
    ((failed == 0)) || finish

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
    step "Sessile never failed" never_failed
    step "MediaWiki logged no error about the store" wiki_logged_no_error
    finish
}

sessions_of() { (($(keys sessions "$1") == $2)) || because "there are $(keys sessions "$1")"; }

never_failed() { (($(requests '[a-zA-Z]+' '5..') == 0)) || because "/metrics counted a 5xx"; }

main "$@"
