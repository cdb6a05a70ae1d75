<?php
// Read at the end of the LocalSettings.php that install.php writes, so that only sessions go to Sessile
// and every promise the test checks rests on it. run.sh hands over the addresses in the environment.

$store = getenv( 'SESSILE_STORE' );

// What operators are given: Kask's own configuration, with a new address.
$sessile = preg_replace( '!/sessions/v1/$!', '', $store );
require __DIR__ . '/../../deploy/mediawiki/LocalSettings.snippet.php';
$wgObjectCaches['sessile-POST'] = $wgObjectCaches['sessile'];

// What RESTBagOStuff does unasked: PUT, no content type, serialised PHP; and a signed value.
$wgObjectCaches['sessile-PUT'] = [
	'class' => 'RESTBagOStuff',
	'url' => $store,
	'hmac_key' => $wgSecretKey,
];

$wgSessionCacheType = 'sessile-' . getenv( 'SESSILE_WRITE_METHOD' );

// No other cache may remember a session in its stead.
$wgMainCacheType = CACHE_NONE;
$wgMessageCacheType = CACHE_NONE;
$wgParserCacheType = CACHE_NONE;
$wgCacheDirectory = getenv( 'SESSILE_WIKI_DIR' ) . '/cache';

// A request that lost its session must not be able to edit.
$wgGroupPermissions['*']['edit'] = false;
$wgGroupPermissions['*']['createpage'] = false;

// One client makes all requests, and quickly.
$wgRateLimits = [];
$wgPasswordAttemptThrottle = [];
$wgJobRunRate = 0;
$wgEnableEmail = false;

$wgServer = getenv( 'SESSILE_WIKI' ) ?: $wgServer;
$wgScriptPath = '';
$wgUsePathInfo = false;
$wgArticlePath = '/index.php?title=$1';

// A line here is a request to Sessile that MediaWiki counts as failed.
$wgDebugLogGroups['objectcache'] = [
	'destination' => getenv( 'SESSILE_WIKI_DIR' ) . '/store-errors.log',
	'level' => 'error',
];
