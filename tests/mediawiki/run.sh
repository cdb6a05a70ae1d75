#!/usr/bin/env bash
# Acceptance test: a stock MediaWiki keeps its sessions in Sessile.
#
#     tests/mediawiki/run.sh [path-to-sessile-binary]
#
# KEEP=1           afterwards keeps wiki and store up, and says where, until Ctrl-C
# CI=true          a missing package that cannot be installed is a failure, not a skip (exit 77)
# MEDIAWIKI_DIR    a MediaWiki source tree; Debian's package otherwise
# shellcheck disable=SC2317  # steps are called by name, which shellcheck takes for never
set -euo pipefail

# shellcheck source=tests/mediawiki/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# ---- The story ------------------------------------------------------------------------------------------------

round() {
    method=$1 chapter=$1
    local jars=$run/$method
    local jar=$jars.jar visitor=$jars.visitor.jar old=$jars.old.jar browser=$jars.browser.jar
    touch "$jar" "$browser"

    stop_wiki
    rm -f "$run/store-errors.log"
    step "the wiki is up and keeps its sessions in Sessile" start_wiki
    [[ -n $wiki_pid ]] || return 0
    step "Sessile counts requests" count_writes

    step "a visitor's session is in Sessile" visitor_has_session "$jar"
    cp "$jar" "$visitor"
    step "the visitor logs in" log_in "$jar"
    step "the wiki knows the user" user_is "$jar" "$USER_NAME"
    step "the user's session is in Sessile" session_is_stored "$jar"
    step "the visitor's is deleted" session_is_gone "$visitor"
    step "the session gives an edit token" fetch_edit_token "$jar"
    step "an edit with it succeeds, and is the user's" edit_and_look "$jar" "$method one" "Before the logout."

    cp "$jar" "$old"
    step "the user logs out" log_out "$jar"
    step "the old session is deleted" session_is_gone "$old"
    step "the old cookies are nobody's" nobody_is_logged_in "$old"

    step "the user logs in by the form" log_in_by_form "$browser"
    step "this session is in Sessile, too" session_is_stored "$browser"
    step "it gives an edit token" fetch_edit_token "$browser"
    step "Sessile counted writes of this method only, no 5xx" only_this_method_wrote
    step "MediaWiki logged no error about the store" wiki_logged_no_error

    crash_store
    step "Sessile is killed" store_is_down
    step "without it, the user's cookies are nobody's" nobody_is_logged_in "$browser"
    step "without it, an edit is refused" edit_is_refused "$browser" "$method two" "While Sessile was down."
    step "MediaWiki logged the missing store" wiki_logged_errors
    rm -f "$run/store-errors.log"

    step "Sessile starts again on the same data" start_store
    [[ -n $store_pid ]] || return 0
    step "the user is still logged in" user_is "$browser" "$USER_NAME"
    step "the refused edit left no page" page_does_not_exist "$method two"
    step "an edit with the token from before succeeds" edit_and_look "$browser" "$method three" "After the restart."
    step "MediaWiki logged no error about the store" wiki_logged_no_error
}

# By the operators' socket: what `sessile dev` has by itself is `sessions`.
create_echo() {
    "$sessile" namespace create echo --base-uri /echoseen/v1 --default-ttl 31536000 --max-ttl 31536000 \
        --data-dir "$run/data" >"$run/answer" 2>&1 || because "$(<"$run/answer")"
}

# Echo is not among Debian's extensions; its store is the one that it would ask.
notifications_are_kept() {
    local told
    told=$(MW_CONFIG_FILE=$run/LocalSettings.php SESSILE_STORE=$store/sessions/v1/ SESSILE_WRITE_METHOD=POST SESSILE_WIKI_DIR=$run \
        php "$mediawiki/maintenance/eval.php" 2>&1 <<'PHP'
$cache = ObjectCache::getInstance( $wgEchoSeenTimeCacheType ); $key = $cache->makeKey( 'echo', 'seen', 'alert', 'time', 1 );
echo $cache->set( $key, '20261130120000', 31536000 ) && $cache->get( $key ) === '20261130120000' ? 'kept' : 'lost';
PHP
    ) || true
    [[ $told == *kept* ]] || { because "MediaWiki says: $told"; return 1; }
    "$sessile" namespace list --json --data-dir "$run/data" | tr -d ' \n' | grep -q '"keys":1,[^}]*"name":"echo"\|"name":"echo"[^}]*"keys":1[,}]' ||
        because "the key is in another namespace"
}

main() {
    prepare "$@"
    step "MediaWiki is installed, on SQLite" install_wiki
    step "Sessile starts" start_store
    step "an operator makes the namespace of notifications" create_echo
    step "MediaWiki keeps there when they were seen" notifications_are_kept
    if ((failed == 0)); then
        round POST
        if [[ -n $store_pid ]]; then round PUT; fi
    fi
    finish
}

main "$@"
