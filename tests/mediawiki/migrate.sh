#!/usr/bin/env bash
# Acceptance test: a stock MediaWiki moves its sessions from Redis, and from Kask, to Sessile and back, as docs/migrate.md says.
#
#     tests/mediawiki/migrate.sh [path-to-sessile-binary]
#
# The blocks of the document are carried out, with the addresses of this run in the place of its examples. A user who logs in
# before the first step is logged in after each of them. The environment is that of run.sh.
# shellcheck disable=SC2317  # steps are called by name, which shellcheck takes for never
# shellcheck disable=SC2016  # PHP's variables, not the shell's
set -euo pipefail

# shellcheck source=tests/mediawiki/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PACKAGES+=(redis-server php-redis)
COMMANDS+=(redis-server)

redis='' redis_pid=''                # host:port and process of Redis
kask_pid=''                          # of the node that stands in for Kask, with a file of Kask's

# ---- Redis, and what stands in for Kask -------------------------------------------------------------------------

start_redis() {
    [[ -n $redis ]] || redis=127.0.0.1:$(free_port)
    mkdir -p "$run/redis"
    redis-server --port "${redis##*:}" --bind 127.0.0.1 --dir "$run/redis" --save '' >>"$run/redis.log" 2>&1 &
    redis_pid=$!
    local until=$((SECONDS + START_LIMIT))
    until [[ $(ask_redis PING 2>/dev/null) == 1 ]]; do
        ((SECONDS < until)) || { because "Redis does not answer"; return 1; }
        sleep 0.1
    done
}

# With what it has, as an operator stops it.
stop_redis() {
    [[ -n $redis_pid ]] || return 0
    ask_redis SAVE >/dev/null || true
    end "$redis_pid"
    redis_pid=''
}

empty_redis() { ask_redis FLUSHDB >/dev/null; }

ask_redis() {
    php -r '
        $redis = new Redis();
        $redis->connect( "127.0.0.1", (int)$argv[1] );
        $answer = $redis->rawCommand( ...array_slice( $argv, 2 ) );
        echo is_scalar( $answer ) ? $answer : json_encode( $answer );' -- "${redis##*:}" "$@"
}

# The other node's API is Kask's; MediaWiki sees no difference.
start_kask() {
    local attempt
    for ((attempt = 1; attempt <= BIND_ATTEMPTS; attempt++)); do
        kask=127.0.0.1:$(free_port)
        "$sessile" dev --listen "$kask" --data-dir "$run/kask-data" >>"$run/kask.log" 2>&1 &
        kask_pid=$!
        await "$kask_pid" "http://$kask/readyz" && return
        if is_running "$kask_pid"; then return 1; fi
    done
    return 1
}

stop_kask() {
    [[ -n $kask_pid ]] || return 0
    end "$kask_pid"
    kask_pid=''
}

stop_all() {
    stop_wiki
    stop_redis
    stop_kask
    stop_store
}

# ---- The document -----------------------------------------------------------------------------------------------

# block NAME: the block of the document whose first line says so, with this run's addresses.
block() {
    awk -v name="$1" '
        /^```/ { if (inside) exit; first = 1; next }
        first { first = 0; inside = ($0 == "// " name || $0 == "# " name); next }
        inside { print }' "$root/docs/migrate.md" |
        sed "s|10\.0\.0\.9:6379|$redis|g; s|http://127\.0\.0\.1:8081/|$store/|g; s|http://kask\.example:8081/|http://${kask:-}/|g"
}

# wiki_has NAME: the wiki's configuration is that block from now on.
wiki_has() {
    stop_wiki
    { echo '<?php' && block "$1"; } >"$run/step.php"
    (($(wc -l <"$run/step.php") > 3)) || { because "the document has no block '$1'"; return 1; }
    rm -f "$run/store-errors.log"
    start_wiki
}

# The other way round: what is said of "the same block with the two lines exchanged".
wiki_has_exchanged() {
    stop_wiki
    { echo '<?php' && block "$1"; } | awk '
        /getInstance/ { if (held == "") { held = $0 } else { print; print held }; next } { print }' >"$run/step.php"
    start_wiki
}

# operator_does NAME: that block's commands, in this run's directory.
operator_does() {
    block "$1" >"$run/commands"
    grep -q '^sessile import ' "$run/commands" || { because "the document has no block '$1'"; return 1; }
    (
        cd "$run"
        sessile() { if [[ $1 == namespace ]]; then "$sessile" "$@" --data-dir "$run/data"; else "$sessile" "$@"; fi; }
        set -e
        # shellcheck disable=SC1091
        source ./commands
    ) >"$run/report.log" 2>&1 || because "$(tail -n 1 "$run/report.log")"
}

# ---- What holds -------------------------------------------------------------------------------------------------

# The user goes on where she was: a page, and an edit with the session's token.
is_still_logged_in() {
    edits=$((edits + 1))
    user_is "$jar" "$USER_NAME" && fetch_edit_token "$jar" &&
        edit_and_look "$jar" "Edit $edits of $chapter" "Edit $edits."
}

in_redis() {
    [[ $(ask_redis EXISTS "$WIKI_ID:MWSession:$(session_id "$1")") == "$2" ]] || because "Redis was to have $2 of it"
}

in_sessile() {
    local code
    code=$(get_session "$1") || return 1
    [[ $code == "$2" ]] || because "Sessile answered $code for the session's key, not $2"
}

in_both() { in_redis "$1" 1 && in_sessile "$1" 200; }

# Values of all kinds, written by the real RedisBagOStuff, are imported and read by the real RESTBagOStuff; and they are the
# bytes that it would have written.
values_survive() {
    local form=$1 key=${2:-}
    local options=()
    if [[ -n $key ]]; then
        printf '%s\n' "$key" >"$run/hmac.key"
        options=(--hmac-key-file "$run/hmac.key")
    fi
    empty_redis
    "$sessile" namespace truncate sessions --yes --data-dir "$run/data" >"$run/reason" 2>&1 || return 1
    SESSILE_REDIS=$redis php_with_mediawiki values.php write "$form" "$key" >"$run/reason" 2>&1 || return 1
    "$sessile" import "redis://$redis" --to "$store/sessions/v1/" --mediawiki "$form" "${options[@]}" \
        >"$run/report.log" 2>&1 || [[ $form == json && $? == 1 ]] || { because "$(tail -n 1 "$run/report.log")"; return 1; }
    SESSILE_REDIS=$redis php_with_mediawiki values.php compare "$form" "$key" >"$run/reason" 2>&1
}

php_with_mediawiki() {
    SESSILE_WRITE_METHOD=POST SESSILE_STORE=$store/sessions/v1/ SESSILE_WIKI=http://127.0.0.1 SESSILE_WIKI_DIR=$run \
    MW_INSTALL_PATH=$mediawiki MW_CONFIG_FILE=$run/LocalSettings.php php "$here/$1" "${@:2}"
}

# ---- The stories ------------------------------------------------------------------------------------------------

begin() {
    chapter=$1 edits=0 jar=$run/$1.jar
    touch "$jar"
}

at_once() {
    begin at-once
    step "the wiki keeps its sessions in Redis alone" wiki_has Before
    step "the user logs in" log_in "$jar"
    step "the session is in Redis" in_redis "$jar" 1
    stop_wiki
    step "the sessions are imported" operator_does 'At once'
    stop_redis
    step "the wiki has Sessile alone" wiki_has 'Step 5'
    step "the user is logged in, by what was imported" is_still_logged_in
    step "MediaWiki logged no error about the store" wiki_logged_no_error
    step "Redis starts again" start_redis
    empty_redis
}

step_by_step() {
    local late=$run/late.jar old=$run/old.jar
    begin redis
    touch "$late"
    step "the wiki keeps its sessions in Redis alone" wiki_has Before
    step "the user logs in" log_in "$jar"
    step "the session is in Redis alone" in_redis "$jar" 1
    step "and not in Sessile" in_sessile "$jar" 404
    step "step 1: both, Redis first" wiki_has 'Step 1'
    step "the user is logged in" is_still_logged_in
    step "somebody logs in: into both" log_in "$late"
    step "which has this session" in_both "$late"
    cp "$late" "$old"
    step "and logs out: of both" log_out "$late"
    step "Sessile has it no more" in_sessile "$old" 404
    step "Redis has it no more" in_redis "$old" 0
    step "MediaWiki logged no error about the store" wiki_logged_no_error
    step "back: Redis alone" wiki_has Before
    step "the user is logged in" is_still_logged_in
    step "step 1 again" wiki_has 'Step 1'
    step "step 2: the sessions are imported" operator_does 'Step 2'
    step "the session is in both" in_both "$jar"
    step "the user is logged in" is_still_logged_in
    step "step 3: both, Sessile first" wiki_has 'Step 3'
    step "the user is logged in" is_still_logged_in
    step "back: both, Redis first" wiki_has 'Step 1'
    step "the user is logged in" is_still_logged_in
    step "step 3 again" wiki_has 'Step 3'
    touch "$run/gone.jar"
    step "somebody else logs in" log_in "$run/gone.jar"
    step "MediaWiki logged no error about the store" wiki_logged_no_error
    stop_redis
    chapter=redis
    step "step 4: Redis is stopped, and the user is logged in" is_still_logged_in
    cp "$run/gone.jar" "$old"
    step "somebody else logs out" log_out "$run/gone.jar"
    step "MediaWiki misses Redis" wiki_logged_errors
    step "step 5: Sessile alone" wiki_has 'Step 5'
    step "the user is logged in" is_still_logged_in
    step "MediaWiki logged no error about the store" wiki_logged_no_error
}

and_back() {
    local old=$run/old.jar
    chapter=back
    step "Redis starts, with what it had" start_redis
    step "who logged out since is logged in there still" in_redis "$old" 1
    step "so it is emptied" empty_redis
    step "step 3: both, Sessile first" wiki_has 'Step 3'
    step "the user is logged in" is_still_logged_in
    step "who logged out is not" nobody_is_logged_in "$old"
    step "step 1, in a hurry: both, Redis first" wiki_has 'Step 1'
    step "the user is logged in" is_still_logged_in
    step "who logged out is not" nobody_is_logged_in "$old"
    step "MediaWiki logged no error about the store" wiki_logged_no_error
}

from_kask() {
    begin kask
    step "what stands in for Kask starts" start_kask
    step "the wiki has Kask first, and nothing is in Sessile" wiki_has 'Kask 1'
    step "the user logs in" log_in "$jar"
    step "Sessile is emptied" truncate_sessions
    step "the user is logged in" is_still_logged_in
    step "the wiki has Sessile first" wiki_has_exchanged 'Kask 1'
    step "the user is logged in, by what is in Kask alone" is_still_logged_in
    touch "$run/new.jar"
    step "somebody logs in" log_in "$run/new.jar"
    step "MediaWiki logged no error about the store" wiki_logged_no_error
    stop_kask
    step "Kask is stopped; the wiki has Sessile alone" wiki_has 'Step 5'
    step "who logged in since is logged in" user_is "$run/new.jar" "$USER_NAME"
    step "MediaWiki logged no error about the store" wiki_logged_no_error
}

truncate_sessions() { "$sessile" namespace truncate sessions --yes --data-dir "$run/data" >"$run/reason" 2>&1; }

values() {
    chapter=values
    step "values of all kinds, as JSON" values_survive json
    step "values of all kinds, as PHP" values_survive php
    step "the same with a seal" values_survive php 'the key of the seal'
    step "the same with a seal, as JSON" values_survive json 'the key of the seal'
}

main() {
    kask=''
    prepare "$@"
    step "MediaWiki is installed, on SQLite" install_wiki
    printf 'if ( is_file( "%s/step.php" ) ) { require "%s/step.php"; }\n' "$run" "$run" >>"$run/LocalSettings.php"
    step "Sessile starts" start_store
    step "Redis starts" start_redis
    ((failed == 0)) || finish
    values
    empty_redis
    truncate_sessions
    at_once
    truncate_sessions
    step_by_step
    and_back
    from_kask
    finish
}

main "$@"
